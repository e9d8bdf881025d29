namespace Perenos.Text.Tokenization;

/// <summary>What one thread at a time needs to turn words into ids: the words that it has met, and room to merge.</summary>
internal sealed class BpeScratch
{
    /// <summary>Longer words than this many symbols use a heap.</summary>
    public const int LongestScan = 96;

    public WordCache Words { get; } = new();

    public byte[] Bytes { get; } = new byte[3 * WordCache.LongestWord]; // a UTF-16 unit takes three bytes of UTF-8 at most

    public int[] Symbols { get; } = new int[3 * WordCache.LongestWord];

    /// <summary>By the place of a pair's left symbol: the pair's rank above the place, or <see cref="PairTable.None"/>.</summary>
    public long[] Candidates { get; } = new long[LongestScan + 8];

    /// <summary>By the place of a pair's left symbol: what the pair becomes.</summary>
    public int[] Results { get; } = new int[LongestScan];

    public int[] Next { get; } = new int[LongestScan];

    public int[] Previous { get; } = new int[LongestScan];
}
