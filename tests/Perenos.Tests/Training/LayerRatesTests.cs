using Perenos.Training;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Training;

public sealed class LayerRatesTests
{
    [Theory]
    [InlineData("model.embed_tokens.weight", true, 0.125)]
    [InlineData("model.layers.0.self_attn.q_proj.weight", false, 0.25)]
    [InlineData("base_model.model.model.layers.1.mlp.up_proj.lora_A.weight", false, 0.5)]
    [InlineData("transformer.h.2.attn.c_attn.bias", false, 1)]
    [InlineData("model.norm.weight", false, 1)]
    [InlineData("lm_head.weight", false, 1)]
    public void Each_layer_learns_at_a_share_of_the_rate_of_the_one_above(string name, bool isEmbedding, double factor)
    {
        using var weight = zeros(1);
        var trainable = new Trainable(name, weight, Decays: true) { IsEmbedding = isEmbedding, RateFactor = 3 };
        Assert.Equal(3 * factor, LayerRates.Decayed([trainable], 0.5, layers: 3)[0].RateFactor, 1e-12);
        Assert.Same(trainable, LayerRates.Decayed([trainable], 1, layers: 3)[0]);
    }
}
