using Perenos.Runs;
using static TorchSharp.torch;

namespace Perenos.Layers;

/// <summary>Cosines and sines of one call, float32, (T, R/2) or (B, T, R/2).</summary>
public sealed record RotaryAngles(Tensor Cosine, Tensor Sine)
{
    /// <summary>Rotates the first R channels of (B, T, H, D): x cos + (−x₂, x₁) sin, x₁ and x₂ the halves of these channels.</summary>
    public Tensor Rotate(Tensor heads) => Kernels.RotaryRotation.Apply(heads, Cosine, Sine);

    /// <summary>Rotates (B, T, H, D) in GPT-J's layout, where channel 2i turns with channel 2i + 1.</summary>
    public Tensor RotateNeighbours(Tensor heads)
    {
        using var scope = NewDisposeScope();
        long half = Cosine.shape[^1], rest = heads.shape[^1] - 2 * half;
        var turned = heads.narrow(-1, 0, 2 * half);
        // (…, R/2, 2) -> (…, 2, R/2): neighbours become halves, and back.
        turned = Rotate(turned.unflatten(3, [half, 2]).transpose(-1, -2).flatten(3));
        turned = turned.unflatten(3, [2, half]).transpose(-1, -2).flatten(3);
        return (rest == 0 ? turned : cat([turned, heads.narrow(-1, 2 * half, rest)], -1)).MoveToOuterDisposeScope();
    }
}

/// <summary>How rotary frequencies are stretched for contexts longer than those trained on.</summary>
public abstract record RotaryScaling
{
    private RotaryScaling()
    {
    }

    /// <summary>As trained.</summary>
    public sealed record None : RotaryScaling;

    /// <summary>All frequencies divided by <paramref name="Factor"/> (Chen et al. 2023, https://arxiv.org/abs/2306.15595).</summary>
    public sealed record Linear(double Factor) : RotaryScaling;

    /// <summary>The base grows with the length of the text beyond <paramref name="OriginalLength"/> (NTK-aware, "dynamic").</summary>
    public sealed record Dynamic(double Factor, long OriginalLength) : RotaryScaling;

    /// <summary>YaRN (Peng et al. 2023, https://arxiv.org/abs/2309.00071).</summary>
    public sealed record Yarn(double Factor, long OriginalLength, double BetaFast, double BetaSlow, double AttentionFactor, bool Truncates) : RotaryScaling;

    /// <summary>LongRoPE (Ding et al. 2024, https://arxiv.org/abs/2402.13753): a divisor for each frequency, other ones for texts beyond the original length.</summary>
    public sealed record LongRope(IReadOnlyList<double> ShortFactors, IReadOnlyList<double> LongFactors, long OriginalLength, double AttentionFactor) : RotaryScaling;

    /// <summary>Llama 3.1: low frequencies divided, high ones kept, a ramp between.</summary>
    public sealed record Llama3(double Factor, double LowFrequencyFactor, double HighFrequencyFactor, long OriginalLength) : RotaryScaling;
}

/// <summary>Rotary position embedding (Su et al. 2021, https://arxiv.org/abs/2104.09864).</summary>
/// <param name="Size">Channels of a head that are rotated, R.</param>
/// <param name="Base">Base of the frequencies, "theta".</param>
/// <param name="Scaling">Stretching for long contexts.</param>
public sealed record RotaryEmbedding(long Size, double Base, RotaryScaling Scaling)
{
    /// <summary>Angles for positions (B or 1, T). Where frequencies depend on the length of the text, each row's largest position says it.</summary>
    public RotaryAngles At(Tensor positions)
    {
        using var scope = NewDisposeScope();
        // float32 throughout: bfloat16 cannot tell neighbouring positions apart.
        var frequencies = Scaling is RotaryScaling.Dynamic or RotaryScaling.LongRope
            ? FrequenciesByRow(positions) // (1, R/2) or (B, 1, R/2)
            : tensor(Frequencies(0), device: positions.device); // (R/2)
        var rows = positions.shape[0] == 1 ? positions.squeeze(0) : positions;
        var angles = rows.to(ScalarType.Float32).unsqueeze(-1) * frequencies; // (T, R/2) or (B, T, R/2)
        double factor = Scaling switch
        {
            RotaryScaling.Yarn yarn => yarn.AttentionFactor,
            RotaryScaling.LongRope longRope => longRope.AttentionFactor,
            _ => 1,
        };
        return new RotaryAngles(angles.cos().Times(factor).MoveToOuterDisposeScope(), angles.sin().Times(factor).MoveToOuterDisposeScope());
    }

