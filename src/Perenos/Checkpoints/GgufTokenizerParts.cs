namespace Perenos.Checkpoints;

/// <summary>What a GGUF file says about its tokenizer, as it stands there.</summary>
/// <param name="Model">Kind of tokenizer: <c>gpt2</c> is byte-level BPE, <c>llama</c> is SentencePiece-like BPE with scores.</param>
/// <param name="Pre">Name of the pre-tokenizer, for example <c>smollm</c>; null where the file gives none.</param>
/// <param name="Tokens">Pieces by id, in the spelling of the model kind.</param>
/// <param name="Merges">Pairs in order of rank, <c>left right</c>; empty for kinds without.</param>
/// <param name="Scores">Scores by id; empty for kinds without.</param>
/// <param name="Types">By id: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte; empty where the file gives none.</param>
/// <param name="BeginningId">Id of the token at the beginning of a text.</param>
/// <param name="EndId">Id of the token at the end of a text.</param>
/// <param name="UnknownId">Id of the token for what is not in the vocabulary.</param>
/// <param name="PaddingId">Id of the padding token.</param>
/// <param name="AddBeginning">Whether texts get the beginning token; null where the file leaves it to the kind.</param>
/// <param name="AddEnd">Whether texts get the end token; null likewise.</param>
/// <param name="AddSpacePrefix">Whether a blank is put before the text; null likewise.</param>
/// <param name="ChatTemplate">The Jinja template of a conversation.</param>
public sealed record GgufTokenizerParts(
    string Model,
    string? Pre,
    string[] Tokens,
    string[] Merges,
    float[] Scores,
    int[] Types,
    int? BeginningId,
    int? EndId,
    int? UnknownId,
    int? PaddingId,
    bool? AddBeginning,
    bool? AddEnd,
    bool? AddSpacePrefix,
    string? ChatTemplate)
{
    /// <summary>Takes the parts from the metadata; null where the file carries no tokenizer.</summary>
    /// <exception cref="Runs.PerenosException">Lists of unequal length, or an id outside the vocabulary.</exception>
    public static GgufTokenizerParts? From(GgufFile file)
    {
        const string Prefix = "tokenizer.ggml.";
        if (file.Text(Prefix + "model") is not { } model || file.Values<string>(Prefix + "tokens") is not { } tokens)
            return null;
        return new GgufTokenizerParts(
            model,
            file.Text(Prefix + "pre"),
            tokens,
            file.Values<string>(Prefix + "merges") ?? [],
            PerToken<float>("scores"),
            PerToken<int>("token_type"),
            Id("bos_token_id"),
            Id("eos_token_id"),
            Id("unknown_token_id"),
            Id("padding_token_id"),
            file.Flag(Prefix + "add_bos_token"),
            file.Flag(Prefix + "add_eos_token"),
            file.Flag(Prefix + "add_space_prefix"),
            file.Text("tokenizer.chat_template"));

        T[] PerToken<T>(string key)
        {
            var values = file.Values<T>(Prefix + key) ?? [];
            return values.Length == 0 || values.Length == tokens.Length
                ? values
                : throw Refusal.Malformed(file.Location, $"it has {tokens.Length:N0} tokens but {values.Length:N0} {Prefix}{key}");
        }

        int? Id(string key) => file.Integer(Prefix + key) switch
        {
            null => null,
            >= 0 and var id when id < tokens.Length => (int)id,
            var id => throw Refusal.Malformed(file.Location, $"its {Prefix}{key} is {id}, but it has {tokens.Length:N0} tokens"),
        };
    }
}
