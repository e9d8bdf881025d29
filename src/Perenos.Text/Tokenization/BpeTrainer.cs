using System.Runtime.InteropServices;
using System.Text;
using Perenos.Runs;

namespace Perenos.Text.Tokenization;

/// <summary>How a byte-level BPE tokenizer is trained.</summary>
public sealed record BpeTrainerSettings
{
    /// <summary>Tokens in all: special tokens, the 256 bytes and the merges.</summary>
    public int VocabularySize { get; init; } = 8192;

    /// <summary>Times that a pair must occur to be merged.</summary>
    public int MinimumFrequency { get; init; } = 2;

    /// <summary>Special tokens; they get the first ids in this order.</summary>
    public IReadOnlyList<string> SpecialTokens { get; init; } = ["<|endoftext|>"];

    /// <summary>Whether every digit is a token of its own.</summary>
    public bool SplitDigits { get; init; } = true;
}

/// <summary>How far training is.</summary>
/// <param name="Stage">What is done: "count" or "merge".</param>
/// <param name="Done">Texts read, or tokens made.</param>
/// <param name="Total">Tokens wanted; 0 while texts are read.</param>
public readonly record struct BpeTrainerProgress(string Stage, long Done, long Total);

/// <summary>
/// Trains byte-level BPE (Sennrich et al. 2016, https://arxiv.org/abs/1508.07909): the pair that occurs most often becomes a token,
/// again and again. Of equally frequent pairs the one with the smallest ids is taken, as in the reference, so the same texts always
/// give the same tokenizer.
/// </summary>
public static class BpeTrainer
{
    /// <summary>Learns a tokenizer from texts, which are read once.</summary>
    /// <exception cref="PerenosException">The settings leave no room for the bytes, or repeat a special token.</exception>
    public static Tokenizer Train(
        IEnumerable<string> texts, BpeTrainerSettings settings, IProgress<BpeTrainerProgress>? progress = null)
    {
        ArgumentNullException.ThrowIfNull(texts);
        ArgumentNullException.ThrowIfNull(settings);
        int reserved = settings.SpecialTokens.Count + 256;
        if (settings.VocabularySize < reserved)
        {
            throw new PerenosException(
                $"A vocabulary of {settings.VocabularySize} tokens has no room for 256 bytes and {settings.SpecialTokens.Count} special tokens.",
                $"Ask for {reserved} tokens or more.");
        }

        if (settings.SpecialTokens.Distinct().Count() != settings.SpecialTokens.Count || settings.SpecialTokens.Contains(""))
            throw new PerenosException("A special token is empty or named twice.", "Name each special token once.");

        var words = CountWords(texts, settings.SplitDigits, progress);
        var vocabulary = new List<string>(settings.SpecialTokens);
        int[] byteIds = new int[256];
        foreach (int value in Enumerable.Range(0, 256).OrderBy(value => ByteAlphabet.CharOf((byte)value)))
        {
            byteIds[value] = vocabulary.Count;
            vocabulary.Add(ByteAlphabet.CharOf((byte)value).ToString());
        }

        var merges = new PairMerger(words, byteIds).Run(vocabulary, settings, progress);
        var sections = new TokenizerSections
        {
            PreTokenizers = settings.SplitDigits
                ? [TokenizerSections.Digits, TokenizerSections.ByteLevel]
                : [TokenizerSections.ByteLevel],
            Decoder = TokenizerSections.ByteLevel,
            Options = new BpeOptions(),
        };
        return sections.Build(
            "the trained tokenizer",
            settings.SpecialTokens.Select((token, id) => new AddedToken(id, token) { Special = true }.ToSection()),
            vocabulary.Select((token, id) => KeyValuePair.Create(token, id)),
            merges.Select(merge => (vocabulary[merge.Left], vocabulary[merge.Right])));
    }

    private static Dictionary<string, long> CountWords(
        IEnumerable<string> texts, bool splitDigits, IProgress<BpeTrainerProgress>? progress)
    {
        var counts = new Dictionary<string, long>();
        var lookup = counts.GetAlternateLookup<ReadOnlySpan<char>>();
        var digits = new DigitSplitter(individual: true);
        var ranges = new List<TextRange>();
        long read = 0;
        foreach (string text in texts)
        {
            ranges.Clear();
            if (splitDigits)
                digits.Split(text, ranges);
            else if (text.Length > 0)
                ranges.Add(new TextRange(0, text.Length));
            foreach (var range in ranges)
            {
                var part = text.AsSpan(range.Start, range.Length);
                for (int start = 0; start < part.Length;)
                {
                    int end = Gpt2Words.End(part, start);
                    CollectionsMarshal.GetValueRefOrAddDefault(lookup, part[start..end], out _)++;
                    start = end;
                }
            }

            if (++read % 4096 == 0)
                progress?.Report(new BpeTrainerProgress("count", read, 0));
        }

        progress?.Report(new BpeTrainerProgress("count", read, 0));
        return counts;
    }

