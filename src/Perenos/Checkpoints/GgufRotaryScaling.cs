using System.Text.Json.Nodes;
using Perenos.Runs;

namespace Perenos.Checkpoints;

/// <summary>How a GGUF file says that rotary positions are stretched, as the <c>rope_scaling</c> of a <c>config.json</c> and back.</summary>
internal static class GgufRotaryScaling
{
    /// <summary>Holds Llama 3's rescaling of the rotary frequencies, which belongs to the configuration in Hugging Face's form.</summary>
    public const string Divisors = "rope_freqs.weight";

    /// <summary>LongRoPE's factors, likewise.</summary>
    public const string LongFactors = "rope_factors_long.weight", ShortFactors = "rope_factors_short.weight";

    /// <summary>Tensors that are part of the configuration.</summary>
    public static bool IsPartOfConfiguration(string tensor) => tensor is Divisors or LongFactors or ShortFactors;

    /// <summary>The section, or null where positions are not stretched.</summary>
    /// <exception cref="PerenosException">The file stretches in a way that is not known here.</exception>
    public static JsonObject? Read(GgufFile file)
    {
        if (file.Tensors.ContainsKey(Divisors))
            return Llama3(file);
        string prefix = $"{file.Architecture}.rope.scaling.";
        double? factor = file.Number(prefix + "factor");
        long? original = file.Integer(prefix + "original_context_length");
        switch (file.Text(prefix + "type"))
        {
            case null or "none":
                return null;
            case "linear" when factor is { } f:
                return new JsonObject { ["rope_type"] = "linear", ["factor"] = f };
            case "yarn" when factor is { } f && original is { } length:
                RefuseYarnVariant(file, prefix);
                var yarn = new JsonObject { ["rope_type"] = "yarn", ["factor"] = f, ["original_max_position_embeddings"] = length };
                if (file.Number(prefix + "yarn_beta_fast") is { } fast)
                    yarn["beta_fast"] = fast;
                if (file.Number(prefix + "yarn_beta_slow") is { } slow)
                    yarn["beta_slow"] = slow;
                return yarn;
            case "longrope" when original is { } length && file.Tensors.ContainsKey(LongFactors) && file.Tensors.ContainsKey(ShortFactors):
                return new JsonObject
                {
                    ["rope_type"] = "longrope",
                    ["long_factor"] = Numbers(file.ReadFloats(LongFactors)),
                    ["short_factor"] = Numbers(file.ReadFloats(ShortFactors)),
                    ["original_max_position_embeddings"] = length,
                };
            case var type:
                throw new PerenosException(
                    $"{file.Location} scales its rotary positions by {Refusal.Quote(type)} without the numbers it takes, or in a way not known here.",
                    "known are linear, yarn, longrope and Llama 3's; use the safetensors form of the model.");
        }
    }

    /// <summary>Llama 3's divisor of each frequency: the factor where the wavelength is long, 1 where it is short, a ramp between.</summary>
    public static float[] Llama3Divisors(int count, double theta, double factor, double lowFrequency, double highFrequency, double originalContext)
    {
        var divisors = new float[count];
        for (int i = 0; i < count; i++)
        {
            double smooth = Smooth(i, count, theta, lowFrequency, highFrequency, originalContext);
            divisors[i] = (float)(1 / ((1 - smooth) / factor + smooth));
        }

        return divisors;
    }

    /// <summary>
    /// Llama 3's converter stores one divisor for each frequency instead of the four numbers it came from. Released models have
    /// 1, 4 and 8,192 for three of them (Perenos notes another length), and the fourth is the largest divisor. Where these do not give
    /// the stored divisors back, the three are taken from the ramp, which they fix but for a common factor: the low frequency counts
    /// as 1. If that fails too, the file is refused.
    /// </summary>
    private static JsonObject Llama3(GgufFile file)
    {
        float[] divisors = file.ReadFloats(Divisors);
        double theta = file.Number($"{file.Architecture}.rope.freq_base") ?? 10_000, factor = divisors.Length > 0 ? divisors.Max() : 1;
        double noted = file.Integer($"{file.Architecture}.rope.scaling.original_context_length") ?? 8_192;
        foreach (var (low, high, original) in new[] { (1.0, 4.0, noted), FromRamp(divisors, theta, factor) })
        {
            float[] expected = Llama3Divisors(divisors.Length, theta, factor, low, high, original);
            if (!divisors.Zip(expected).All(pair => Math.Abs(pair.First - pair.Second) <= 1e-3 * pair.Second))
                continue;
            return new JsonObject
            {
                ["rope_type"] = "llama3",
                ["factor"] = factor,
                ["low_freq_factor"] = low,
                ["high_freq_factor"] = high,
                ["original_max_position_embeddings"] = (long)original,
            };
        }

        throw new PerenosException(
            $"{file.Location} rescales its rotary frequencies ({Divisors}) in a way that is not Llama 3's.", "use the safetensors form of the model.");
    }

    /// <summary>On the ramp, original / wavelength = low + smooth · (high - low): two places give the line.</summary>
    private static (double Low, double High, double Original) FromRamp(float[] divisors, double theta, double factor)
    {
        var places = Enumerable.Range(0, divisors.Length)
            .Where(i => divisors[i] > 1.001 && divisors[i] < factor * 0.999)
            .Select(i => (Frequency: 1 / Wavelength(i, divisors.Length, theta), Smooth: (1 / (double)divisors[i] - 1 / factor) / (1 - 1 / factor)))
            .ToList();
        if (places.Count < 2)
            return (1, 4, 8_192);
        var (first, last) = (places[0], places[^1]);
        // frequency = (low + smooth · (high - low)) / original, and low = 1
        double slope = (first.Frequency - last.Frequency) / (first.Smooth - last.Smooth), start = first.Frequency - first.Smooth * slope;
        return (1, Math.Round(1 + slope / start, 4), Math.Round(1 / start));
    }

    private static double Smooth(int i, int count, double theta, double low, double high, double original) =>
        Math.Clamp((original / Wavelength(i, count, theta) - low) / (high - low), 0, 1);

    private static double Wavelength(int i, int count, double theta) => 2 * Math.PI * Math.Pow(theta, (double)i / count);

    // llama.cpp multiplies its own correction of attention by yarn_attn_factor, transformers replaces it by attention_factor.
    private static void RefuseYarnVariant(GgufFile file, string prefix)
    {
        foreach (string key in new[] { "yarn_attn_factor", "yarn_ext_factor", "attn_factor" })
        {
            if (file.Number(prefix + key) is { } value && value != 1)
                throw new PerenosException($"{file.Location} sets {prefix}{key} to {value}, which Hugging Face's form cannot say.", "use the safetensors form of the model.");
        }
    }

    private static JsonArray Numbers(float[] values) => new([.. values.Select(value => (JsonNode)value)]);
}
