using Perenos.Layers;
using Perenos.Runs;

namespace Perenos.Models;

/// <summary>Reads rotary settings in both spellings: <c>rope_parameters</c> (transformers 5), <c>rope_theta</c> and <c>rope_scaling</c> (4).</summary>
internal static class RotarySettings
{
    /// <param name="reader">The configuration.</param>
    /// <param name="headSize">Channels of a head.</param>
    /// <param name="absentBase">The family's base of the frequencies where none is written.</param>
    /// <param name="absentShare">The family's rotated share of a head where none is written; none for families that rotate whole heads only.</param>
    public static RotaryEmbedding Read(ConfigReader reader, long headSize, double absentBase = 10_000, double? absentShare = null)
    {
        var section = reader.Section("rope_parameters") ?? reader.Section("rope_scaling");
        // GPT-NeoX called them rotary_emb_base and rotary_pct.
        double rotaryBase = section?.Number("rope_theta") ?? reader.Number("rope_theta") ?? reader.Number("rotary_emb_base") ?? absentBase;
        double? share = section?.Number("partial_rotary_factor") ?? reader.Number("partial_rotary_factor") ?? reader.Number("rotary_pct") ?? absentShare;
        long size = (long)(headSize * (share ?? 1));
        if (size <= 0 || size > headSize || size % 2 != 0 || (absentShare is null && size != headSize))
        {
            throw new PerenosException(
                $"{reader.Location}: a rotated share of {share} of heads with {headSize} channels is not implemented.",
                absentShare is null ? "This family rotates whole heads." : "Implemented: an even number of channels.");
        }

        return new RotaryEmbedding(size, rotaryBase, section is null ? new RotaryScaling.None() : ReadScaling(reader, section, size));
    }

    /// <summary>The settings of one kind of layers, for families that have a section for each.</summary>
    /// <param name="reader">The configuration.</param>
    /// <param name="section">What it says of these layers.</param>
    /// <param name="headSize">Channels of a head.</param>
    /// <param name="absentBase">The base of the frequencies where the section names none.</param>
    public static RotaryEmbedding ReadSection(ConfigReader reader, ConfigReader? section, long headSize, double absentBase)
    {
        section?.Refuse("partial_rotary_factor", node => node.GetValue<double>() == 1, "1");
        return new RotaryEmbedding(headSize, section?.Number("rope_theta") ?? absentBase,
            section is null ? new RotaryScaling.None() : ReadScaling(reader, section, headSize));
    }

    private static RotaryScaling ReadScaling(ConfigReader reader, ConfigReader section, long size)
    {
        // "type" is the oldest spelling of "rope_type".
        string kind = section.Text("rope_type") ?? section.Text("type") ?? "default";
        double Factor() => section.Number("factor") ?? throw section.Wrong("factor", "a number");
        // Phi 3 writes it beside the section too, and there it counts.
        long OriginalLength() => reader.OptionalInteger("original_max_position_embeddings")
            ?? section.OptionalInteger("original_max_position_embeddings") ?? reader.Size("max_position_embeddings");
        switch (kind)
        {
            case "default":
                return new RotaryScaling.None();
            case "linear":
                return new RotaryScaling.Linear(Factor());
            case "dynamic":
                return new RotaryScaling.Dynamic(Factor(), reader.Size("max_position_embeddings"));
            case "llama3":
                return new RotaryScaling.Llama3(Factor(), section.Number("low_freq_factor") ?? 1, section.Number("high_freq_factor") ?? 4, OriginalLength());
            case "yarn":
                double factor = Factor();
                return new RotaryScaling.Yarn(factor, OriginalLength(), section.Number("beta_fast") ?? 32, section.Number("beta_slow") ?? 1,
                    YarnAttentionFactor(section, factor), section.Flag("truncate", absent: true));
            // "su" is its oldest name.
            case "longrope" or "su":
                return ReadLongRope(reader, section, size, OriginalLength());
            default:
                throw new PerenosException($"{section.Location}: rope_type \"{kind}\" is not implemented.", "Implemented: default, linear, dynamic, llama3, longrope, yarn.");
        }
    }

    private static RotaryScaling.LongRope ReadLongRope(ConfigReader reader, ConfigReader section, long size, long originalLength)
    {
        IReadOnlyList<double> Factors(string key)
        {
            var factors = section.Numbers(key);
            return factors.Count == size / 2 && factors.All(factor => factor > 0) ? factors : throw section.Wrong(key, $"a list of {size / 2} positive numbers");
        }

        double growth = section.Number("factor") ?? (double)reader.Size("max_position_embeddings") / originalLength;
        double attentionFactor = section.Number("attention_factor") ?? (growth <= 1 ? 1 : Math.Sqrt(1 + Math.Log(growth) / Math.Log(originalLength)));
        return new RotaryScaling.LongRope(Factors("short_factor"), Factors("long_factor"), originalLength, attentionFactor);
    }

    // https://arxiv.org/abs/2309.00071, equation 22; mscale and mscale_all_dim as DeepSeek writes them.
    private static double YarnAttentionFactor(ConfigReader section, double factor)
    {
        double Scale(double mscale) => factor <= 1 ? 1 : 0.1 * mscale * Math.Log(factor) + 1;
        if (section.Number("attention_factor") is { } given)
            return given;
        return section.Number("mscale") is { } mscale && section.Number("mscale_all_dim") is { } all && mscale != 0 && all != 0
            ? Scale(mscale) / Scale(all)
            : Scale(1);
    }
}
