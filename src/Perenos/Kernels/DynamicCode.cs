namespace Perenos.Kernels;

/// <summary>
/// 256 numbers between −1 (or 0) and 1 that stand for a byte: decades of ten, each cut into twice as many equal steps as the one
/// below, so that small and large numbers keep about the same relative error ("dynamic tree quantization", Dettmers et al. 2021,
/// https://arxiv.org/abs/2110.02861, section 1.2). 0 and 1 are exact.
/// </summary>
internal sealed unsafe class DynamicCode
{
    private const int Decades = 7;

    // Keys of numbers down to 2^-24: exponent and the upper 7 bits of the fraction.
    private const int KeyShift = 23 - 7;
    private const int LeastKey = (127 - 24) << 7;

    private readonly float[] _values;
    private readonly float[] _bounds; // _bounds[i] lies halfway between values i and i + 1
    private readonly byte[] _firstGuess;

    private DynamicCode(bool isSigned)
    {
        List<double> values = [0, 1];
        for (int decade = 0; decade < Decades; decade++)
        {
            int steps = 1 << (isSigned ? decade : decade + 1);
            double scale = Math.Pow(10, decade - (Decades - 1));
            for (int step = 0; step < steps; step++)
            {
                // The middle of a step between a tenth and one.
                double value = scale * (0.1 + 0.9 * (step + 0.5) / steps);
                values.Add(value);
                if (isSigned)
                    values.Add(-value);
            }
        }

        values.Sort();
        _values = [.. values.Select(value => (float)value)];
        _bounds = [.. values.Zip(values.Skip(1), (left, right) => (float)((left + right) / 2)), float.PositiveInfinity];
        Zero = (byte)Array.IndexOf(_values, 0f);
        _firstGuess = new byte[(127 << 7) - LeastKey + 2];
        for (int key = 0; key < _firstGuess.Length; key++)
            _firstGuess[key] = Search(BitConverter.Int32BitsToSingle((key + LeastKey) << KeyShift));
    }

    /// <summary>With a sign: first moments.</summary>
    public static DynamicCode Signed { get; } = new(isSigned: true);

    /// <summary>Without: second moments.</summary>
    public static DynamicCode Unsigned { get; } = new(isSigned: false);

    /// <summary>Numbers by code, rising.</summary>
    public ReadOnlySpan<float> Values => _values;

    /// <summary>The code of 0.</summary>
    public byte Zero { get; }

    /// <summary>The code of the nearest number; <paramref name="value"/> lies within −1 … 1.</summary>
    public byte Nearest(float value)
    {
        float size = MathF.Abs(value);
        int key = (BitConverter.SingleToInt32Bits(size) >> KeyShift) - LeastKey;
        int code = key <= 0 ? Zero : _firstGuess[key];
        while (size > _bounds[code])
            code++;
        if (value >= 0 || code == Zero)
            return (byte)code;
        // 1 has no negative twin: the largest negative number stands nearest.
        return (byte)Math.Max(0, 2 * Zero - code);
    }

    private byte Search(float value)
    {
        int code = Zero;
        while (value > _bounds[code])
            code++;
        return (byte)code;
    }
}
