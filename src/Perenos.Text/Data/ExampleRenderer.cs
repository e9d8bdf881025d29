using System.Text.Json;
using Perenos.Runs;
using Perenos.Text.Templates;

namespace Perenos.Text.Data;

/// <summary>How records become tokens.</summary>
public sealed record RenderSettings
{
    /// <summary>The model's tokenizer.</summary>
    public required ITextEncoder Encoder { get; init; }

    /// <summary>The token that ends a text or a completion; generation stops at it.</summary>
    public required int StopId { get; init; }

    /// <summary>The stop token as it is written; with a chat template it must be one token for the encoder.</summary>
    public required string StopText { get; init; }

    /// <summary>Other tokens at which generation stops (a model may have several).</summary>
    public IReadOnlyList<int> OtherStopIds { get; init; } = [];

    /// <summary>The token that begins every text (as Llama's tokenizers add it); null where the model has none. A chat template writes its own.</summary>
    public int? StartId { get; init; }

    /// <summary>The model's chat template; null: prompt and completion stand one after the other.</summary>
    public ChatTemplate? Template { get; init; }

    /// <summary>What the template sees besides the conversation: bos_token, eos_token, enable_thinking.</summary>
    public IReadOnlyDictionary<string, object?> Variables { get; init; } = new Dictionary<string, object?>();

    /// <summary>What stands between prompt and completion where neither brings white space.</summary>
    public string Join { get; init; } = "\n";
}

/// <summary>
/// The one place where records become tokens, for training, evaluation and generation alike, so that a model is asked exactly as it was taught.
/// </summary>
public sealed class ExampleRenderer
{
    private readonly RenderSettings _settings;
    private readonly HashSet<int> _stops;

    /// <summary>Checks that the stop token is one token.</summary>
    /// <exception cref="PerenosException">A chat template is given, but the tokenizer does not know its stop token.</exception>
    public ExampleRenderer(RenderSettings settings)
    {
        ArgumentNullException.ThrowIfNull(settings);
        _settings = settings;
        _stops = [settings.StopId, .. settings.OtherStopIds];
        if (settings.Template is not null && settings.Encoder.Encode(settings.StopText) is var stop && (stop.Count != 1 || stop[0].Id != settings.StopId))
        {
            throw new PerenosException($"The stop token \"{settings.StopText}\" is not token {settings.StopId} for this tokenizer, but {stop.Count} tokens ({string.Join(", ", stop.Take(8).Select(token => token.Id))}).",
                "Use the tokenizer and the chat template of one and the same model.");
        }
    }

    /// <summary>Tokens at which generation stops.</summary>
    public IReadOnlySet<int> StopIds => _stops;

    /// <summary>The whole record with its mask.</summary>
    /// <exception cref="PerenosException">The template refuses the conversation, or its replies cannot be told apart, or do not end in a stop token.</exception>
    public Example Render(Record record) => record switch
    {
        TextRecord text => Joined([], [.. Ids(text.Text), _settings.StopId], record, isText: true),
        PromptRecord pair when _settings.Template is null => Joined(Ids(pair.Prompt), [.. Ids(Separator(pair) + pair.Completion), _settings.StopId], record, isText: false),
        PromptRecord pair => RenderChat(Messages(pair, pair.Completion), null, record),
        ConversationRecord conversation => RenderChat(conversation.Messages, conversation.Tools, record),
        PreferenceRecord pair => Render(pair.Chosen) with { Rejected = Render(pair.Rejected) },
        _ => throw new ArgumentException($"{record?.GetType()} is no record", nameof(record)),
    };

