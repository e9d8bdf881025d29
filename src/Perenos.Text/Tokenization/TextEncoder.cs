using System.Text;

namespace Perenos.Text.Tokenization;

/// <summary>The way of a text to tokens, before the post-processor: added tokens, normalizer, pre-tokenizer, model.</summary>
internal sealed class TextEncoder
{
    private readonly Normalizer? _normalizer;
    private readonly PreTokenizer? _preTokenizer;
    private readonly TokenModel _model;
    private readonly Dictionary<int, string> _normalizedForms = [];
    private readonly AddedTokenFinder? _rawFinder;
    private readonly AddedTokenFinder? _normalizedFinder;
    private readonly ByteLevelRoad? _byteLevel;

    public TextEncoder(Normalizer? normalizer, PreTokenizer? preTokenizer, TokenModel model, IReadOnlyList<AddedToken> added)
    {
        _normalizer = normalizer;
        _preTokenizer = preTokenizer;
        _model = model;
        _rawFinder = Finder([.. added.Where(static token => !token.Normalized).Select(static token => (token.Content, token))]);
        foreach (var token in added.Where(static token => token.Normalized))
            _normalizedForms[token.Id] = normalizer?.Apply(token.Content) ?? token.Content;
        _normalizedFinder = Finder([.. added.Where(static token => token.Normalized).Select(token => (_normalizedForms[token.Id], token))]);
        _byteLevel = ByteLevelRoad.For(preTokenizer, model);

        static AddedTokenFinder? Finder(List<(string, AddedToken)> patterns) => patterns.Count == 0 ? null : new(patterns);
    }

    /// <summary>The form in which an added token is searched for in normalized text; null for one that is not.</summary>
    public string? NormalizedForm(int id) => _normalizedForms.GetValueOrDefault(id);

    /// <summary>The words that the model would see of a text without added tokens.</summary>
    public IEnumerable<string> Words(string text)
    {
        var part = new AlignedText(text);
        part = _normalizer?.Apply(part) ?? part;
        return (_preTokenizer?.Apply(part) ?? [part]).Select(word => word.Text).Where(word => word.Length > 0);
    }

    /// <summary>Appends the ids of a text.</summary>
    public void Append(string text, bool specialsAsText, List<int> ids)
    {
        if (_byteLevel is null)
        {
            ids.AddRange(Trace(text, specialsAsText).Ids);
            return;
        }

        text = WithoutLoneSurrogates(text);
        foreach (var outer in Segments(_rawFinder, text, specialsAsText))
        {
            if (outer.Id >= 0)
            {
                ids.Add(outer.Id);
                continue;
            }

            string part = outer.Range.Length == text.Length ? text : text[outer.Range.Start..outer.Range.End];
            part = _normalizer?.Apply(part) ?? part;
            foreach (var inner in Segments(_normalizedFinder, part, specialsAsText))
            {
                if (inner.Id >= 0)
                    ids.Add(inner.Id);
                else
                    _byteLevel.Append(part.AsSpan(inner.Range.Start, inner.Range.Length), ids);
            }
        }
    }

    /// <summary>The tokens of a text with their places in it.</summary>
    public TokenEncoding Trace(string text, bool specialsAsText)
    {
        var words = new List<(AlignedText Text, int Id)>();
        text = WithoutLoneSurrogates(text);
        var whole = new AlignedText(text);
        foreach (var outer in Segments(_rawFinder, text, specialsAsText))
        {
            var part = whole.Slice(outer.Range.Start, outer.Range.Length);
            if (outer.Id >= 0)
            {
                words.Add((part, outer.Id));
                continue;
            }

            part = _normalizer?.Apply(part) ?? part;
            foreach (var inner in Segments(_normalizedFinder, part.Text, specialsAsText))
            {
                var piece = part.Slice(inner.Range.Start, inner.Range.Length);
                if (inner.Id >= 0 || _preTokenizer is null)
                    words.Add((piece, inner.Id));
                else
                    words.AddRange(_preTokenizer.Apply(piece).Where(static word => word.Text.Length > 0).Select(static word => (word, -1)));
            }
        }

        return Tokens(words);
    }

    private TokenEncoding Tokens(List<(AlignedText Text, int Id)> words)
    {
        var ids = new List<int>();
        var tokens = new List<string>();
        var offsets = new List<(int, int)>();
        var wordIds = new List<int?>();
        var found = new List<WordToken>();
        for (int index = 0; index < words.Count; index++)
        {
            var (text, id) = words[index];
            if (id >= 0)
            {
                Add(id, text.Text, text.Original(0, text.Text.Length), index);
                continue;
            }

            found.Clear();
            _model.Tokenize(text.Text, found);
            int[] units = UnitOfByte(text.Text);
            foreach (var token in found)
            {
                Add(
                    token.Id,
                    token.Text ?? _model.Vocabulary.TokenOf(token.Id) ?? "",
                    token.Start < token.End ? text.Original(units[token.Start], units[token.End - 1] + 1) : text.Original(0, 0),
                    index);
            }
        }

        return new TokenEncoding
        {
            Ids = [.. ids],
            Tokens = [.. tokens],
            Offsets = [.. offsets],
            TypeIds = new int[ids.Count],
            SpecialTokensMask = new bool[ids.Count],
            AttentionMask = [.. Enumerable.Repeat(true, ids.Count)],
            WordIds = [.. wordIds],
            SequenceIds = [.. Enumerable.Repeat<int?>(0, ids.Count)],
        };

        void Add(int id, string token, (int, int) place, int word)
        {
            ids.Add(id);
            tokens.Add(token);
            offsets.Add(place);
            wordIds.Add(word);
        }
    }

    // The model counts in UTF-8 bytes, and its tokens need not end where characters do.
    private static int[] UnitOfByte(string text)
    {
        int[] units = new int[Encoding.UTF8.GetByteCount(text)];
        int at = 0;
        for (int index = 0; index < text.Length; index++)
        {
            bool isPair = char.IsHighSurrogate(text[index]);
            int bytes = isPair ? 4 : text[index] < 0x80 ? 1 : text[index] < 0x800 ? 2 : 3;
            units.AsSpan(at, bytes).Fill(index);
            at += bytes;
            if (isPair)
                index++;
        }

        return units;
    }

    private static List<Segment> Segments(AddedTokenFinder? finder, string text, bool specialsAsText)
    {
        var segments = new List<Segment>();
        if (finder is not null)
            finder.Split(text, specialsAsText, segments);
        else if (text.Length > 0)
            segments.Add(new Segment(new TextRange(0, text.Length), -1));
        return segments;
    }

    private static string WithoutLoneSurrogates(string text)
    {
        if (!HasLoneSurrogate(text))
            return text;
        var clean = new StringBuilder(text.Length);
        foreach (var rune in text.EnumerateRunes()) // gives U+FFFD for a lone surrogate
            clean.Append(rune);
        return clean.ToString();
    }

    private static bool HasLoneSurrogate(ReadOnlySpan<char> text)
    {
        while (text.IndexOfAnyInRange('\uD800', '\uDFFF') is >= 0 and var at)
        {
            if (at + 1 == text.Length || !char.IsSurrogatePair(text[at], text[at + 1]))
                return true;
            text = text[(at + 2)..];
        }

        return false;
    }
}
