using System.Text.Json;
using Perenos.Runs;

namespace Perenos.Recipes;

/// <summary>A file that a run reads anew when it goes on, and by what a change of it is told.</summary>
/// <param name="Path">Full path.</param>
/// <param name="Bytes">Its size.</param>
/// <param name="Modified">When it was last written.</param>
public sealed record DataFile(string Path, long Bytes, DateTime Modified)
{
    private static readonly JsonSerializerOptions Json = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower, WriteIndented = true };

    /// <summary>A file as it is.</summary>
    /// <exception cref="PerenosException">It is not there.</exception>
    public static DataFile Of(string path)
    {
        var info = new FileInfo(path);
        // The hub's cache links to its files.
        info = info.ResolveLinkTarget(returnFinalTarget: true) as FileInfo ?? info;
        return info.Exists ? new DataFile(System.IO.Path.GetFullPath(path), info.Length, info.LastWriteTimeUtc)
            : throw new PerenosException($"{path} is not there any more.", "Put it back where it was.");
    }

    /// <summary>Notes files in another.</summary>
    internal static void Write(string path, IReadOnlyList<DataFile> files) => AtomicFile.WriteText(path, JsonSerializer.Serialize(files, Json));

    /// <summary>Those of the noted files that are there and are others now.</summary>
    /// <exception cref="PerenosException">The note cannot be read.</exception>
    internal static IReadOnlyList<(DataFile Noted, DataFile Now)> Changed(string path)
    {
        try
        {
            return [.. JsonSerializer.Deserialize<List<DataFile>>(File.ReadAllText(path), Json)!.Where(file => File.Exists(file.Path)).Select(file => (file, Of(file.Path))).Where(pair => pair.file != pair.Item2)];
        }
        catch (Exception problem) when (problem is IOException or UnauthorizedAccessException or JsonException)
        {
            throw new PerenosException($"{path} cannot be read: {problem.Message}", "Without it nobody can tell whether the data are still the same: start a new run.", problem);
        }
    }

    /// <summary>Refuses files that are others than when the run began: the order of its records would be another.</summary>
    /// <exception cref="PerenosException">One has changed; the message names it.</exception>
    internal static void RefuseChanged(RunFolder folder)
    {
        if (File.Exists(folder.Data) && Changed(folder.Data) is [var (file, now), ..])
            throw new PerenosException($"{file.Path} has changed since the run began: {file.Bytes:N0} bytes of {file.Modified:u}, now {now.Bytes:N0} bytes of {now.Modified:u}.", "Put the old file back, its time too, or start a new run.");
    }
}
