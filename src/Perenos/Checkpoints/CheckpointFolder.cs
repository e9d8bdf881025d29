using Perenos.Runs;

namespace Perenos.Checkpoints;

/// <summary>Finds the weights of a model as users have them on disk.</summary>
public static class CheckpointFolder
{
    private static readonly string[] HuggingFaceNames =
        ["model.safetensors", ShardedCheckpoint.SafetensorsIndexName, "pytorch_model.bin", ShardedCheckpoint.TorchIndexName];

    /// <summary>
    /// Opens a safetensors, <c>.bin</c> or GGUF file, an index of shards, or a folder that holds <c>model.safetensors</c> or shards with
    /// their index, <c>pytorch_model.bin</c> or shards with their index, or a single GGUF file, in this order.
    /// </summary>
    /// <exception cref="PerenosException">Nothing readable is there, or it is malformed.</exception>
    public static ITensorSource OpenWeights(string folderOrFile)
    {
        if (File.Exists(folderOrFile))
            return OpenFile(folderOrFile);
        if (!Directory.Exists(folderOrFile))
            throw new PerenosException($"there is no file or folder {folderOrFile}.", "give a model folder as downloaded, or a .safetensors, .bin or .gguf file.");

        foreach (string name in HuggingFaceNames)
        {
            string path = Path.Combine(folderOrFile, name);
            if (File.Exists(path))
                return OpenFile(path);
        }

        string[] gguf = [.. Directory.EnumerateFiles(folderOrFile, "*.gguf").Order(StringComparer.Ordinal)];
        if (gguf.Length > 1)
        {
            throw new PerenosException(
                $"{folderOrFile} holds {gguf.Length} GGUF files: {string.Join(", ", gguf.Take(3).Select(Path.GetFileName))}.",
                "give one of the files instead of the folder.");
        }

        if (gguf.Length == 1)
            return GgufSource.Open(gguf[0]);
        throw new PerenosException(
            $"{folderOrFile} holds no weights: no {string.Join(", no ", HuggingFaceNames)}, no .gguf.",
            "give a model folder as downloaded, or a .safetensors, .bin or .gguf file.");
    }

    /// <summary>Opens a single file by its extension.</summary>
    internal static ITensorSource OpenFile(string path) => Path.GetExtension(path) switch
    {
        ".json" => ShardedCheckpoint.Open(path),
        ".gguf" => GgufSource.Open(path),
        ".bin" or ".pt" or ".pth" => TorchFile.Open(path),
        _ => SafetensorsFile.Open(path),
    };
}
