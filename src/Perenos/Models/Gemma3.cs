using System.Diagnostics.CodeAnalysis;
using Perenos.Layers;

namespace Perenos.Models;

/// <summary>Sizes and kinds of the text part of a Gemma 3.</summary>
internal sealed record Gemma3Config : ModelConfig
{
    [SetsRequiredMembers]
    public Gemma3Config(ConfigReader reader)
        : base(reader, "gemma3_text", absentMaximumLength: 131_072, isTiedWhereAbsent: true)
    {
        reader.RefuseTrue("use_bidirectional_attention");
        reader.Refuse("attn_logit_softcapping", _ => false, "null");
        Sizes = BlockSizes.Read(
            reader, absentKeys: 4, absentHeadSize: 256, activationKey: "hidden_activation", absentActivation: "gelu_pytorch_tanh") with
        { NormKind = Gemma.Norm };
        (Rotary, LocalRotary) = ReadRotary(reader, Sizes.Heads.Size);
        HasAttentionBias = reader.Flag("attention_bias", absent: false);
        long pattern = reader.Size(reader.Either("sliding_window_pattern", "_sliding_window_pattern"), absent: 6);
        Windows = LayerWindows.Read(reader, LayerCount, reader.SizeOrNone("sliding_window", absent: 4096), layer => (layer + 1) % pattern != 0);
        QueryScalar = reader.PositiveOrNone("query_pre_attn_scalar", absent: 256) ?? 256;
        LogitCap = reader.PositiveOrNone("final_logit_softcapping", absent: null);
    }

    public BlockSizes Sizes { get; }

    /// <summary>Positions of the layers that see everything.</summary>
    public RotaryEmbedding Rotary { get; }

    /// <summary>Positions of the layers that see a window.</summary>
    public RotaryEmbedding LocalRotary { get; }

    /// <summary>Biases on the four projections of attention.</summary>
    public bool HasAttentionBias { get; }

    /// <summary>Tokens that the tokens of each layer see; none: all.</summary>
    public IReadOnlyList<long?> Windows { get; }

    /// <summary>Attention scores are divided by its root, in place of the head's size.</summary>
    public double QueryScalar { get; }

    /// <summary>c in c · tanh(logit / c); none: logits as they are.</summary>
    public double? LogitCap { get; }

    // Version 5 has a section for each kind of layers; version 4 two bases, and a scaling that concerns the full layers only.
    private static (RotaryEmbedding Full, RotaryEmbedding Local) ReadRotary(ConfigReader reader, long headSize)
    {
        const string full = "full_attention", local = "sliding_attention";
        var sections = reader.Section("rope_parameters");
        if (sections is not null && !sections.Has(full) && !sections.Has(local))
            throw reader.Wrong("rope_parameters", $"a section for {full} and one for {local}");
        double fullBase = reader.Number("rope_theta") ?? 1_000_000, localBase = reader.Number("rope_local_base_freq") ?? 10_000;
        return (
            RotarySettings.ReadSection(reader, sections is null ? reader.Section("rope_scaling") : sections.Section(full), headSize, fullBase),
            RotarySettings.ReadSection(reader, sections?.Section(local), headSize, localBase));
    }
}

/// <summary>Gemma 3 (Gemma Team 2025, https://arxiv.org/abs/2503.19786): mostly local layers with their own rotary base, and norms on each head of queries and keys.</summary>
internal static class Gemma3
{
    public static ModelFamily Family { get; } =
        ModelFamily.Of("gemma3_text", "Gemma3ForCausalLM", "model.embed_tokens.weight", reader => new Gemma3Config(reader), Build);

    private static RotaryDecoder Build(Gemma3Config config, WeightSource source) => new(config, source, new RotaryDecoderDesign
    {
        Sizes = config.Sizes,
        Rotary = config.Rotary,
        LocalRotary = config.LocalRotary,
        Layer = (weights, index) => new Gemma2Layer(config.Sizes, Attention(config, index), weights, index),
        EmbeddingScale = Math.Sqrt(config.Width),
        LogitCap = config.LogitCap,
    });

    private static AttentionSettings Attention(Gemma3Config config, int index)
    {
        bool isLocal = config.Windows[index] is not null;
        return config.Sizes.Attention with
        {
            HasInputBias = config.HasAttentionBias,
            HasOutputBias = config.HasAttentionBias,
            Window = config.Windows[index],
            Scale = 1 / Math.Sqrt(config.QueryScalar),
            HeadNorm = (norm, _) => config.Sizes.Norm(norm, config.Sizes.Heads.Size),
            Rotate = (context, heads) => (isLocal ? context.LocalRotary! : context.Rotary!).Rotate(heads),
        };
    }
}
