using System.Text.Json.Nodes;
using Perenos.Adapters;
using Perenos.Models;
using Perenos.Runs.Config;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Models;

/// <summary>Models and adapters that start from a seed.</summary>
public sealed class RandomStartTests
{
    private const string Configuration = """
        {
          "model_type": "llama", "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24,
          "vocab_size": 32, "tie_word_embeddings": true
        }
        """;

    [Theory]
    [InlineData(ScalarType.Float32)]
    [InlineData(ScalarType.BFloat16)]
    public void A_random_start_leaves_only_its_weights_behind(ScalarType type)
    {
        long before = Tensor.TotalCount;
        using var model = ModelCatalogue.Start(JsonNode.Parse(Configuration)!.AsObject(), "test", 1, type);
        Assert.Equal(before + model.Parts.Weights.Count, Tensor.TotalCount);
        using var lora = Lora.Start(model.Parts, new LoraConfig(), 1);
        Assert.Equal(before + model.Parts.Weights.Count + lora.Weights.Count, Tensor.TotalCount);
    }
}
