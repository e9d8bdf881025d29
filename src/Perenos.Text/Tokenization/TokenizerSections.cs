using System.Text.Json;

namespace Perenos.Text.Tokenization;

/// <summary>
/// A tokenizer.json under construction, for tokenizers that come from elsewhere: everything is written as a file and read again, so
/// that there is one way in.
/// </summary>
internal sealed record TokenizerSections
{
    /// <summary>GPT-2's pattern and the byte alphabet, without a blank in front.</summary>
    public static readonly object ByteLevel = new { type = "ByteLevel", add_prefix_space = false, trim_offsets = true, use_regex = true };

    /// <summary>The byte alphabet alone, behind a Split.</summary>
    public static readonly object ByteLevelOnly =
        new { type = "ByteLevel", add_prefix_space = false, trim_offsets = false, use_regex = false };

    /// <summary>Every digit on its own.</summary>
    public static readonly object Digits = new { type = "Digits", individual_digits = true };

    public object? Normalizer { get; init; }

    /// <summary>Zero or more steps.</summary>
    public IReadOnlyList<object> PreTokenizers { get; init; } = [];

    public object? PostProcessor { get; init; }

    public required object Decoder { get; init; }

    public required BpeOptions Options { get; init; }

    /// <summary>Cuts at the matches of a pattern, which stay.</summary>
    public static object Split(string pattern) => new { type = "Split", pattern = new { Regex = pattern }, behavior = "Isolated", invert = false };

    /// <summary>SentencePiece's way back: visible blanks and byte tokens, and the blank that was put before the text.</summary>
    public static object SentencePieceDecoder(bool stripsBlank)
    {
        object[] steps = [new { type = "Replace", pattern = new { String = "\u2581" }, content = " " }, new { type = "ByteFallback" }, new { type = "Fuse" }];
        return new { type = "Sequence", decoders = stripsBlank ? [.. steps, new { type = "Strip", content = " ", start = 1, stop = 0 }] : steps };
    }

    /// <summary>A template that puts special tokens before and behind each text; null where there are none.</summary>
    public static object? Frame((int Id, string Token)? begin, (int Id, string Token)? end)
    {
        if (begin is null && end is null)
            return null;
        static object Special(string token, int type) => new { SpecialToken = new { id = token, type_id = type } };
        IEnumerable<object> Framed(string name, int type)
        {
            if (begin is { } first)
                yield return Special(first.Token, type);
            yield return new { Sequence = new { id = name, type_id = type } };
            if (end is { } last)
                yield return Special(last.Token, type);
        }

        var tokens = ((int Id, string Token)?[])[begin, end];
        return new
        {
            type = "TemplateProcessing",
            single = Framed("A", 0),
            pair = Framed("A", 0).Concat(Framed("B", 1)),
            special_tokens = tokens.OfType<(int Id, string Token)>().DistinctBy(static token => token.Token)
                .ToDictionary(static token => token.Token, static token => new { id = token.Token, ids = new[] { token.Id }, tokens = new[] { token.Token } }),
        };
    }

    public Tokenizer Build(
        string name,
        IEnumerable<object> added,
        IEnumerable<KeyValuePair<string, int>> vocabulary,
        IEnumerable<(string Left, string Right)> merges)
    {
        var sections = new Dictionary<string, JsonElement>
        {
            ["added_tokens"] = JsonSerializer.SerializeToElement(added),
            ["decoder"] = JsonSerializer.SerializeToElement(Decoder),
        };
        if (Normalizer is not null)
            sections["normalizer"] = JsonSerializer.SerializeToElement(Normalizer);
        if (PreTokenizers.Count > 0)
        {
            sections["pre_tokenizer"] = JsonSerializer.SerializeToElement(
                PreTokenizers.Count == 1 ? PreTokenizers[0] : new { type = "Sequence", pretokenizers = PreTokenizers });
        }

        if (PostProcessor is not null)
            sections["post_processor"] = JsonSerializer.SerializeToElement(PostProcessor);
        var options = JsonSerializer.SerializeToElement(new
        {
            type = "BPE",
            dropout = (double?)null,
            unk_token = Options.UnknownToken,
            continuing_subword_prefix = (string?)null,
            end_of_word_suffix = (string?)null,
            fuse_unk = Options.FuseUnknown,
            byte_fallback = Options.ByteFallback,
            ignore_merges = Options.IgnoreMerges,
        });
        byte[] json = TokenizerWriter.Write(
            sections, options.EnumerateObject().ToDictionary(option => option.Name, option => option.Value), vocabulary, merges);
        return Tokenizer.Parse(json, name);
    }
}
