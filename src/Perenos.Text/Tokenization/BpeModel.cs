using System.Buffers;
using System.Runtime.InteropServices;
using System.Text;

namespace Perenos.Text.Tokenization;

/// <summary>The options of the BPE model of a tokenizer.json, with the reference's defaults.</summary>
internal sealed record BpeOptions
{
    /// <summary>Stands for what is not in the vocabulary; without one, unknown characters vanish.</summary>
    public string? UnknownToken { get; init; }

    /// <summary>Stands before every character of a word but its first.</summary>
    public string ContinuingSubwordPrefix { get; init; } = "";

    /// <summary>Stands behind the last character of a word.</summary>
    public string EndOfWordSuffix { get; init; } = "";

    /// <summary>Neighbouring unknown characters give one unknown token.</summary>
    public bool FuseUnknown { get; init; }

    /// <summary>Unknown characters become tokens such as &lt;0xE2&gt; where the vocabulary has all that it takes.</summary>
    public bool ByteFallback { get; init; }

    /// <summary>A word that is a token is taken whole, whatever the merges would make of it.</summary>
    public bool IgnoreMerges { get; init; }

    /// <summary>Pieces that are taken whole wherever they stand and never merge (user-defined symbols of SentencePiece).</summary>
    public StringTrie<int>? WholePieces { get; init; }
}

/// <summary>Byte-pair encoding as in https://github.com/huggingface/tokenizers/blob/main/tokenizers/src/models/bpe/model.rs.</summary>
internal sealed class BpeModel : TokenModel
{
    private readonly PairTable _merges;
    private readonly BpeOptions _options;
    private readonly int _unknown;
    private readonly int[] _byteTokens = new int[256]; // of the byte-level alphabet
    private readonly bool _spellsAscii;
    private readonly int[] _fallbackTokens = new int[256]; // <0x00> … <0xFF>
    private readonly long[] _asciiMerges = new long[128 * 128]; // of the tokens of two bytes, by their values
    private readonly Spares<BpeScratch> _scratches = new(static () => new BpeScratch());

    /// <param name="vocabulary">Tokens and ids.</param>
    /// <param name="merges">Pairs of ids, best first.</param>
    /// <param name="results">The id that each pair makes.</param>
    /// <param name="options">What to do beside the merges.</param>
    /// <param name="ranks">Order of the merges where some are equal; null means as they stand.</param>
    public BpeModel(
        Vocabulary vocabulary, IReadOnlyList<(int Left, int Right)> merges, IReadOnlyList<int> results, BpeOptions options, IReadOnlyList<int>? ranks = null)
        : base(vocabulary)
    {
        _options = options;
        _unknown = options.UnknownToken is null ? -1 : vocabulary.IdOf(options.UnknownToken);
        _merges = new PairTable(merges.Count);
        for (int index = 0; index < merges.Count; index++)
            _merges.Set(merges[index].Left, merges[index].Right, ranks?[index] ?? index, results[index]);
        for (int value = 0; value < 256; value++)
        {
            _byteTokens[value] = vocabulary.IdOf([ByteAlphabet.CharOf((byte)value)]);
            _fallbackTokens[value] = vocabulary.IdOf(FallbackToken((byte)value));
        }

        for (int pair = 0; pair < _asciiMerges.Length; pair++)
            _asciiMerges[pair] = _merges.Find(_byteTokens[pair >> 7], _byteTokens[pair & 127]);
        _spellsAscii = !_byteTokens.AsSpan(0, 128).Contains(-1);
    }

    public override string Name => "BPE";

    public override string? UnknownToken => _options.UnknownToken;

    public override bool FallsBackToBytes => _options.ByteFallback;

    /// <summary>
    /// Whether <see cref="AppendBytes"/> gives what <see cref="Tokenize"/> gives for the byte-level form of a word: nothing is put
    /// around characters, and unknown bytes do not occur or vanish.
    /// </summary>
    public bool TakesBytes => _options is { ContinuingSubwordPrefix: "", EndOfWordSuffix: "" }
        && (!_byteTokens.Contains(-1) || _options is { UnknownToken: null, ByteFallback: false });

    /// <summary>What <see cref="AppendBytes"/> needs; give it back with <see cref="GiveBack"/>.</summary>
    public BpeScratch TakeScratch() => _scratches.Take();

    public void GiveBack(BpeScratch scratch) => _scratches.GiveBack(scratch);

    /// <summary>Appends the ids of a word of plain text whose UTF-8 bytes are the first symbols.</summary>
    public void AppendBytes(ReadOnlySpan<char> word, List<int> ids, BpeScratch scratch)
    {
        if (word.Length > WordCache.LongestWord)
        {
            AppendLong(word, ids, scratch);
            return;
        }

        uint hash = WordCache.Hash(word);
        if (!scratch.Words.TryFind(word, hash, out var known))
        {
            known = EncodeShort(word, scratch);
            scratch.Words.Keep(word, hash, known);
        }

        if (known.Length == 1)
            ids.Add(known[0]);
        else
            ids.AddRange(known);
    }

    public override void Tokenize(ReadOnlySpan<char> word, List<WordToken> tokens)
    {
        if (_options.IgnoreMerges && Vocabulary.IdOf(word) is >= 0 and var whole)
        {
            tokens.Add(new WordToken(whole, 0, Encoding.UTF8.GetByteCount(word)));
            return;
        }

        var symbols = new Symbols(word.Length + 4);
        AddCharacters(word, symbols);
        var scratch = _scratches.Take();
        int count = BpeMerger.Merge(_merges, CollectionsMarshal.AsSpan(symbols.Ids), CollectionsMarshal.AsSpan(symbols.Lengths), scratch);
        _scratches.GiveBack(scratch);
        int start = 0;
        for (int index = 0; index < count; index++)
        {
            int end = start + symbols.Lengths[index];
            tokens.Add(new WordToken(symbols.Ids[index], start, end));
            start = end;
        }
    }

