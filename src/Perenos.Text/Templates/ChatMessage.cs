using System.Text.Json;

namespace Perenos.Text.Templates;

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
