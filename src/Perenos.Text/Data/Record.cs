using System.Text.Json;

namespace Perenos.Text.Data;

/// <summary>A record that its schema has given a meaning.</summary>
public abstract record Record
{
    /// <summary>Where it came from, as "file.jsonl:17".</summary>
    public required string Source { get; init; }

    /// <summary>Records of one group never stand on both sides of a split; by default each row of a file is a group.</summary>
    public required string Group { get; init; }

    /// <summary>The part that its file claims; null where a split decides.</summary>
    public DataPart? Part { get; init; }

    /// <summary>The text that must not stand both in training and in test: what the model is given.</summary>
    public abstract string PromptText { get; }
}

/// <summary>Text that is learnt from its first token to its last.</summary>
public sealed record TextRecord(string Text) : Record
{
    /// <inheritdoc/>
    public override string PromptText => Text;
}

/// <summary>A prompt that is given and a completion that is learnt.</summary>
public sealed record PromptRecord(string Prompt, string Completion) : Record
{
    /// <inheritdoc/>
    public override string PromptText => Prompt;
}

/// <summary>A conversation whose assistant messages are learnt.</summary>
/// <param name="Messages">The messages in order.</param>
/// <param name="Tools">The functions that the model may call, as a JSON array; null where there are none.</param>
public sealed record ConversationRecord(IReadOnlyList<ChatMessage> Messages, JsonElement? Tools = null) : Record
{
    /// <inheritdoc/>
    public override string PromptText => string.Join('\n', PromptMessages.Select(message => $"{message.Role}: {message.Content}"));

    /// <summary>What stands before the last assistant message; all messages where there is none.</summary>
    internal IReadOnlyList<ChatMessage> PromptMessages
    {
        get
        {
            int last = Messages.Count - 1;
            while (last >= 0 && Messages[last].Role != ChatMessage.Assistant)
                last--;
            return last < 0 ? Messages : [.. Messages.Take(last)];
        }
    }
}

/// <summary>One message of a conversation.</summary>
/// <param name="Role">system, user, assistant or tool; the chat template decides which it knows.</param>
/// <param name="Content">The text; null where the message holds only tool calls, or parts.</param>
public sealed record ChatMessage(string Role, string? Content)
{
    /// <summary>The role whose messages are learnt.</summary>
    public const string Assistant = "assistant";

    /// <summary>The message as it stands in the file, with all its keys in order (tool_calls, name, parts …); null where role and content are all.</summary>
    public JsonElement? Json { get; init; }
}
