using System.Text.Json;
using Perenos.Runs;
using Perenos.Text.Templates;

namespace Perenos.Text.Data;

/// <summary>{"messages": [{"role", "content"}, …], "tools"?}; the assistant's messages are learnt.</summary>
public sealed record MessagesSchema : Schema
{
    /// <inheritdoc/>
    public override string Description => "conversation in \"messages\" (role, content); the assistant's messages are learnt";

    /// <inheritdoc/>
    public override IEnumerable<Record> Records(RawRecord raw)
    {
        ArgumentNullException.ThrowIfNull(raw);
        var list = ConversationFields.List(raw, "messages");
        JsonElement? tools = raw.Fields.TryGetValue("tools", out var value) && value.ValueKind == JsonValueKind.Array ? value : null;
        var messages = list.EnumerateArray().Select((message, index) => Message(raw, message, index)).ToList();
        yield return new ConversationRecord(messages, tools) { Source = raw.Source, Group = GroupOf(raw), Part = raw.Part };
    }

    private static ChatMessage Message(RawRecord raw, JsonElement message, int index)
    {
        string role = ConversationFields.Text(raw, message, "messages", index, "role");
        if (!message.TryGetProperty("content", out var content) && !message.TryGetProperty("tool_calls", out _))
            throw ConversationFields.Missing(raw, message, "messages", index, "content");
        string? text = content.ValueKind switch
        {
            JsonValueKind.String => raw.AsText(content, $"messages[{index}].content"),
            JsonValueKind.Null or JsonValueKind.Undefined or JsonValueKind.Array => null,
            _ => throw new PerenosException($"{raw.Source}: messages[{index}].content is {RawRecord.Describe(content)}.", "Write the content as a string, or as a list of parts."),
        };
        return new ChatMessage(role, text) { Json = message };
    }
}

/// <summary>{"conversations": [{"from": "human" | "gpt" | "system" | "observation", "value"}, …], "system"?} (ShareGPT).</summary>
public sealed record ShareGptSchema : Schema
{
    /// <inheritdoc/>
    public override string Description => "conversation in \"conversations\" (from, value: ShareGPT); the gpt messages are learnt";

    /// <inheritdoc/>
    public override IEnumerable<Record> Records(RawRecord raw)
    {
        ArgumentNullException.ThrowIfNull(raw);
        var list = ConversationFields.List(raw, "conversations");
        var messages = list.EnumerateArray().Select((message, index) => new ChatMessage(
            Role(raw, ConversationFields.Text(raw, message, "conversations", index, "from"), index),
            ConversationFields.Text(raw, message, "conversations", index, "value"))).ToList();
        if (raw.Fields.TryGetValue("system", out var system) && system.ValueKind == JsonValueKind.String)
            messages.Insert(0, new ChatMessage("system", raw.AsText(system, "system")));
        yield return new ConversationRecord(messages) { Source = raw.Source, Group = GroupOf(raw), Part = raw.Part };
    }

    private static string Role(RawRecord raw, string from, int index) => from switch
    {
        "human" or "user" => "user",
        "gpt" or "assistant" => ChatMessage.Assistant,
        "system" => "system",
        "observation" or "tool" => "tool",
        _ => throw new PerenosException($"{raw.Source}: conversations[{index}] is from \"{from}\".", "Known are human, gpt, system and observation. Write tool calls as \"messages\" with tool_calls."),
    };
}

/// <summary>Reads the lists of objects that conversations are written as.</summary>
internal static class ConversationFields
{
    public static JsonElement List(RawRecord raw, string key)
    {
        var list = raw.Value(key);
        if (list.ValueKind != JsonValueKind.Array || list.GetArrayLength() == 0)
            throw new PerenosException($"{raw.Source}: \"{key}\" is {(list.ValueKind == JsonValueKind.Array ? "an empty list" : RawRecord.Describe(list))}.", "A conversation is a list of at least one message.");
        return list;
    }

    public static string Text(RawRecord raw, JsonElement message, string list, int index, string key)
    {
        if (message.ValueKind != JsonValueKind.Object)
            throw new PerenosException($"{raw.Source}: {list}[{index}] is {RawRecord.Describe(message)}, but an object is needed.", "Write each message as an object with its role and its content.");
        return message.TryGetProperty(key, out var value) ? raw.AsText(value, $"{list}[{index}].{key}") : throw Missing(raw, message, list, index, key);
    }

    public static PerenosException Missing(RawRecord raw, JsonElement message, string list, int index, string key) =>
        new($"{raw.Source}: {list}[{index}] has no \"{key}\".", $"It has: {string.Join(", ", message.EnumerateObject().Select(property => property.Name).Take(20))}.");
}
