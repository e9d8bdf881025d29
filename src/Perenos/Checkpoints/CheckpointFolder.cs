using Perenos.Runs;

namespace Perenos.Checkpoints;

/// <summary>Finds the weights of a model as users have them on disk.</summary>
public static class CheckpointFolder
{
    /// <summary>
    /// Opens a safetensors file, an index of shards, or a folder that holds <c>model.safetensors</c> or shards with their index,
    /// in this order.
    /// </summary>
    /// <exception cref="PerenosException">Nothing readable is there, or it is malformed.</exception>
    public static ITensorSource OpenWeights(string folderOrFile)
    {
        if (File.Exists(folderOrFile))
            return OpenFile(folderOrFile);
        if (!Directory.Exists(folderOrFile))
            throw new PerenosException($"there is no file or folder {folderOrFile}.", "give a model folder as downloaded, or a .safetensors file.");

        string single = Path.Combine(folderOrFile, "model.safetensors"), index = Path.Combine(folderOrFile, SafetensorsFolder.IndexName);
        if (File.Exists(single))
            return SafetensorsFile.Open(single);
        if (File.Exists(index))
            return SafetensorsFolder.Open(index);
        throw new PerenosException(
            $"{folderOrFile} holds no weights: neither model.safetensors nor {SafetensorsFolder.IndexName}.",
            Directory.EnumerateFiles(folderOrFile, "*.bin").Any()
                ? "its .bin files are Python pickles, which can run code and are not read: download the safetensors form."
                : "give a model folder as downloaded, or a .safetensors file.");
    }

    private static ITensorSource OpenFile(string path) =>
        path.EndsWith(".index.json", StringComparison.Ordinal) ? SafetensorsFolder.Open(path) : SafetensorsFile.Open(path);
}
