namespace Perenos.Text.Data;

/// <summary>Turns text into token ids with their places in the text; what rendering needs of a tokenizer.</summary>
public interface ITextEncoder
{
    /// <summary>
    /// The tokens of <paramref name="text"/> with their start (inclusive) and end (exclusive) in UTF-16 units.
    /// Special tokens written out in the text are recognised; none are added.
    /// </summary>
    IReadOnlyList<(int Id, int Start, int End)> Encode(string text);
}
