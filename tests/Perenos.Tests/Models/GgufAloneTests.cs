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
}
