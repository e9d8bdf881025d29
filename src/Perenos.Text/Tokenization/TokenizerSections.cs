using System.Text.Json;

namespace Perenos.Text.Tokenization;

/// <summary>
/// A tokenizer.json under construction, for tokenizers that come from elsewhere: everything is written as a file and read again, so
/// that there is one way in.
/// </summary>
internal sealed class TokenizerSections
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

    /// <summary>A special token that is found only as it is written.</summary>
    public static object Special(int id, string content) => Added(id, content, special: true, normalized: false);

    public static object Added(int id, string content, bool special, bool normalized) => new
    {
        id,
        content,
        single_word = false,
        lstrip = false,
        rstrip = false,
        normalized,
        special,
    };

    /// <summary>A template that puts special tokens around each text; null where there are none.</summary>
    public static object? Frame((int Id, string Token)? begin, (int Id, string Token)? end)
    {
        if (begin is null && end is null)
            return null;
        object[] Text(string name, int type) =>
            [.. Special(begin, type), new { Sequence = new { id = name, type_id = type } }, .. Special(end, type)];
        object[] Special((int Id, string Token)? token, int type) =>
            token is { } known ? [new { SpecialToken = new { id = known.Token, type_id = type } }] : [];
        return new
        {
            type = "TemplateProcessing",
            single = Text("A", 0),
            pair = (object[])[.. Text("A", 0), .. Text("B", 1)],
            special_tokens = new[] { begin, end }.OfType<(int Id, string Token)>().DistinctBy(token => token.Token)
                .ToDictionary(token => token.Token, token => (object)new { id = token.Token, ids = new[] { token.Id }, tokens = new[] { token.Token } }),
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
