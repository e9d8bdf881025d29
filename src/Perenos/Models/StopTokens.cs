using System.Text.Json.Nodes;
using Perenos.Runs;
using Perenos.Text.Tokenization;

namespace Perenos.Models;

/// <summary>The tokens that end a text, the one used in training first.</summary>
internal static class StopTokens
{
    /// <summary>From <c>generation_config.json</c>, else <c>config.json</c>, else the tokenizer's own <c>eos_token</c>.</summary>
    /// <exception cref="PerenosException">None is named, or one is beyond the vocabulary.</exception>
    public static IReadOnlyList<int> Find(JsonObject? generation, JsonObject config, JsonObject? tokenizerConfig, Tokenizer tokenizer, string location)
    {
        var named = Ids(generation?["eos_token_id"]) ?? Ids(config["eos_token_id"]) ?? Named(tokenizerConfig?["eos_token"], tokenizer);
        if (named is null || named.Count == 0)
        {
            throw new PerenosException(
                $"{location} names no token that ends a text.",
                "Set eos_token_id in generation_config.json; without it training cannot teach the model to stop.");
        }

        foreach (int id in named)
        {
            if (tokenizer.TokenOf(id) is null)
                throw new PerenosException($"{location}: eos_token_id {id} is not in the tokenizer.", "Take tokenizer and configuration from the same checkpoint.");
        }

        return named;
    }

    private static List<int>? Ids(JsonNode? node) => node switch
    {
        null => null,
        JsonArray array => [.. array.Select(entry => entry!.GetValue<int>())],
        JsonValue value when value.TryGetValue(out int id) => [id],
        _ => null,
    };

    // A text, or an object with "content".
    private static List<int>? Named(JsonNode? node, Tokenizer tokenizer)
    {
        string? token = node is JsonObject section ? section["content"]?.ToString() : node?.ToString();
        return token is not null && tokenizer.IdOf(token) is { } id ? [id] : null;
    }
}
