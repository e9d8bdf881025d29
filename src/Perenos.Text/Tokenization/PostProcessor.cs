namespace Perenos.Text.Tokenization;

/// <summary>Works on the finished encodings of one text or of a pair: puts special tokens in, trims offsets.</summary>
internal abstract class PostProcessor
{
    public abstract List<TokenEncoding> Apply(List<TokenEncoding> parts, bool addSpecialTokens);

    /// <summary>How many tokens it puts in.</summary>
    public abstract int AddedTokens(bool isPair);
}

/// <summary>Takes the blanks out of the offsets of byte-level tokens, if asked to.</summary>
internal sealed class ByteLevelProcessor(bool addPrefixSpace, bool trimOffsets) : PostProcessor
{
    public override List<TokenEncoding> Apply(List<TokenEncoding> parts, bool addSpecialTokens) =>
        trimOffsets ? parts.ConvertAll(part => part.WithEach(encoding => Trim(encoding, addPrefixSpace))) : parts;

    public override int AddedTokens(bool isPair) => 0;

    // As in https://github.com/huggingface/tokenizers/blob/main/tokenizers/src/pre_tokenizers/byte_level.rs, process_offsets.
    public static TokenEncoding Trim(TokenEncoding encoding, bool addPrefixSpace)
    {
        var offsets = encoding.Offsets.ToArray();
        for (int index = 0; index < offsets.Length; index++)
        {
            string token = encoding.Tokens[index];
            int leading = 0, trailing = 0;
            while (leading < token.Length && IsBlank(token[leading]))
                leading++;
            while (trailing < token.Length && IsBlank(token[^(trailing + 1)]))
                trailing++;
            var (start, end) = offsets[index];
            if (leading > 0)
            {
                // A single blank at the start is the one that add_prefix_space put there: it has no place to give back.
                bool isPrefix = (index == 0 || start == 0) && addPrefixSpace && leading == 1;
                start = Math.Min(start + (isPrefix ? 0 : leading), end);
            }

            if (trailing > 0 && end >= trailing)
                end = Math.Max(end - trailing, start);
            offsets[index] = (start, end);
        }

        return encoding.With(offsets: offsets);
    }

    private static bool IsBlank(char unit) => unit == ByteAlphabet.CharOf((byte)' ') || char.IsWhiteSpace(unit);
}

/// <summary>One place of a template: a sequence (0 or 1), or special tokens.</summary>
internal sealed record TemplatePiece(int Sequence, int TypeId, IReadOnlyList<int> Ids, IReadOnlyList<string> Tokens);

/// <summary>Sequences and special tokens in the order of a template.</summary>
internal sealed class TemplateProcessor(IReadOnlyList<TemplatePiece> single, IReadOnlyList<TemplatePiece> pair) : PostProcessor
{
    public override List<TokenEncoding> Apply(List<TokenEncoding> parts, bool addSpecialTokens)
    {
        var result = new List<TokenEncoding>();
        foreach (var piece in parts.Count == 1 ? single : pair)
        {
            if (piece.Sequence >= 0)
                result.Add(parts[piece.Sequence].With(piece.TypeId)); // what was cut off keeps its type, as in the reference
            else if (addSpecialTokens)
                result.Add(TokenEncoding.Inserted(piece.Ids, piece.Tokens, piece.TypeId));
        }

        return result;
    }

    public override int AddedTokens(bool isPair) => (isPair ? pair : single).Sum(static piece => piece.Ids.Count);
}

/// <summary>BERT's frame: [CLS] A [SEP], and B [SEP] with type 1.</summary>
internal sealed class BertProcessor((string Token, int Id) start, (string Token, int Id) separator) : PostProcessor
{
    public override List<TokenEncoding> Apply(List<TokenEncoding> parts, bool addSpecialTokens)
    {
        if (!addSpecialTokens)
            return parts;
        var result = new List<TokenEncoding> { TokenEncoding.Inserted([start.Id], [start.Token], 0) };
        for (int index = 0; index < parts.Count; index++)
        {
            result.Add(parts[index]);
            result.Add(TokenEncoding.Inserted([separator.Id], [separator.Token], index));
        }

        return result;
    }

    public override int AddedTokens(bool isPair) => isPair ? 3 : 2;
}

/// <summary>RoBERTa's frame: start A separator, and separator B separator; every type is 0.</summary>
internal sealed class RobertaProcessor(
    (string Token, int Id) start, (string Token, int Id) separator, bool trimOffsets, bool addPrefixSpace) : PostProcessor
{
    public override List<TokenEncoding> Apply(List<TokenEncoding> parts, bool addSpecialTokens)
    {
        if (trimOffsets)
            parts = parts.ConvertAll(part => part.WithEach(encoding => ByteLevelProcessor.Trim(encoding, addPrefixSpace)));
        parts = parts.ConvertAll(static part => part.WithEach(static encoding => encoding.With(typeId: 0)));
        if (!addSpecialTokens)
            return parts;
        var result = new List<TokenEncoding>();
        for (int index = 0; index < parts.Count; index++)
        {
            var first = index == 0 ? start : separator;
            result.Add(TokenEncoding.Inserted([first.Id], [first.Token], 0));
            result.Add(parts[index]);
            result.Add(TokenEncoding.Inserted([separator.Id], [separator.Token], 0));
        }

        return result;
    }

    public override int AddedTokens(bool isPair) => isPair ? 4 : 2;
}

/// <summary>Several post-processors, one behind the other.</summary>
internal sealed class PostProcessorSequence(IReadOnlyList<PostProcessor> steps) : PostProcessor
{
    public override List<TokenEncoding> Apply(List<TokenEncoding> parts, bool addSpecialTokens) =>
        steps.Aggregate(parts, (current, step) => step.Apply(current, addSpecialTokens));

    public override int AddedTokens(bool isPair) => steps.Sum(step => step.AddedTokens(isPair));
}
