using System.Text.Json;
using Perenos.Runs;
using Perenos.Text.Templates;

namespace Perenos.Text.Data;

/// <summary>
/// {"prompt", "chosen", "rejected"}, texts or messages (TRL), or {"conversations", "chosen", "rejected"} (ShareGPT): the chosen
/// answer is to become likelier than the rejected one.
/// </summary>
public sealed record PreferenceSchema : Schema
{
    /// <inheritdoc/>
    public override string Description => "a prompt with a \"chosen\" and a \"rejected\" answer; the first is learnt to be preferred to the second";

    /// <summary>The schema, if a record has its keys.</summary>
    /// <exception cref="PerenosException">It has others.</exception>
    public static PreferenceSchema For(RawRecord record)
    {
        ArgumentNullException.ThrowIfNull(record);
        bool hasAnswers = record.Fields.ContainsKey("chosen") && record.Fields.ContainsKey("rejected");
        return hasAnswers && (record.Fields.ContainsKey("prompt") || record.Fields.ContainsKey("conversations"))
            ? new PreferenceSchema()
            : throw Unclear(record, "no pair of answers to learn a preference from", "Preference records have \"prompt\" (or \"conversations\"), \"chosen\" and \"rejected\"");
    }

    /// <inheritdoc/>
    public override IEnumerable<Record> Records(RawRecord raw)
    {
        ArgumentNullException.ThrowIfNull(raw);
        var prompt = Prompt(raw);
        yield return new PreferenceRecord(Answered(raw, prompt, "chosen"), Answered(raw, prompt, "rejected")) { Source = raw.Source, Group = GroupOf(raw), Part = raw.Part };
    }

    private static List<ChatMessage> Prompt(RawRecord raw)
    {
        if (raw.Fields.ContainsKey("conversations"))
            return ShareGptSchema.Messages(raw);
        return raw.Value("prompt").ValueKind == JsonValueKind.Array ? MessagesSchema.Messages(raw, "prompt") : [new ChatMessage("user", raw.Text("prompt"))];
    }

    // One question needs no chat template, so any model can learn from it.
    private Record Answered(RawRecord raw, List<ChatMessage> prompt, string key)
    {
        var answer = Answer(raw, key);
        return prompt is [{ Role: "user", Content: { } question }] && answer.Content is { } text
            ? new PromptRecord(question, text) { Source = raw.Source, Group = GroupOf(raw), Part = raw.Part }
            : new ConversationRecord([.. prompt, answer]) { Source = raw.Source, Group = GroupOf(raw), Part = raw.Part };
    }

    private static ChatMessage Answer(RawRecord raw, string key)
    {
        var value = raw.Value(key);
        if (value.ValueKind == JsonValueKind.Array && value.GetArrayLength() == 1)
            value = value[0];
        if (value.ValueKind != JsonValueKind.Object)
            return new ChatMessage(ChatMessage.Assistant, raw.AsText(value, key));
        var message = value.TryGetProperty("from", out _) ? ShareGptSchema.Message(raw, value, key, 0) : MessagesSchema.Message(raw, value, key, 0);
        return message.Role == ChatMessage.Assistant
            ? message
            : throw new PerenosException($"{raw.Source}: \"{key}\" is from the {message.Role}.", "An answer is one message of the assistant.");
    }
}
