using System.Text.Json.Nodes;
using Perenos.Runs;
using Perenos.Text.Tokenization;
using static TorchSharp.torch;

namespace Perenos.Models;

/// <summary>A token that a vocabulary is extended by.</summary>
/// <param name="Id">Its id, and its row in the embeddings.</param>
/// <param name="Content">How it is written.</param>
/// <param name="Pieces">The ids that its text had before.</param>
public sealed record ExtensionToken(int Id, string Content, IReadOnlyList<int> Pieces);

/// <summary>
/// More tokens for a model. The row of each new token, in the embeddings and in an untied head, starts as the mean of the rows of the
/// pieces that its text was cut into before.
/// </summary>
public sealed class VocabularyExtension
{
    private readonly Pretrained _pretrained;

    /// <exception cref="PerenosException">A token is there already or comes twice, or the old tokenizer cannot spell it.</exception>
    public VocabularyExtension(Pretrained pretrained, IReadOnlyList<string> tokens, bool areSpecial = false, bool areWholeWords = false)
    {
        ArgumentNullException.ThrowIfNull(pretrained);
        ArgumentNullException.ThrowIfNull(tokens);
        if (tokens.Count == 0)
            throw new PerenosException("There are no tokens to add.", "Name some.");
        _pretrained = pretrained;
        (AreSpecial, AreWholeWords) = (areSpecial, areWholeWords);
        Tokenizer = pretrained.Tokenizer.Extend(tokens, areSpecial, areWholeWords);
        int first = pretrained.Tokenizer.VocabularySize;
        Tokens = [.. tokens.Select((token, index) => new ExtensionToken(first + index, token, Pieces(token)))];
        Rows = Math.Max(pretrained.Model.Config.VocabularySize, first + tokens.Count);
    }

    /// <summary>The tokenizer that knows the new tokens.</summary>
    public Tokenizer Tokenizer { get; }

    /// <summary>The new tokens by id.</summary>
    public IReadOnlyList<ExtensionToken> Tokens { get; }

    /// <summary>Whether decoding leaves them out with the special tokens.</summary>
    public bool AreSpecial { get; }

    /// <summary>Whether they are found only as words of their own.</summary>
    public bool AreWholeWords { get; }

    /// <summary>Rows of the embeddings afterwards; as before where the model has rows to spare.</summary>
    public long Rows { get; }

    /// <summary>A <c>tokenizer_config.json</c> that lists the new tokens too, where it lists any.</summary>
    internal JsonObject Describe(JsonObject tokenizerConfig)
    {
        var config = (JsonObject)tokenizerConfig.DeepClone();
        if (config["added_tokens_decoder"] is JsonObject decoder)
        {
            foreach (var token in Tokens)
                decoder[$"{token.Id}"] = new JsonObject { ["content"] = token.Content, ["lstrip"] = false, ["normalized"] = false, ["rstrip"] = false, ["single_word"] = AreWholeWords, ["special"] = AreSpecial };
        }

        return config;
    }

    /// <summary>The first values of the new tokens' rows: (V, …) -> (N, …), the mean over each token's pieces.</summary>
    public Tensor NewRows(Tensor table)
    {
        ArgumentNullException.ThrowIfNull(table);
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        // float32: a mean of many bfloat16 rows loses its last bits.
        var means = Tokens.Select(token => table.index_select(0, tensor(token.Pieces.Select(id => (long)id).ToArray(), device: table.device)).to(ScalarType.Float32).mean([0]));
        return stack(means.ToArray()).to(table.dtype).MoveToOuterDisposeScope();
    }

    /// <summary>Writes the model with the new tokens as a folder that transformers opens.</summary>
    public void Save(string folder) => _pretrained.Save(folder, type: null, this);

    /// <summary>What is kept beside the model.</summary>
    internal AddedVocabulary Added => new() { Tokens = Tokens, AreSpecial = AreSpecial, AreWholeWords = AreWholeWords };

    /// <summary>A weight as it is saved: with more rows where it has one for each token.</summary>
    internal Tensor Grown(Tensor weight)
    {
        var (embedding, head) = (_pretrained.Model.Embedding.Weight, _pretrained.Model.Head);
        bool hasRowsOfTokens = weight.Handle == embedding.Handle || weight.Handle == head.Weight.Handle || weight.Handle == head.Bias?.Handle;
        if (!hasRowsOfTokens)
            return weight;
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        int first = Tokens[0].Id, behind = first + Tokens.Count;
        Tensor[] parts = [weight.narrow(0, 0, first), NewRows(weight)];
        if (behind < weight.shape[0])
            parts = [.. parts, weight.narrow(0, behind, weight.shape[0] - behind)];
        return cat(parts, 0).MoveToOuterDisposeScope();
    }

    private int[] Pieces(string token) => _pretrained.Tokenizer.Encode(token) is { Length: > 0 } pieces
        ? pieces
        : throw new PerenosException($"The tokenizer has no pieces for \"{token}\", from which its row could be made.", "Leave it out.");
}