    /// <summary>The words as symbols, the counts of all pairs, and the words where each pair occurs.</summary>
    private sealed class PairMerger
    {
        private readonly int[][] _words;
        private readonly int[] _lengths;
        private readonly long[] _counts;
        private readonly Dictionary<(int Left, int Right), Pair> _pairs = [];
        private readonly PriorityQueue<Pair, (long Count, int Left, int Right)> _queue = new(
            Comparer<(long Count, int Left, int Right)>.Create(static (a, b) =>
                a.Count != b.Count ? b.Count.CompareTo(a.Count)
                : a.Left != b.Left ? a.Left.CompareTo(b.Left)
                : a.Right.CompareTo(b.Right)));

        private readonly List<Pair> _grown = [];

        public PairMerger(Dictionary<string, long> words, int[] byteIds)
        {
            // By spelling: the order of a dictionary must never matter.
            var ordered = words.OrderBy(static word => word.Key, StringComparer.Ordinal).ToArray();
            _words = new int[ordered.Length][];
            _lengths = new int[ordered.Length];
            _counts = new long[ordered.Length];
            for (int word = 0; word < ordered.Length; word++)
            {
                int[] symbols = Array.ConvertAll(Encoding.UTF8.GetBytes(ordered[word].Key), value => byteIds[value]);
                _words[word] = symbols;
                _lengths[word] = symbols.Length;
                _counts[word] = ordered[word].Value;
                for (int index = 0; index + 1 < symbols.Length; index++)
                    Change(symbols[index], symbols[index + 1], word, ordered[word].Value);
            }

            Offer();
        }

        /// <summary>Merges until the vocabulary is full or no pair occurs often enough; appends tokens and returns the merges.</summary>
        public List<(int Left, int Right)> Run(
            List<string> vocabulary, BpeTrainerSettings settings, IProgress<BpeTrainerProgress>? progress)
        {
            var merges = new List<(int, int)>();
            var ids = vocabulary.Select((token, id) => (token, id)).ToDictionary(entry => entry.token, entry => entry.id);
            while (vocabulary.Count < settings.VocabularySize && _queue.TryDequeue(out var best, out var queued))
            {
                if (best.Count != queued.Count)
                {
                    if (best.Count > 0)
                        _queue.Enqueue(best, (best.Count, best.Left, best.Right));
                    continue;
                }

                if (best.Count < Math.Max(1, settings.MinimumFrequency))
                    break;
                string token = vocabulary[best.Left] + vocabulary[best.Right];
                if (!ids.TryGetValue(token, out int id))
                {
                    id = vocabulary.Count;
                    vocabulary.Add(token);
                    ids[token] = id;
                }

                merges.Add((best.Left, best.Right));
                Merge(best, id);
                if (vocabulary.Count % 256 == 0)
                    progress?.Report(new BpeTrainerProgress("merge", vocabulary.Count, settings.VocabularySize));
            }

            progress?.Report(new BpeTrainerProgress("merge", vocabulary.Count, settings.VocabularySize));
            return merges;
        }

        private void Merge(Pair pair, int id)
        {
            var places = pair.Words;
            pair.Words = [];
            foreach (int word in places)
            {
                int[] symbols = _words[word];
                int length = _lengths[word], kept = 0;
                long count = _counts[word];
                for (int index = 0; index < length; index++)
                {
                    if (symbols[index] != pair.Left || index + 1 >= length || symbols[index + 1] != pair.Right)
                    {
                        symbols[kept++] = symbols[index];
                        continue;
                    }

                    if (kept > 0)
                    {
                        Change(symbols[kept - 1], pair.Left, word, -count);
                        Change(symbols[kept - 1], id, word, count);
                    }

                    if (index + 2 < length)
                    {
                        Change(pair.Right, symbols[index + 2], word, -count);
                        Change(id, symbols[index + 2], word, count);
                    }

                    symbols[kept++] = id;
                    index++;
                }

                _lengths[word] = kept;
            }

            pair.Count = 0;
            Offer();
        }

        private void Change(int left, int right, int word, long change)
        {
            ref var pair = ref CollectionsMarshal.GetValueRefOrAddDefault(_pairs, (left, right), out _);
            pair ??= new Pair(left, right);
            pair.Count += change;
            if (change < 0)
                return;
            if (pair.Words.Count == 0 || pair.Words[^1] != word)
                pair.Words.Add(word);
            if (!pair.HasGrown)
            {
                pair.HasGrown = true;
                _grown.Add(pair);
            }
        }

        // Only pairs that grew need a place in the queue; those that shrank are found out when their turn comes.
        private void Offer()
        {
            foreach (var pair in _grown)
            {
                pair.HasGrown = false;
                if (pair.Count > 0)
                    _queue.Enqueue(pair, (pair.Count, pair.Left, pair.Right));
            }

            _grown.Clear();
        }

        private sealed class Pair(int left, int right)
        {
            public int Left { get; } = left;

            public int Right { get; } = right;

            public long Count { get; set; }

            public List<int> Words { get; set; } = [];

            public bool HasGrown { get; set; }
        }
    }
}
