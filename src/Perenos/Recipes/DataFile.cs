using Perenos.Runs;

namespace Perenos.Recipes;

/// <summary>A file that a run reads anew when it goes on, and by what a change of it is told.</summary>
/// <param name="Path">Full path.</param>
/// <param name="Bytes">Its size.</param>
/// <param name="Modified">When it was last written.</param>
public sealed record DataFile(string Path, long Bytes, DateTime Modified)
{
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

    /// <summary>Keeps what a run reads in its folder.</summary>
    internal static void Write(RunFolder folder, IReadOnlyList<DataFile> files)
    {
        if (files.Count > 0)
            ConfigFile.Write(folder.Data, files);
    }

    /// <summary>Refuses files that are others than when the run began: the order of its records would be another.</summary>
    /// <exception cref="PerenosException">One has changed; the message names it.</exception>
    internal static void RefuseChanged(RunFolder folder)
    {
        if (!File.Exists(folder.Data))
            return;
        foreach (var file in ConfigFile.Read<IReadOnlyList<DataFile>>(folder.Data))
        {
            if (Of(file.Path) is var now && now != file)
                throw new PerenosException($"{file.Path} has changed since the run began: {file.Bytes:N0} bytes of {file.Modified:u}, now {now.Bytes:N0} bytes of {now.Modified:u}.", "Put the old file back, its time too, or start a new run.");
        }
    }
}
