using Perenos.Checkpoints;
using Perenos.Models;
using Perenos.Recipes;
using Perenos.Runs;
using Perenos.Runs.Config;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Recipes;

/// <summary>Rows of new tokens learn beside an adapter, lie in its folder, and open on the extended base alone.</summary>
public sealed class AddedVocabularyTests : IDisposable
{
    private static readonly string[] Added = ["nuageux", "sunny"];

    private readonly TinyProject _project = new();

    public AddedVocabularyTests()
    {
        var full = _project.Config(new FullConfig());
        _project.Run(full with { Training = full.Training with { MaximumSteps = 2 } }, "first");
        Extend("extended");
    }

    private string Original => _project.Open("first").Model;

    public void Dispose() => _project.Dispose();

    [Theory]
    [InlineData("lora")]
    [InlineData("dora")]
    public void An_adapter_on_an_extended_base_carries_the_trained_rows_and_opens_on_that_base_alone(string method)
    {
        _project.Run(_project.Config(new FullConfig()) with { Start = new PretrainedStart { Model = _project.PathOf("extended") }, Method = FineTuneTests.MethodOf(method) }, method);
        string adapter = _project.Open(method).Adapter;

        using (var extended = Pretrained.Open(_project.PathOf("extended"), ScalarType.Float32))
        {
            using var file = SafetensorsFile.Open(Path.Combine(adapter, "adapter_model.safetensors"));
            using var rows = file.Read("base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta");
            Assert.Equal([Added.Length, TinyProject.Width], rows.shape);
            for (int row = 0; row < Added.Length; row++)
                Assert.False(rows[row].equal(extended.Model.Embedding.Weight[TinyProject.Vocabulary + row]).all().item<bool>(), "the row did not learn");
            using var opened = OpenedAdapter.Open(adapter, extended).Adapter;
        }

        using (var original = Pretrained.Open(Original, ScalarType.Float32))
        {
            var problem = Assert.Throws<PerenosException>(() => OpenedAdapter.Open(adapter, original));
            Assert.Contains("2 tokens", problem.Message, StringComparison.Ordinal);
            Assert.Contains($"perenos tokenizer extend {Original} --token \"nuageux\" --token \"sunny\" --output", problem.Hint, StringComparison.Ordinal);
            Assert.All(original.Model.Parts.Projections, projection => Assert.False(projection.IsAdapted));
        }

        // The hint's way: the same rows again.
        Extend("again");
        using var again = Pretrained.Open(_project.PathOf("again"), ScalarType.Float32);
        var verified = OpenedAdapter.Open(adapter, again);
        using var adapterAgain = verified.Adapter;
        Assert.Empty(verified.Unverified);
    }

    [Fact]
    public void Without_new_tokens_or_with_none_asked_for_no_rows_learn()
    {
        var settings = (LoraConfig)FineTuneTests.MethodOf("lora");
        foreach (var (name, model, tokens) in new[] { ("plain", Original, (int[]?)null), ("none", _project.PathOf("extended"), []) })
        {
            _project.Run(_project.Config(new FullConfig()) with { Start = new PretrainedStart { Model = model }, Method = settings with { TrainableTokens = tokens } }, name);
            using var file = SafetensorsFile.Open(Path.Combine(_project.Open(name).Adapter, "adapter_model.safetensors"));
            Assert.DoesNotContain(file.Tensors.Keys, key => key.Contains("token", StringComparison.Ordinal));
        }
    }

    [Fact]
    public void A_list_of_new_tokens_that_is_not_the_tokenizers_is_refused()
    {
        string path = Path.Combine(_project.PathOf("extended"), AddedVocabulary.FileName);
        File.WriteAllText(path, File.ReadAllText(path).Replace("sunny", "rainy", StringComparison.Ordinal));
        Assert.Contains(AddedVocabulary.FileName, Assert.Throws<PerenosException>(() => Pretrained.Open(_project.PathOf("extended"), ScalarType.Float32)).Message, StringComparison.Ordinal);
    }

    private void Extend(string name)
    {
        using var original = Pretrained.Open(Original, ScalarType.Float32);
        new VocabularyExtension(original, Added).Save(_project.PathOf(name));
    }
}
