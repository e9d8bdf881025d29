using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Perenos.Checkpoints;

/// <summary>
/// The way into blocks of 256 values; <see cref="SuperBlockQuants"/> is the way back and gives the layouts. For each sub-block
/// some twenty scales around the obvious one are tried, each is improved by weighted least squares, and the one of smallest
/// weighted squared error is taken. Eight sub-blocks are searched at a time, one in each lane, so that every sum runs over its
/// sub-block from first to last whatever the processor.
/// </summary>
internal static class SuperBlockEncoders
{
    private const int Lanes = 8;

    /// <summary>Below it a sub-block counts as zero.</summary>
    private const float Smallest = 1e-15f;

    /// <summary>8 sub-blocks of 32: 16 levels between a minimum of at most 0 and the maximum.</summary>
    public static void Q4_K(ReadOnlySpan<float> values, Span<byte> block)
    {
        Span<Vector256<float>> columns = stackalloc Vector256<float>[32];
        Transpose(values, columns);
        var (scales, minima) = SearchScaleAndMinimum(columns, levels: 15);
        float largestScale = Largest(scales), largestMinimum = Largest(minima);
        float inverseScale = largestScale > 0 ? 63 / largestScale : 0, inverseMinimum = largestMinimum > 0 ? 63 / largestMinimum : 0;
        block.Clear();
        SmallBlockEncoders.WriteHalf(block, largestScale / 63);
        SmallBlockEncoders.WriteHalf(block[2..], largestMinimum / 63);
        float scaleUnit = QuantVectors.Half(block, 0), minimumUnit = QuantVectors.Half(block, 2);
        Span<byte> quants = stackalloc byte[256];
        for (int sub = 0; sub < Lanes; sub++)
        {
            int scale = Math.Min(63, (int)MathF.Round(inverseScale * scales[sub])), minimum = Math.Min(63, (int)MathF.Round(inverseMinimum * minima[sub]));
            PackScale(block.Slice(4, 12), sub, scale, minimum);
            Quantise(values.Slice(sub * 32, 32), scaleUnit * scale, minimumUnit * minimum, 0, 15, 0, quants.Slice(sub * 32, 32));
        }

        for (int i = 0; i < 128; i++)
            block[16 + i] = (byte)(quants[i / 32 * 64 + i % 32] | quants[i / 32 * 64 + 32 + i % 32] << 4);
    }

    /// <summary>16 sub-blocks of 16: 64 levels around 0.</summary>
    public static void Q6_K(ReadOnlySpan<float> values, Span<byte> block)
    {
        Span<float> scales = stackalloc float[16];
        Span<Vector256<float>> columns = stackalloc Vector256<float>[16];
        for (int half = 0; half < 2; half++)
        {
            Transpose(values.Slice(half * 128, 128), columns);
            SearchScale(columns, levels: 32).CopyTo(scales[(half * Lanes)..]);
        }

        float extreme = 0;
        foreach (float scale in scales)
            extreme = MathF.Abs(scale) > MathF.Abs(extreme) ? scale : extreme;
        block.Clear();
        if (MathF.Abs(extreme) < Smallest)
            return;
        float inverse = -128 / extreme;
        SmallBlockEncoders.WriteHalf(block[208..], 1 / inverse);
        float unit = QuantVectors.Half(block, 208);
        Span<byte> quants = stackalloc byte[256];
        for (int sub = 0; sub < 16; sub++)
        {
            int scale = Math.Min(127, (int)MathF.Round(inverse * scales[sub]));
            block[192 + sub] = (byte)(sbyte)scale;
            Quantise(values.Slice(sub * 16, 16), unit * scale, 0, -32, 31, 32, quants.Slice(sub * 16, 16));
        }

        for (int i = 0; i < 64; i++)
        {
            // Four rows of 32 in each half: nibbles of rows 0 and 2, then of 1 and 3; upper pairs of all four in one byte.
            int part = i / 32 * 128 + i % 32, nibbles = i / 32 * 64 + i % 32;
            block[nibbles] = (byte)(quants[part] & 15 | (quants[part + 64] & 15) << 4);
            block[nibbles + 32] = (byte)(quants[part + 32] & 15 | (quants[part + 96] & 15) << 4);
            block[128 + i] = (byte)(quants[part] >> 4 | quants[part + 32] >> 4 << 2 | quants[part + 64] >> 4 << 4 | quants[part + 96] >> 4 << 6);
        }
    }

