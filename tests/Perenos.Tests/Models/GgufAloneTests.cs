using System.Text.Json.Nodes;
using Perenos.Checkpoints;
using Perenos.Models;
using Perenos.Testing;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Models;

/// <summary>A GGUF file without config.json or tokenizer.json beside it: everything comes from its metadata.</summary>
public sealed class GgufAloneTests
{
    // Rows of query and key lie in another order in the file, so nothing is summed otherwise.
    private const double Tolerance = 1e-5;

    // The fixtures' README: own float32 code against the logits of the reference.
    private const double ReferenceTolerance = 1e-4;

    public static TheoryData<string> Names => [.. Fixtures.Folders("gguf", "model.gguf")];

    [Theory]
    [MemberData(nameof(Names))]
    public void It_computes_what_its_twin_in_a_folder_computes(string name)
    {
        string folder = Fixtures.FolderOrSkip("gguf", name);
        string twinFolder = Path.Combine(folder, "hf");
        Assert.SkipUnless(Directory.Exists(twinFolder), $"{name} has no twin");
        var config = JsonNode.Parse(File.ReadAllText(Path.Combine(twinFolder, "config.json")))!.AsObject();
        string type = config["model_type"]!.ToString();
        Assert.SkipUnless(ModelCatalogue.Families.Any(family => family.ModelType == type), $"{name}: the family {type} is not built yet");

        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        using var alone = Pretrained.Open(Path.Combine(folder, "model.gguf"), ScalarType.Float32);
        using var weights = CheckpointFolder.OpenWeights(twinFolder);
        using var twin = ModelCatalogue.Load(config, twinFolder, weights, ScalarType.Float32);
        Assert.Equal(twin.Config.VocabularySize, alone.Model.Config.VocabularySize);
        Assert.Equal(twin.Config.MaximumLength, alone.Model.Config.MaximumLength);
        Assert.NotEmpty(alone.StopTokens);
        var tokens = tensor(TinyModel.Tokens(20, seed: 1, (int)twin.Config.VocabularySize).Select(id => (long)id).ToArray(), [2, 10]);
        Near.Equal(twin.Logits(twin.Hidden(tokens)), alone.Model.Logits(alone.Model.Hidden(tokens)), Tolerance, name);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void It_computes_what_the_reference_computes(string name)
    {
        string folder = Fixtures.FolderOrSkip("gguf", name), root = Path.GetDirectoryName(folder)!;
        using var values = SafetensorsFile.Open(Path.Combine(root, "tiny_expected.safetensors"));
        Assert.SkipUnless(values.Tensors.ContainsKey($"{name}/logits"), $"{name} has no logits");
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        using var alone = Pretrained.Open(Path.Combine(folder, "model.gguf"), ScalarType.Float32);
        var expected = values.Read($"{name}/logits");
        var sequences = JsonNode.Parse(File.ReadAllText(Path.Combine(root, "tiny_expected.json")))!;
        string kind = alone.Model.Config.ModelType is "gpt2" or "gpt_neox" ? "sequences_bpe" : "sequences_llama";
        long[] ids = [.. sequences[kind]!.AsArray().SelectMany(sequence => sequence!.AsArray().Select(id => id!.GetValue<long>()))];
        Near.Equal(expected, alone.Model.Logits(alone.Model.Hidden(tensor(ids, [2, ids.Length / 2]))), ReferenceTolerance, name);
    }
}