    /// <summary>Whether keys that were rotated in a text of <paramref name="past"/> tokens must be computed anew once it has <paramref name="length"/>.</summary>
    public bool Outgrows(long past, long length) =>
        Scaling is RotaryScaling.LongRope longRope && past > 0 && past <= longRope.OriginalLength && length > longRope.OriginalLength;

    private Tensor FrequenciesByRow(Tensor positions)
    {
        using var last = positions.amax([1]).to(ScalarType.Int64).cpu();
        Tensor[] rows = [.. last.data<long>().Select(position => tensor(Frequencies(position + 1), device: positions.device).unsqueeze(0))];
        return rows.Length == 1 ? rows[0] : stack(rows);
    }

    // base^(−2i/R), i = 0 … R/2 − 1, then stretched; float32 powers as the reference takes them.
    private float[] Frequencies(long textLength)
    {
        double rotaryBase = Base;
        if (Scaling is RotaryScaling.Dynamic dynamic && textLength > dynamic.OriginalLength)
        {
            double growth = dynamic.Factor * textLength / dynamic.OriginalLength - (dynamic.Factor - 1);
            rotaryBase = Base * Math.Pow(growth, Size / (Size - 2.0));
        }

        var frequencies = new float[Size / 2];
        for (int index = 0; index < frequencies.Length; index++)
        {
            double plain = 1.0 / Math.Pow(rotaryBase, 2.0 * index / Size);
            frequencies[index] = (float)(Scaling switch
            {
                RotaryScaling.None or RotaryScaling.Dynamic => plain,
                RotaryScaling.Linear linear => plain / linear.Factor,
                RotaryScaling.Llama3 llama => Llama3Frequency(plain, llama),
                RotaryScaling.Yarn yarn => YarnFrequency(plain, index, yarn),
                RotaryScaling.LongRope longRope => plain / (textLength > longRope.OriginalLength ? longRope.LongFactors : longRope.ShortFactors)[index],
                _ => throw new PerenosException($"Rotary scaling {Scaling.GetType().Name} is not implemented.", "Use a checkpoint with another rope_scaling."),
            });
        }

        return frequencies;
    }

    private static double Llama3Frequency(double plain, RotaryScaling.Llama3 scaling)
    {
        double wavelength = 2 * Math.PI / plain;
        if (wavelength < scaling.OriginalLength / scaling.HighFrequencyFactor)
            return plain;
        if (wavelength > scaling.OriginalLength / scaling.LowFrequencyFactor)
            return plain / scaling.Factor;
        double smooth = (scaling.OriginalLength / wavelength - scaling.LowFrequencyFactor) / (scaling.HighFrequencyFactor - scaling.LowFrequencyFactor);
        return (1 - smooth) * plain / scaling.Factor + smooth * plain;
    }

    // A ramp over the index: 1 below the dimension that turns BetaFast times in the original length, 0 above that of BetaSlow.
    private double YarnFrequency(double plain, int index, RotaryScaling.Yarn scaling)
    {
        double IndexOfTurns(double turns) => Size * Math.Log(scaling.OriginalLength / (turns * 2 * Math.PI)) / (2 * Math.Log(Base));
        double low = IndexOfTurns(scaling.BetaFast), high = IndexOfTurns(scaling.BetaSlow);
        if (scaling.Truncates)
            (low, high) = (Math.Floor(low), Math.Ceiling(high));
        (low, high) = (Math.Max(low, 0), Math.Min(high, Size - 1));
        double ramp = Math.Clamp((index - low) / (high == low ? 0.001 : high - low), 0, 1);
        return plain / scaling.Factor * ramp + plain * (1 - ramp);
    }
}
