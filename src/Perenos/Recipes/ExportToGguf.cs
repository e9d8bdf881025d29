using System.Text.Json.Nodes;
using Perenos.Checkpoints;
using Perenos.Models;
using Perenos.Runs;
using static TorchSharp.torch;

namespace Perenos.Recipes;

/// <summary>Writes a model as one GGUF file; the file appears only after it was read back and found to be the same model.</summary>
public static class ExportToGguf
{
    /// <summary>What <c>--type</c> may name.</summary>
    public static IReadOnlyList<string> Types { get; } = [.. GgufMixture.All.Select(mixture => mixture.Name.ToLowerInvariant())];

    /// <summary>Converts a model of any form that can be opened.</summary>
    /// <param name="source">The model.</param>
    /// <param name="path">The new file.</param>
    /// <param name="type">One of <see cref="Types"/>.</param>
    /// <param name="progress">Is told how far it is.</param>
    /// <exception cref="PerenosException">GGUF cannot hold the model, or what was written does not read back as it was.</exception>
    public static Conversion Run(ModelSource source, string path, string type, ConversionProgress? progress = null)
    {
        var mixture = GgufMixture.Named(type);
        var sizes = GgufHyperparameters.Of(source.Config, source.ConfigLocation);
        var weights = ModelCatalogue.Outline(source.Config, source.ConfigLocation, source.Tensors);
        var places = Places(source, sizes, weights);
        bool isTied = !places.ContainsKey("output.weight");
        long layers = (long)(uint)sizes.Pairs.First(pair => pair.Key == $"{sizes.Architecture}.block_count").Value.Value;
        int done = 0;
        var entries = sizes.Tensors.Select(extra => new GgufEntry(extra.Name, "F32", [extra.Values.Length], () => tensor(extra.Values).DetachFromDisposeScope()))
            .Concat(places.Select(place =>
            {
                long[] shape = GgufLayout.ShapeAfter(place.Value.Change, source.Tensors.Tensors[place.Value.File].Shape);
                return new GgufEntry(place.Key, mixture.TypeOf(place.Key, shape, layers, isTied), shape, () =>
                {
                    progress?.Invoke("writing", ++done, places.Count);
                    return ReadForGguf(source, place.Value.File, place.Value.Change, sizes);
                });
            })).ToList();
        var rows = places["token_embd.weight"];
        var vocabulary = source.Tokenizer.ToGguf((int)source.Tensors.Tensors[rows.File].Shape[0], source.Gguf?.Text("tokenizer.ggml.pre"));
        List<string> losses = [.. sizes.Losses, .. vocabulary.Losses];
        long parameters = places.Values.Sum(place => source.Tensors.Tensors[place.File].Shape.Aggregate(1L, (product, size) => product * size));
        var metadata = GgufDescription.Of(source, sizes, vocabulary, mixture.FileType, parameters, losses);
        ReadBack? sums = null;
        List<string> checks = [];
        GgufWriter.Write(path, metadata, entries, temporary => (sums, checks) = Check(source, weights, temporary, progress));
        return new Conversion(path, new FileInfo(path).Length, parameters, sums!.Types, checks, losses);
    }

    private static Dictionary<string, (string File, GgufChange Change)> Places(ModelSource source, GgufHyperparameters sizes, IReadOnlyDictionary<string, string> weights)
    {
        var layout = GgufLayout.Of(sizes.Architecture, source.Location);
        var places = new Dictionary<string, (string File, GgufChange Change)>();
        foreach (var (name, file) in weights)
        {
            var (gguf, change) = layout.Place(name) ?? throw new PerenosException(
                $"{source.Location}: {name} has no place in GGUF's {sizes.Architecture}.", "Keep the safetensors form of this model.");
            places.Add(gguf, (file, change));
        }

        return places;
    }

    private static Tensor ReadForGguf(ModelSource source, string name, GgufChange change, GgufHyperparameters sizes)
    {
        var tensor = source.Tensors.Read(name, ScalarType.Float32);
        WeightCheck.RefuseNotFinite($"{source.Location}: {name}", tensor);
        if (change == GgufChange.None)
            return tensor;
        using (tensor)
        using (NewDisposeScope())
            return GgufLayout.Revert(change, tensor, change == GgufChange.KeyRows ? sizes.KeyValueHeads : sizes.Heads).contiguous().DetachFromDisposeScope();
    }

    /// <summary>The file as anyone would open it, held against the source.</summary>
    private static (ReadBack Sums, List<string> Checks) Check(ModelSource source, IReadOnlyDictionary<string, string> weights, string path, ConversionProgress? progress)
    {
        using var written = GgufSource.Open(path);
        var config = GgufConfig.ToHuggingFace(written.File);
        var expected = (JsonObject)source.Config.DeepClone();
        // Tied by the configuration, but the file had a head of its own: that is what counts.
        expected["tie_word_embeddings"] = !written.File.Tensors.ContainsKey("output.weight");
        ConfigDifference.Refuse(expected, source.ConfigLocation, config, "the GGUF file");
        if (!written.Tensors.Keys.ToHashSet().SetEquals(weights.Keys))
            throw new PerenosException($"{source.Location}: the GGUF file would hold other tensors than the model.", "This is a mistake of the program; keep the safetensors form.");
        var sums = new ReadBack();
        int done = 0;
        foreach (var (name, file) in weights)
        {
            progress?.Invoke("comparing", ++done, weights.Count);
            using var before = source.Tensors.Read(file, ScalarType.Float32);
            using var after = written.Read(name, ScalarType.Float32);
            // 1 + w rounds to a float of magnitude 1 to 2, or of w's if it is larger.
            var change = GgufLayout.Of(written.File.Architecture, path).Place(name)?.Change;
            // Values that share a scale lie in a row of the file.
            using var rows = NewDisposeScope();
            Tensor InRows(Tensor values) => change == GgufChange.Transposed && values.dim() == 2 ? values.t().contiguous() : values;
            sums.Compare(name, written.Tensors[name].DType, InRows(before), InRows(after), change == GgufChange.PlusOne ? 1e-6 : 0);
        }

        var parts = GgufTokenizerParts.From(written.File)!;
        SameText.Refuse(source.Tokenizer, ModelSource.OpenTokenizer(parts), source.Location);
        if (parts.ChatTemplate != source.ChatTemplate)
            throw new PerenosException($"{source.Location}: the chat template does not read back as it was.", "This is a mistake of the program; keep the safetensors form.");
        return (sums,
        [
            $"{weights.Count} tensors read back: names, shapes, every value within what its type can hold",
            "configuration: the file means the same model",
            $"tokenizer: {parts.Tokens.Length:N0} tokens, test texts cut alike",
            source.ChatTemplate is null ? "no chat template" : "chat template: equal",
        ]);
    }
}
