using Perenos.Layers;
using static TorchSharp.torch;

namespace Perenos.Models;

/// <summary>GPT-J's attention with one fused projection.</summary>
internal sealed class CodeGenAttention
{
    /// <summary>The fused projection lies in as many blocks as the first models were trained on cores.</summary>
    public const int Blocks = 4;

    private readonly GptJConfig _config;
    private readonly int _index;
    private readonly Projection _queryKeyValue;
    private readonly Projection _output;

    public CodeGenAttention(GptJConfig config, WeightScope weights, int index)
    {
        (_config, _index) = (config, index);
        _queryKeyValue = new Projection(weights["qkv_proj"], config.Width, 3 * config.Width, hasBias: false, initialSpread: config.InitialSpread);
        _output = new Projection(weights["out_proj"], config.Width, config.Width, hasBias: false, initialSpread: config.InitialSpread);
    }

    public Tensor Forward(Tensor input, ForwardContext context)
    {
        using var scope = NewDisposeScope();
        var (batch, time) = (input.shape[0], input.shape[1]);

        // (B, T, 3 C) -> (B, T, 4, 3, H/4 · D): query, value and key of a block stand side by side, in this order.
        var blocks = _queryKeyValue.Forward(input).view(batch, time, Blocks, 3, -1);

        // (B, T, 4, H/4 · D) -> (B, T, H, D)
        Tensor Heads(int part) => blocks.select(3, part).reshape(batch, time, _config.Heads, -1);
        var query = context.Rotary!.RotateNeighbours(Heads(0)).transpose(1, 2);
        var value = Heads(1).transpose(1, 2);
        var key = context.Rotary.RotateNeighbours(Heads(2)).transpose(1, 2);
        return _output.Forward(CausalAttention.Attend(query, key, value, context, _index)).MoveToOuterDisposeScope();
    }
}

/// <summary>CodeGen (Nijkamp et al. 2022, https://arxiv.org/abs/2203.13474): a GPT-J with another attention.</summary>
internal static class CodeGen
{
    public static ModelFamily Family { get; } = ModelFamily.Of("codegen", "CodeGenForCausalLM", "transformer.wte.weight", Read,
        (config, weights) => new GptJ(config, weights, (block, index) => new CodeGenAttention(config, block, index).Forward)) with
    {
        OldBuffers = [".attn.causal_mask", ".attn.bias", ".attn.masked_bias"],
    };

    private static GptJConfig Read(ConfigReader reader)
    {
        var config = GptJConfig.Read(reader, "codegen");
        return config.Heads % CodeGenAttention.Blocks == 0 ? config : throw reader.Wrong("n_head", $"a multiple of {CodeGenAttention.Blocks}");
    }
}
