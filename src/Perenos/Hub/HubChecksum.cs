using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace Perenos.Hub;

/// <summary>
/// Checks a content against the hub's name for it as it comes: 64 hex digits are the SHA-256 of a large file, 40 are the id that git
/// gives a small one, SHA-1 over <c>blob SIZE\0</c> and the content (https://git-scm.com/book/en/v2/Git-Internals-Git-Objects).
/// </summary>
internal sealed class HubChecksum : IDisposable
{
    private readonly IncrementalHash _hash;

    public HubChecksum(HubFile file)
    {
        bool isLarge = file.Etag.Length == 64;
        _hash = IncrementalHash.CreateHash(isLarge ? HashAlgorithmName.SHA256 : HashAlgorithmName.SHA1);
        if (!isLarge)
            _hash.AppendData(Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"blob {file.Size}\0")));
    }

    public void Add(ReadOnlySpan<byte> bytes) => _hash.AppendData(bytes);

    public void Add(Stream stream)
    {
        byte[] buffer = new byte[1 << 17];
        for (int read = stream.Read(buffer); read > 0; read = stream.Read(buffer))
            _hash.AppendData(buffer, 0, read);
    }

    /// <summary>The checksum of everything added, as the hub writes it.</summary>
    public string Value() => Convert.ToHexStringLower(_hash.GetHashAndReset());

    public void Dispose() => _hash.Dispose();
}
