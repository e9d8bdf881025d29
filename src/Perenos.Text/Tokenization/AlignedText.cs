using System.Text;

namespace Perenos.Text.Tokenization;

/// <summary>
/// A text on its way through normalizers and pre-tokenizers. Every UTF-16 unit knows the range of code points of the original
/// that it came from, so that tokens can be traced back.
/// </summary>
internal sealed class AlignedText
{
    private readonly int[] _starts;
    private readonly int[] _ends;

    private AlignedText(string text, int[] starts, int[] ends, int origin)
    {
        Text = text;
        _starts = starts;
        _ends = ends;
        Origin = origin;
    }

    /// <summary>A text that is its own original; it must not hold lone surrogates.</summary>
    public AlignedText(string text)
    {
        Text = text;
        _starts = new int[text.Length];
        _ends = new int[text.Length];
        int codePoint = 0;
        for (int index = 0; index < text.Length; index++)
        {
            _starts[index] = codePoint;
            _ends[index] = codePoint + 1;
            if (!char.IsHighSurrogate(text[index]))
                codePoint++;
        }
    }

    public string Text { get; }

    /// <summary>Where this part begins in the original, in code points.</summary>
    public int Origin { get; }

    public AlignedText Slice(int start, int length)
    {
        if (length == Text.Length)
            return this;
        return new AlignedText(
            Text.Substring(start, length),
            _starts.AsSpan(start, length).ToArray(),
            _ends.AsSpan(start, length).ToArray(),
            length == 0 ? Origin : _starts[start]);
    }

    /// <summary>The part of the original, in code points, behind the units from <paramref name="start"/> to <paramref name="end"/>.</summary>
    public (int Start, int End) Original(int start, int end) =>
        start < end ? (_starts[start], _ends[end - 1]) : (Origin, Origin);

    /// <summary>Puts text before the first character; it shares that character's place in the original.</summary>
    public AlignedText Prepend(string prefix)
    {
        if (Text.Length == 0)
            return this;
        var edit = new Edit(this, Text.Length + prefix.Length);
        edit.Insert(prefix, 0);
        edit.Keep(0, Text.Length);
        return edit.Done();
    }

    /// <summary>Replaces matches by <paramref name="content"/>, which takes the place of each match's last character.</summary>
    public AlignedText Replace(IReadOnlyList<TextRange> matches, string content)
    {
        if (matches.Count == 0)
            return this;
        var edit = new Edit(this, Text.Length);
        int last = 0;
        foreach (var match in matches)
        {
            edit.Keep(last, match.Start);
            edit.Insert(content, match.End - 1);
            last = match.End;
        }

        edit.Keep(last, Text.Length);
        return edit.Done();
    }

    /// <summary>Replaces each code point by zero or more others, which share its place; null leaves it.</summary>
    public AlignedText Map(Func<int, string?> replacement)
    {
        var edit = new Edit(this, Text.Length);
        for (int index = 0; index < Text.Length;)
        {
            int end = After(index);
            string? other = replacement(char.ConvertToUtf32(Text, index));
            if (other is null)
                edit.Keep(index, end);
            else
                edit.Insert(other, index);
            index = end;
        }

        return edit.Done();
    }

    /// <summary>Keeps the code points that <paramref name="keep"/> likes.</summary>
    public AlignedText Filter(Func<int, bool> keep)
    {
        var edit = new Edit(this, Text.Length);
        for (int index = 0; index < Text.Length;)
        {
            int end = After(index);
            if (keep(char.ConvertToUtf32(Text, index)))
                edit.Keep(index, end);
            index = end;
        }

        return edit.Done();
    }

    /// <summary>
    /// A new text that is told code point by code point how it came from this one: 0 takes the place of the next old one, 1 is new
    /// and shares the place of the one before, -n takes the next one's place and n more vanish. This is how the reference counts
    /// (NormalizedString::transform), gaps included.
    /// </summary>
    public AlignedText Transform(IReadOnlyList<(int CodePoint, int Change)> changes)
    {
        var edit = new Edit(this, Text.Length);
        int at = 0;
        Span<char> units = stackalloc char[2];
        foreach (var (codePoint, change) in changes)
        {
            int width = new Rune(codePoint).EncodeToUtf16(units);
            edit.Insert(units[..width], Math.Min(change > 0 ? at - 1 : at, Text.Length - 1));
            for (int taken = change > 0 ? 0 : 1 - change; taken > 0 && at < Text.Length; taken--)
                at = After(at);
        }

        return edit.Done();
    }

    private int After(int index) => index + (char.IsHighSurrogate(Text[index]) ? 2 : 1);

    /// <summary>A text under construction from parts of another.</summary>
    internal sealed class Edit(AlignedText source, int capacity)
    {
        private readonly StringBuilder _text = new(capacity);
        private readonly List<int> _starts = new(capacity);
        private readonly List<int> _ends = new(capacity);

        public void Keep(int start, int end)
        {
            _text.Append(source.Text, start, end - start);
            _starts.AddRange(source._starts.AsSpan(start, end - start));
            _ends.AddRange(source._ends.AsSpan(start, end - start));
        }

        /// <summary>Appends text that takes the place of the unit at <paramref name="at"/>; a negative place is the very beginning.</summary>
        public void Insert(ReadOnlySpan<char> text, int at)
        {
            _text.Append(text);
            for (int index = 0; index < text.Length; index++)
            {
                _starts.Add(at < 0 ? source.Origin : source._starts[at]);
                _ends.Add(at < 0 ? source.Origin : source._ends[at]);
            }
        }

        public AlignedText Done() => new(_text.ToString(), [.. _starts], [.. _ends], source.Origin);
    }
}
