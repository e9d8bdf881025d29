using System.Security.Cryptography;
using System.Text;

namespace Perenos.Checkpoints;

/// <summary>SHA-256 of what lies on disk, so that a file which belongs to it can say so.</summary>
public static class Fingerprint
{
    /// <summary>Of the weights that <see cref="CheckpointFolder.OpenWeights"/> opens at this place: names and bytes of their files.</summary>
    /// <exception cref="Runs.PerenosException">They cannot be read.</exception>
    public static string OfWeights(string folderOrFile)
    {
        using var opened = CheckpointFolder.OpenWeights(folderOrFile);
        string place = opened.Location;
        return OfFiles(File.Exists(place) ? [place] : [.. Directory.EnumerateFiles(place).Where(file => Path.GetExtension(file) is ".safetensors" or ".bin").Order(StringComparer.Ordinal)]);
    }

    /// <summary>Of texts in their order.</summary>
    public static string OfTexts(IEnumerable<string> texts)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (string text in texts)
        {
            hash.AppendData(Encoding.UTF8.GetBytes(text));
            // No text continues the one before it.
            hash.AppendData([0xFF]);
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static string OfFiles(IEnumerable<string> paths)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var buffer = new byte[1 << 20];
        foreach (string path in paths)
        {
            try
            {
                hash.AppendData(Encoding.UTF8.GetBytes(Path.GetFileName(path)));
                using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0);
                for (int count; (count = stream.Read(buffer)) > 0;)
                    hash.AppendData(buffer, 0, count);
            }
            catch (Exception problem) when (problem is IOException or UnauthorizedAccessException)
            {
                throw Refusal.Unreachable(path, "read", problem);
            }
        }

        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }
}