    // Lengths are counted without prefix and suffix, and characters that vanish leave no gap, as in the reference.
    private void AddCharacters(ReadOnlySpan<char> word, Symbols symbols)
    {
        int unknownLength = 0;
        var piece = new StringBuilder();
        for (int index = 0; index < word.Length;)
        {
            if (_options.WholePieces?.Longest(word[index..], out int whole) is { } wholeId && whole > 0)
            {
                if (unknownLength > 0)
                    symbols.Add(_unknown, unknownLength);
                unknownLength = 0;
                symbols.Add(wholeId, Encoding.UTF8.GetByteCount(word.Slice(index, whole)));
                index += whole;
                continue;
            }

            Rune.DecodeFromUtf16(word[index..], out var rune, out int width);
            var character = word.Slice(index, width);
            bool isFirst = index == 0, isLast = index + width == word.Length;
            index += width;
            ReadOnlySpan<char> form = character;
            if ((!isFirst && _options.ContinuingSubwordPrefix.Length > 0) || (isLast && _options.EndOfWordSuffix.Length > 0))
            {
                piece.Clear();
                if (!isFirst)
                    piece.Append(_options.ContinuingSubwordPrefix);
                piece.Append(character);
                if (isLast)
                    piece.Append(_options.EndOfWordSuffix);
                form = piece.ToString();
            }

            int id = Vocabulary.IdOf(form);
            if (id >= 0)
            {
                if (unknownLength > 0)
                    symbols.Add(_unknown, unknownLength);
                unknownLength = 0;
                symbols.Add(id, rune.Utf8SequenceLength);
                continue;
            }

            if (_options.ByteFallback && AddFallback(form, symbols))
                continue;
            if (_options.UnknownToken is null)
                continue;
            if (unknownLength > 0 && !_options.FuseUnknown)
            {
                symbols.Add(_unknown, unknownLength);
                unknownLength = 0;
            }

            unknownLength += rune.Utf8SequenceLength;
        }

        if (unknownLength > 0)
            symbols.Add(_unknown, unknownLength);
    }

    private bool AddFallback(ReadOnlySpan<char> form, Symbols symbols)
    {
        byte[] bytes = new byte[Encoding.UTF8.GetByteCount(form)];
        Encoding.UTF8.GetBytes(form, bytes);
        foreach (byte value in bytes)
        {
            if (_fallbackTokens[value] < 0)
                return false;
        }

        foreach (byte value in bytes)
            symbols.Add(_fallbackTokens[value], 1);
        return true;
    }

    private ReadOnlySpan<int> EncodeShort(ReadOnlySpan<char> word, BpeScratch scratch)
    {
        int[] symbols = scratch.Symbols;
        if (!_spellsAscii || _options.IgnoreMerges || word.Length < 2 || !Ascii.IsValid(word))
        {
            var bytes = scratch.Bytes.AsSpan(0, Encoding.UTF8.GetBytes(word, scratch.Bytes));
            return symbols.AsSpan(0, Encode(bytes, symbols, scratch));
        }

        int before = word[0];
        symbols[0] = _byteTokens[before];
        for (int place = 1; place < word.Length; place++)
        {
            int unit = word[place];
            symbols[place] = _byteTokens[unit];
            BpeMerger.Offer(scratch, place - 1, _asciiMerges[before << 7 | unit]);
            before = unit;
        }

        return symbols.AsSpan(0, BpeMerger.Scan(_merges, symbols.AsSpan(0, word.Length), [], scratch));
    }

    private void AppendLong(ReadOnlySpan<char> word, List<int> ids, BpeScratch scratch)
    {
        int size = Encoding.UTF8.GetByteCount(word);
        byte[] bytes = ArrayPool<byte>.Shared.Rent(size);
        int[] symbols = ArrayPool<int>.Shared.Rent(size);
        Encoding.UTF8.GetBytes(word, bytes);
        ids.AddRange(symbols.AsSpan(0, Encode(bytes.AsSpan(0, size), symbols, scratch)));
        ArrayPool<byte>.Shared.Return(bytes);
        ArrayPool<int>.Shared.Return(symbols);
    }

    private int Encode(ReadOnlySpan<byte> bytes, int[] symbols, BpeScratch scratch)
    {
        if (_options.IgnoreMerges && WholeWord(bytes) is >= 0 and var whole)
        {
            symbols[0] = whole;
            return 1;
        }

        int count = 0;
        foreach (byte value in bytes)
        {
            if (_byteTokens[value] >= 0)
                symbols[count++] = _byteTokens[value];
        }

        return BpeMerger.Merge(_merges, symbols.AsSpan(0, count), [], scratch);
    }

    private int WholeWord(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length > 512)
            return Vocabulary.IdOf(string.Create(bytes.Length, bytes, Spell));
        Span<char> spelled = stackalloc char[bytes.Length];
        Spell(spelled, bytes);
        return Vocabulary.IdOf(spelled);

        static void Spell(Span<char> into, ReadOnlySpan<byte> from)
        {
            for (int index = 0; index < from.Length; index++)
                into[index] = ByteAlphabet.CharOf(from[index]);
        }
    }

    private sealed class Symbols(int capacity)
    {
        public List<int> Ids { get; } = new(capacity);

        public List<int> Lengths { get; } = new(capacity);

        public void Add(int id, int length)
        {
            Ids.Add(id);
            Lengths.Add(length);
        }
    }
}