    /// <summary>The tokens that generation continues from: those before the completion or the final reply; all of a text, or of a conversation that waits for a reply.</summary>
    /// <exception cref="PerenosException">They are not the beginning of what <see cref="Render"/> gives, so the model would be asked otherwise than it was taught.</exception>
    public int[] RenderPrompt(Record record)
    {
        ArgumentNullException.ThrowIfNull(record);
        int[] ids = record switch
        {
            TextRecord text => WithStart(Ids(text.Text)),
            PromptRecord pair when _settings.Template is null => WithStart(Ids(pair.Prompt)),
            PromptRecord pair => Ids(Chat(Messages(pair, null), null, addsPrompt: true, record).Text),
            ConversationRecord conversation => Ids(Chat(conversation.PromptMessages, conversation.Tools, addsPrompt: true, record).Text),
            _ => throw new ArgumentException($"{record.GetType()} is no record", nameof(record)),
        };
        if (HasReply(record) && !Render(record).Ids.AsSpan().StartsWith(ids))
        {
            throw new PerenosException($"{record.Source}: the prompt's tokens are not the beginning of the whole record's tokens.",
                "A token joins the end of the prompt with the start of the reply (often white space at the start of the reply: remove it), or the chat template writes a past reply otherwise than a new one.");
        }

        return ids;
    }

    private static bool HasReply(Record record) => record switch
    {
        PromptRecord pair => pair.Completion.Length > 0,
        ConversationRecord conversation => conversation.EndsWithReply,
        _ => true,
    };

    private static List<ChatMessage> Messages(PromptRecord pair, string? completion)
    {
        var messages = new List<ChatMessage> { new("user", pair.Prompt) };
        if (completion is not null)
            messages.Add(new ChatMessage(ChatMessage.Assistant, completion));
        return messages;
    }

    private int[] Ids(string text) => text.Length == 0 ? [] : [.. _settings.Encoder.Encode(text).Select(token => token.Id)];

    // A text that writes its start token out keeps it; two of them are a known way to spoil a model.
    private int[] WithStart(int[] ids) => _settings.StartId is { } start && (ids.Length == 0 || ids[0] != start) ? [start, .. ids] : ids;

    private string Separator(PromptRecord pair) =>
        (pair.Prompt.Length > 0 && char.IsWhiteSpace(pair.Prompt[^1])) || (pair.Completion.Length > 0 && char.IsWhiteSpace(pair.Completion[0])) ? "" : _settings.Join;

    private Example Joined(int[] prompt, int[] completion, Record record, bool isText)
    {
        int[] ids = WithStart([.. prompt, .. completion]);
        int firstLearnt = Math.Max(1, ids.Length - completion.Length);
        bool[] isLearnt = [.. Enumerable.Range(0, ids.Length).Select(i => i >= firstLearnt)];
        return new Example(ids, isLearnt, record.Source) { IsText = isText, HasStart = ids[0] == _settings.StartId };
    }

    private RenderedChat Chat(IReadOnlyList<ChatMessage> messages, JsonElement? tools, bool addsPrompt, Record record)
    {
        if (_settings.Template is not { } template)
            throw new PerenosException($"{record.Source} is a conversation, but the model has no chat template.", "Use an instruction-tuned model, or --prompt and --completion.");
        try
        {
            return template.Render(new ChatInput(messages) { Tools = tools, Variables = _settings.Variables, AddGenerationPrompt = addsPrompt });
        }
        catch (PerenosException exception)
        {
            throw new PerenosException($"{record.Source}: {exception.Message}", exception.Hint, exception);
        }
    }

    private Example RenderChat(IReadOnlyList<ChatMessage> messages, JsonElement? tools, Record record)
    {
        var chat = Chat(messages, tools, addsPrompt: false, record);
        var tokens = _settings.Encoder.Encode(chat.Text);
        bool[] isLearnt = new bool[tokens.Count];
        if (chat.AssistantSpans is { } spans)
        {
            foreach (var span in spans)
                ReplySpans.LearnMarked(tokens, isLearnt, span, _stops, record.Source);
        }
        else
        {
            string Prefix(int count, bool addsPrompt) => Chat([.. messages.Take(count)], tools, addsPrompt, record).Text;
            foreach (var span in ReplySpans.Find(messages, chat.Text, Prefix, record.Source))
                ReplySpans.LearnToFirstStop(tokens, isLearnt, span, _stops, record.Source);
        }

        if (isLearnt.Length > 0)
            isLearnt[0] = false;
        int[] ids = [.. tokens.Select(token => token.Id)];
        return new Example(ids, isLearnt, record.Source) { HasStart = ids.Length > 0 && ids[0] == _settings.StartId };
    }
}
