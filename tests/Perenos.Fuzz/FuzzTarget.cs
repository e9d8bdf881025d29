using Perenos.Fuzz.Targets;

namespace Perenos.Fuzz;

/// <summary>A reader under test. Another one is another entry in <see cref="All"/>.</summary>
/// <param name="Name">Its name on the command line.</param>
/// <param name="Seeds">Small files that it accepts.</param>
/// <param name="Mutate">Damages one of them.</param>
/// <param name="Read">Reads all of an input, and gives the bytes of the largest tensor that came out, 0 where there is none.</param>
public sealed record FuzzTarget(string Name, IReadOnlyList<byte[]> Seeds, Func<byte[], Damage, byte[]> Mutate, Func<FuzzInput, long> Read)
{
    /// <summary>All readers of files from strangers.</summary>
    public static IReadOnlyList<FuzzTarget> All { get; } =
    [
        SafetensorsTarget.Create(), ShardIndexTarget.Create(), TorchTarget.Create(), GgufTarget.Create(), TokenizerTarget.Create(), TemplateTarget.Create(),
        .. SentencePieceTargets.Create(), ModelConfigTarget.Create(), AdapterTarget.Create(), ParquetTarget.Create(), .. RecordsTargets.Create(),
    ];
}

/// <summary>One damaged file.</summary>
/// <param name="bytes">Its content.</param>
/// <param name="folder">Where it is written if the reader wants a file.</param>
public sealed class FuzzInput(byte[] bytes, string folder)
{
    /// <summary>The content.</summary>
    public byte[] Bytes { get; } = bytes;

    /// <summary>Path of a file of that name with this content.</summary>
    public string FileNamed(string name)
    {
        string path = FileBeside(name);
        File.WriteAllBytes(path, Bytes);
        return path;
    }

    /// <summary>Path for a file that belongs to the input but is not damaged.</summary>
    public string FileBeside(string name) => Path.Combine(folder, name);
}
