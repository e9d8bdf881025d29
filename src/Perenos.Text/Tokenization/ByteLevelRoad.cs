namespace Perenos.Text.Tokenization;

/// <summary>
/// The fast way for byte-level BPE: words stay slices of the text and become bytes only where the model meets one for the first
/// time. Gives the same ids as the pre-tokenizers followed by the model.
/// </summary>
internal sealed class ByteLevelRoad
{
    private readonly Splitter[] _splitters;
    private readonly ByteLevelPreTokenizer _last;
    private readonly BpeModel _model;

    private ByteLevelRoad(Splitter[] splitters, ByteLevelPreTokenizer last, BpeModel model)
    {
        _splitters = splitters;
        _last = last;
        _model = model;
    }

    /// <summary>The road for a tokenizer that ends in ByteLevel after steps that only cut, or null.</summary>
    public static ByteLevelRoad? For(PreTokenizer? preTokenizer, TokenModel model)
    {
        IReadOnlyList<PreTokenizer> steps = preTokenizer switch
        {
            null => [],
            PreTokenizerSequence sequence => sequence.Steps,
            _ => [preTokenizer],
        };
        if (steps.Count == 0 || steps[^1] is not ByteLevelPreTokenizer last || model is not BpeModel { TakesBytes: true } bpe)
            return null;
        var splitters = steps.SkipLast(1).OfType<Splitter>().ToArray();
        if (splitters.Length != steps.Count - 1 || (last.AddPrefixSpace && splitters.Length > 0))
            return null;
        return new ByteLevelRoad(splitters, last, bpe);
    }

    public void Append(ReadOnlySpan<char> text, List<int> ids)
    {
        var scratch = _model.TakeScratch();
        if (_splitters.Length > 0)
            AppendPieces(text, ids, scratch);
        else if (_last.AddPrefixSpace && text.Length > 0 && text[0] != ' ')
            AppendWords($" {text}", ids, scratch);
        else
            AppendWords(text, ids, scratch);
        _model.GiveBack(scratch);
    }

    private void AppendPieces(ReadOnlySpan<char> text, List<int> ids, BpeScratch scratch)
    {
        if (_splitters is [PatternSplitter { Words: { } words }] && !_last.UseRegex)
        {
            AppendWords(text, words, ids, scratch);
            return;
        }

        var ranges = new List<TextRange>();
        _splitters[0].Split(text, ranges);
        var finer = new List<TextRange>();
        for (int step = 1; step < _splitters.Length; step++)
        {
            finer.Clear();
            foreach (var range in ranges)
            {
                int first = finer.Count;
                _splitters[step].Split(text[range.Start..range.End], finer);
                for (int index = first; index < finer.Count; index++)
                    finer[index] = new TextRange(finer[index].Start + range.Start, finer[index].End + range.Start);
            }

            (ranges, finer) = (finer, ranges);
        }

        foreach (var range in ranges)
            AppendWords(text[range.Start..range.End], ids, scratch);
    }

    private void AppendWords(ReadOnlySpan<char> text, List<int> ids, BpeScratch scratch)
    {
        if (_last.UseRegex)
            AppendWords(text, Gpt2Words.End, ids, scratch);
        else
            _model.AppendBytes(text, ids, scratch);
    }

    private void AppendWords(ReadOnlySpan<char> text, WordEnd wordEnd, List<int> ids, BpeScratch scratch)
    {
        for (int start = 0; start < text.Length;)
        {
            int end = wordEnd(text, start);
            _model.AppendBytes(text[start..end], ids, scratch);
            start = end;
        }
    }
}
