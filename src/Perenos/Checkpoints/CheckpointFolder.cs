using Perenos.Runs;

namespace Perenos.Checkpoints;

/// <summary>Finds the weights of a model as users have them on disk.</summary>
public static class CheckpointFolder
{
    /// <summary>
    /// Opens a safetensors file, an index of shards, a GGUF file, or a folder that holds <c>model.safetensors</c>, shards with
    /// their index, or a single GGUF file, in this order.
    /// </summary>
    /// <exception cref="PerenosException">Nothing readable is there, or it is malformed.</exception>
    public static ITensorSource OpenWeights(string folderOrFile)
    {
        if (File.Exists(folderOrFile))
            return OpenFile(folderOrFile);
        if (!Directory.Exists(folderOrFile))
            throw new PerenosException($"there is no file or folder {folderOrFile}.", "give a model folder as downloaded, or a .safetensors or .gguf file.");

        string single = Path.Combine(folderOrFile, "model.safetensors"), index = Path.Combine(folderOrFile, SafetensorsFolder.IndexName);
        if (File.Exists(single))
            return SafetensorsFile.Open(single);
        if (File.Exists(index))
            return SafetensorsFolder.Open(index);
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
            $"{folderOrFile} holds no weights: no model.safetensors, no {SafetensorsFolder.IndexName}, no .gguf.",
            Directory.EnumerateFiles(folderOrFile, "*.bin").Any()
                ? "its .bin files are Python pickles, which can run code and are not read: download the safetensors form."
                : "give a model folder as downloaded, or a .safetensors or .gguf file.");
    }

    private static ITensorSource OpenFile(string path)
    {
        return Path.GetExtension(path) switch
        {
            ".json" => SafetensorsFolder.Open(path),
            ".gguf" => GgufSource.Open(path),
            _ => SafetensorsFile.Open(path),
        };
    }
}
