using System.Text.Json;
using System.Text.Json.Serialization;
using Perenos.Text.Templates;

namespace Perenos.Text.Data;

/// <summary>A record that its schema has given a meaning.</summary>
[JsonPolymorphic(TypeDiscriminatorPropertyName = "kind")]
[JsonDerivedType(typeof(TextRecord), "text")]
[JsonDerivedType(typeof(PromptRecord), "prompt")]
[JsonDerivedType(typeof(ConversationRecord), "conversation")]
[JsonDerivedType(typeof(PreferenceRecord), "preference")]
public abstract record Record
{
    /// <summary>Where it came from, as "file.jsonl:17".</summary>
    public required string Source { get; init; }

    /// <summary>Records of one group never stand on both sides of a split; by default each row of a file is a group.</summary>
    public required string Group { get; init; }

    /// <summary>The part that its file claims; null where a split decides.</summary>
    public DataPart? Part { get; init; }

    /// <summary>Whether it may be learnt from: its file claims no other part for it.</summary>
    public bool IsForTraining => Part is null or DataPart.Train;

    /// <summary>The text that must not stand both in training and in test: what the model is given.</summary>
    public abstract string PromptText { get; }

    /// <summary>By what two prompts are the same: line ends and indents differ between copies of one text.</summary>
    public static string KeyOf(string prompt)
    {
        ArgumentNullException.ThrowIfNull(prompt);
        return string.Join(' ', prompt.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));
    }
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

/// <summary>Two answers to one prompt, the first preferred to the second.</summary>
/// <param name="Chosen">The prompt with the preferred answer.</param>
/// <param name="Rejected">The same prompt with the other one.</param>
public sealed record PreferenceRecord(Record Chosen, Record Rejected) : Record
{
    /// <inheritdoc/>
    public override string PromptText => Chosen.PromptText;
}

/// <summary>A conversation whose assistant messages are learnt.</summary>
/// <param name="Messages">The messages in order.</param>
/// <param name="Tools">The functions that the model may call, as a JSON array; null where there are none.</param>
public sealed record ConversationRecord(IReadOnlyList<ChatMessage> Messages, JsonElement? Tools = null) : Record
{
    /// <inheritdoc/>
    public override string PromptText => string.Join('\n', PromptMessages.Select(message => $"{message.Role}: {message.Content}"));

    /// <summary>Whether the conversation ends with a reply.</summary>
    internal bool EndsWithReply => Messages is [.., { Role: ChatMessage.Assistant }];

    /// <summary>What the next reply answers: all messages, without the last one where that is a reply.</summary>
    internal IReadOnlyList<ChatMessage> PromptMessages => EndsWithReply ? [.. Messages.Take(Messages.Count - 1)] : Messages;
}