    /// <summary>columns[i] = the i-th value of each of the eight sub-blocks.</summary>
    private static void Transpose(ReadOnlySpan<float> values, Span<Vector256<float>> columns)
    {
        var flat = MemoryMarshal.Cast<Vector256<float>, float>(columns);
        for (int lane = 0; lane < Lanes; lane++)
        {
            for (int i = 0; i < columns.Length; i++)
                flat[i * Lanes + lane] = values[lane * columns.Length + i];
        }
    }

    /// <summary>
    /// x ≈ scale · q - minimum, q = 0 … levels. Large values weigh more: w = |x| + root mean square. The scales that are returned
    /// are not negative, nor are the minima.
    /// </summary>
    private static (Vector256<float> Scale, Vector256<float> Minimum) SearchScaleAndMinimum(ReadOnlySpan<Vector256<float>> x, int levels)
    {
        const int Steps = 20;
        const float FirstStep = -1, StepSize = 0.1f;
        Span<Vector256<float>> weights = stackalloc Vector256<float>[x.Length];
        Span<Vector256<float>> quants = stackalloc Vector256<float>[x.Length];
        var squares = Vector256<float>.Zero;
        foreach (var value in x)
            squares += value * value;
        var typical = Vector256.Sqrt(squares / x.Length);
        var (low, high, sumW, sumX) = (x[0], x[0], Vector256<float>.Zero, Vector256<float>.Zero);
        for (int i = 0; i < x.Length; i++)
        {
            weights[i] = typical + Vector256.Abs(x[i]);
            (low, high) = (Vector256.Min(low, x[i]), Vector256.Max(high, x[i]));
            sumW += weights[i];
            sumX += weights[i] * x[i];
        }

        low = Vector256.Min(low, Vector256<float>.Zero);
        var isFlat = Vector256.Equals(low, high);
        var inverse = Vector256.Create((float)levels) / (high - low);
        var scale = Vector256<float>.One / inverse;
        Assign(x, inverse, low, 0, levels, quants);
        var (best, bestScale, bestLow) = (Error(x, weights, quants, scale, low), scale, low);
        for (int step = 0; step <= Steps; step++)
        {
            inverse = Vector256.Create(FirstStep + StepSize * step + levels) / (high - bestLow);
            Assign(x, inverse, bestLow, 0, levels, quants);
            var (sumQ, sumQQ, sumXQ) = (Vector256<float>.Zero, Vector256<float>.Zero, Vector256<float>.Zero);
            for (int i = 0; i < x.Length; i++)
            {
                var weighted = weights[i] * quants[i];
                sumQ += weighted;
                sumQQ += weighted * quants[i];
                sumXQ += weighted * x[i];
            }

            // The least-squares line through (q, x); a minimum above 0 is held at 0.
            var determinant = sumW * sumQQ - sumQ * sumQ;
            var line = (Scale: (sumW * sumXQ - sumX * sumQ) / determinant, Low: (sumQQ * sumX - sumQ * sumXQ) / determinant);
            var isAbove = Vector256.GreaterThan(line.Low, Vector256<float>.Zero);
            line = (Vector256.ConditionalSelect(isAbove, sumXQ / sumQQ, line.Scale), Vector256.ConditionalSelect(isAbove, Vector256<float>.Zero, line.Low));
            var error = Error(x, weights, quants, line.Scale, line.Low);
            var isBetter = Vector256.GreaterThan(determinant, Vector256<float>.Zero) & Vector256.LessThan(error, best);
            best = Vector256.ConditionalSelect(isBetter, error, best);
            bestScale = Vector256.ConditionalSelect(isBetter, line.Scale, bestScale);
            bestLow = Vector256.ConditionalSelect(isBetter, line.Low, bestLow);
        }

        return (Vector256.ConditionalSelect(isFlat, Vector256<float>.Zero, bestScale), -bestLow);
    }

