namespace Perenos.Checkpoints;

/// <summary>Bytes of a file, through links as the hub's cache has them; <see cref="FileInfo"/> gives the link's own length.</summary>
internal static class FileLength
{
    public static long Of(string path)
    {
        using var file = File.OpenHandle(path);
        return RandomAccess.GetLength(file);
    }
}
