using System.Buffers.Binary;
using System.Text;

namespace Perenos.Tests.Checkpoints;

/// <summary>A folder of its own for a test, removed afterwards.</summary>
internal sealed class WorkFolder : IDisposable
{
    private readonly string _root = Directory.CreateTempSubdirectory("perenos-checkpoints-").FullName;

    public string Root => _root;

    public string PathOf(string name) => Path.Combine(_root, name);

    public string Folder(string name) => Directory.CreateDirectory(PathOf(name)).FullName;

    /// <summary>A safetensors file with any header and any number of data bytes.</summary>
    public string Safetensors(string name, string header, int dataBytes, ulong? claimedLength = null)
    {
        byte[] json = Encoding.UTF8.GetBytes(header);
        byte[] file = new byte[8 + json.Length + dataBytes];
        BinaryPrimitives.WriteUInt64LittleEndian(file, claimedLength ?? (ulong)json.Length);
        json.CopyTo(file, 8);
        File.WriteAllBytes(PathOf(name), file);
        return PathOf(name);
    }

    public void Dispose() => Directory.Delete(_root, recursive: true);
}
