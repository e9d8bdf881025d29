namespace Perenos.Text.Metrics;

/// <summary>
/// Counter-based random numbers: every number is a pure function of (seed, stream, index), so any resample or sentence can be
/// drawn again alone, in any order and on any number of threads. Within a stream the numbers are those of SplitMix64
/// (Steele, Lea and Flood 2014, https://doi.org/10.1145/2714064.2660195) started at the stream's key.
/// </summary>
internal readonly struct CounterRandom
{
    private const ulong GoldenGamma = 0x9E3779B97F4A7C15;

    private readonly ulong _key;

    /// <summary>Opens one numbered stream of a seed.</summary>
    public CounterRandom(ulong seed, ulong stream) =>
        _key = Mix(Mix(seed + GoldenGamma) + (stream * GoldenGamma));

    /// <summary>The 64 random bits at <paramref name="index"/>.</summary>
    public ulong Bits(ulong index) => Mix(_key + ((index + 1) * GoldenGamma));

    /// <summary>
    /// An integer in [0, bound): the high word of bits × bound (Lemire 2019, https://doi.org/10.1145/3230636, without its
    /// rejection step: the bias is below bound / 2^64).
    /// </summary>
    public int Below(int bound, ulong index) => (int)Math.BigMul(Bits(index), (ulong)bound, out _);

    // The finalizer "variant 13" of David Stafford, as in SplitMix64.
    private static ulong Mix(ulong value)
    {
        value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
        value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
        return value ^ (value >> 31);
    }
}