    /// <summary>x ≈ scale · q, q = -levels … levels - 1, the scale of either sign. Weights: x².</summary>
    private static Vector256<float> SearchScale(ReadOnlySpan<Vector256<float>> x, int levels)
    {
        const int Steps = 9;
        const float StepSize = 0.1f;
        Span<Vector256<float>> quants = stackalloc Vector256<float>[x.Length];
        var (magnitude, extreme) = (Vector256<float>.Zero, Vector256<float>.Zero);
        foreach (var value in x)
        {
            var isLarger = Vector256.GreaterThan(Vector256.Abs(value), magnitude);
            magnitude = Vector256.ConditionalSelect(isLarger, Vector256.Abs(value), magnitude);
            extreme = Vector256.ConditionalSelect(isLarger, value, extreme);
        }

        var (scale, best) = (Vector256<float>.Zero, Vector256<float>.Zero);
        // The obvious scale first: it stays where another is only as good.
        foreach (int step in (ReadOnlySpan<int>)[0, -9, -8, -7, -6, -5, -4, -3, -2, -1, 1, 2, 3, 4, 5, 6, 7, 8, Steps])
        {
            Assign(x, Vector256.Create(-(levels + StepSize * step)) / extreme, Vector256<float>.Zero, -levels, levels - 1, quants);
            var (sumXQ, sumQQ) = (Vector256<float>.Zero, Vector256<float>.Zero);
            for (int i = 0; i < x.Length; i++)
            {
                var weight = x[i] * x[i];
                sumXQ += weight * x[i] * quants[i];
                sumQQ += weight * quants[i] * quants[i];
            }

            // Squared error = Σ w x² - (Σ w x q)² / Σ w q² at the best scale for these q.
            var isBetter = Vector256.GreaterThan(sumQQ, Vector256<float>.Zero) & Vector256.GreaterThan(sumXQ * sumXQ, best * sumQQ);
            scale = Vector256.ConditionalSelect(isBetter, sumXQ / sumQQ, scale);
            best = Vector256.ConditionalSelect(isBetter, scale * sumXQ, best);
        }

        return Vector256.ConditionalSelect(Vector256.LessThan(magnitude, Vector256.Create(Smallest)), Vector256<float>.Zero, scale);
    }

    private static void Assign(
        ReadOnlySpan<Vector256<float>> x, Vector256<float> inverse, Vector256<float> low, int least, int most, Span<Vector256<float>> quants)
    {
        for (int i = 0; i < x.Length; i++)
            quants[i] = Vector256.Clamp(Vector256.Round(inverse * (x[i] - low)), Vector256.Create((float)least), Vector256.Create((float)most));
    }

    private static Vector256<float> Error(
        ReadOnlySpan<Vector256<float>> x, ReadOnlySpan<Vector256<float>> weights, ReadOnlySpan<Vector256<float>> quants, Vector256<float> scale, Vector256<float> low)
    {
        var sum = Vector256<float>.Zero;
        for (int i = 0; i < x.Length; i++)
        {
            var difference = scale * quants[i] + low - x[i];
            sum += weights[i] * (difference * difference);
        }

        return sum;
    }

    /// <summary>q = (x + minimum) / scale with the scale as it can be stored, plus an offset that makes it a byte.</summary>
    private static void Quantise(ReadOnlySpan<float> values, float scale, float minimum, int least, int most, int offset, Span<byte> quants)
    {
        if (scale == 0)
            return; // any q gives the same value
        for (int i = 0; i < values.Length; i++)
            quants[i] = (byte)(Math.Clamp(MathF.Round((values[i] + minimum) / scale), least, most) + offset);
    }

    private static float Largest(Vector256<float> lanes)
    {
        float largest = 0;
        for (int lane = 0; lane < Lanes; lane++)
            largest = MathF.Max(largest, lanes[lane]);
        return largest;
    }

    /// <summary>6 bits of each; the upper two of the second four lie above the first four.</summary>
    private static void PackScale(Span<byte> packed, int sub, int scale, int minimum)
    {
        if (sub < 4)
        {
            packed[sub] = (byte)scale;
            packed[sub + 4] = (byte)minimum;
            return;
        }

        packed[sub + 4] = (byte)(scale & 15 | (minimum & 15) << 4);
        packed[sub - 4] |= (byte)(scale >> 4 << 6);
        packed[sub] |= (byte)(minimum >> 4 << 6);
    }
}
