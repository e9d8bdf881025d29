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
        JsonElement? tools = raw.Fields.TryGetValue("tools", out var value) && value.ValueKind == JsonValueKind.Array ? value : null;
        yield return new ConversationRecord(Messages(raw, "messages"), tools) { Source = raw.Source, Group = GroupOf(raw), Part = raw.Part };
    }

    /// <summary>The messages in a field.</summary>
    internal static List<ChatMessage> Messages(RawRecord raw, string key) =>
        [.. ConversationFields.List(raw, key).EnumerateArray().Select((message, index) => Message(raw, message, key, index))];

    internal static ChatMessage Message(RawRecord raw, JsonElement message, string list, int index)
    {
        string role = ConversationFields.Text(raw, message, list, index, "role");
        if (!message.TryGetProperty("content", out var content) && !message.TryGetProperty("tool_calls", out _))
            throw ConversationFields.Missing(raw, message, list, index, "content");
        string? text = content.ValueKind switch
        {
            JsonValueKind.String => raw.AsText(content, $"{list}[{index}].content"),
            JsonValueKind.Null or JsonValueKind.Undefined or JsonValueKind.Array => null,
            _ => throw new PerenosException($"{raw.Source}: {list}[{index}].content is {RawRecord.Describe(content)}.", "Write the content as a string, or as a list of parts."),
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
        yield return new ConversationRecord(Messages(raw)) { Source = raw.Source, Group = GroupOf(raw), Part = raw.Part };
    }

    /// <summary>The messages of a record, its system message first.</summary>
    internal static List<ChatMessage> Messages(RawRecord raw)
    {
        var messages = ConversationFields.List(raw, "conversations").EnumerateArray().Select((message, index) => Message(raw, message, "conversations", index)).ToList();
        if (raw.Fields.TryGetValue("system", out var system) && system.ValueKind == JsonValueKind.String)
            messages.Insert(0, new ChatMessage("system", raw.AsText(system, "system")));
        return messages;
    }

    internal static ChatMessage Message(RawRecord raw, JsonElement message, string list, int index) => new(
        Role(raw, ConversationFields.Text(raw, message, list, index, "from"), list, index),
        ConversationFields.Text(raw, message, list, index, "value"));

    private static string Role(RawRecord raw, string from, string list, int index) => from switch
    {
        "human" or "user" => "user",
        "gpt" or "assistant" => ChatMessage.Assistant,
        "system" => "system",
        "observation" or "tool" => "tool",
        _ => throw new PerenosException($"{raw.Source}: {list}[{index}] is from \"{from}\".", "Known are human, gpt, system and observation. Write tool calls as \"messages\" with tool_calls."),
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
