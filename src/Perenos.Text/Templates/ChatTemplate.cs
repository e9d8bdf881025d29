using System.Numerics;
using System.Text.Json;
using Perenos.Runs;

namespace Perenos.Text.Templates;

/// <summary>What a chat template is rendered with.</summary>
/// <param name="Messages">The conversation; at least one message.</param>
public sealed record ChatInput(IReadOnlyList<ChatMessage> Messages)
{
    /// <summary>The functions that the model may call, as a JSON array; null where there are none.</summary>
    public JsonElement? Tools { get; init; }

    /// <summary>
    /// What the template sees besides: bos_token and eos_token (left out where the tokenizer has none), enable_thinking and the like.
    /// Values are strings, truth values, numbers, null or <see cref="JsonElement"/>.
    /// </summary>
    public IReadOnlyDictionary<string, object?> Variables { get; init; } = new Dictionary<string, object?>();

    /// <summary>Whether the text ends where the assistant's next reply begins.</summary>
    public bool AddGenerationPrompt { get; init; }

    /// <summary>Whether the text ends with the content of the last message, to be continued.</summary>
    public bool ContinueFinalMessage { get; init; }

    /// <summary>The clock behind strftime_now.</summary>
    public TimeProvider Clock { get; init; } = TimeProvider.System;
}

/// <summary>A rendered conversation.</summary>
/// <param name="Text">The text, special tokens written out.</param>
/// <param name="AssistantSpans">Start and end (UTF-16 units) of each reply where the template marks them with {% generation %}; null where it does not.</param>
public sealed record RenderedChat(string Text, IReadOnlyList<(int Start, int End)>? AssistantSpans);

/// <summary>
/// A chat template: Jinja as transformers runs it (trim_blocks, lstrip_blocks, loop controls, {% generation %}, no change of any value).
/// A template comes with a model from a stranger, so its steps, depth and output are bounded and it reaches nothing but its input.
/// </summary>
public sealed class ChatTemplate
{
    private const string FinalMark = "\uE000final\uE001";

    private readonly string _source;
    private readonly IReadOnlyList<JinjaStatement> _body;

    private ChatTemplate(string source, string name, IReadOnlyList<JinjaStatement> body)
    {
        _source = source;
        Name = name;
        _body = body;
    }

    /// <summary>Where the template came from, for messages.</summary>
    public string Name { get; }

    /// <summary>Reads a template.</summary>
    /// <exception cref="PerenosException">The template is malformed, or uses what is not supported; the message has line and column.</exception>
    public static ChatTemplate Parse(string source, string name)
    {
        ArgumentNullException.ThrowIfNull(source);
        string normalized = JinjaLexer.Normalize(source);
        try
        {
            return new ChatTemplate(normalized, name, JinjaParser.Parse(normalized));
        }
        catch (JinjaException exception)
        {
            throw new PerenosException($"The chat template {name} is malformed at {Place(normalized, exception.At)}: {exception.Message}",
                "Take the template of the original model (chat_template in tokenizer_config.json, or chat_template.jinja).", exception);
        }
    }

    /// <summary>Renders a conversation.</summary>
    /// <exception cref="PerenosException">The template refuses the conversation or fails; the message has line and column.</exception>
    public RenderedChat Render(ChatInput input)
    {
        ArgumentNullException.ThrowIfNull(input);
        if (input.Messages.Count == 0)
            throw new PerenosException("Cannot apply chat template to an empty conversation. Provide at least one message.", "Remove the empty record.");
        if (input.AddGenerationPrompt && input.ContinueFinalMessage)
            throw new PerenosException("A conversation cannot both continue its final message and begin a new reply.", "Ask for one of the two.");

        var evaluator = new JinjaEvaluator();
        try
        {
            string text = evaluator.Run(_body, Variables(input, evaluator.Budget));
            return input.ContinueFinalMessage ? new RenderedChat(CutAfterFinal(text), null) : new RenderedChat(text, evaluator.HasGenerations ? evaluator.Generations : null);
        }
        catch (JinjaException exception) when (exception.Kind == JinjaException.RaisedByTemplate)
        {
            throw new PerenosException($"The chat template {Name} refuses the conversation: {exception.Message}", "Change the roles and their order to what the template expects.", exception);
        }
        catch (JinjaException exception)
        {
            int at = exception.At >= 0 ? exception.At : evaluator.At;
            throw new PerenosException($"The chat template {Name} fails at {Place(_source, at)}: {exception.Message}", "Compare the messages' keys with what the template reads there.", exception);
        }
    }

    private static Dictionary<string, object?> Variables(ChatInput input, JinjaBudget budget)
    {
        var variables = new Dictionary<string, object?>(StringComparer.Ordinal);
        JinjaGlobals.AddTo(variables, input.Clock, budget);
        variables["documents"] = null;
        foreach (var (name, value) in input.Variables)
            variables[name] = Value(value);
        variables["messages"] = new JinjaList([.. input.Messages.Select((message, i) => (object)Message(message, input.ContinueFinalMessage && i == input.Messages.Count - 1))]);
        variables["tools"] = input.Tools is { } tools ? JinjaJson.Value(tools) : null;
        variables["add_generation_prompt"] = input.AddGenerationPrompt;
        return variables;
    }

    private static object? Value(object? value) => value switch
    {
        null or string or bool or double => value,
        int number => new BigInteger(number),
        long number => new BigInteger(number),
        JsonElement json => JinjaJson.Value(json),
        _ => throw new ArgumentException($"{value.GetType()} cannot be a template's variable"),
    };

    private static JinjaDict Message(ChatMessage message, bool isMarked)
    {
        var dict = message.Json is { } json && JinjaJson.Value(json) is JinjaDict whole ? whole : new JinjaDict { ["role"] = message.Role, ["content"] = message.Content };
        if (isMarked)
        {
            // The blank after the mark shows whether the template trims the content.
            dict["content"] = message.Content is { } content ? content + FinalMark + " "
                : throw new PerenosException("The final message has no text that could be continued.", "Give its content as a string.");
        }

        return dict;
    }

    private static string CutAfterFinal(string text)
    {
        int at = text.LastIndexOf(FinalMark, StringComparison.Ordinal);
        if (at < 0)
        {
            throw new PerenosException("The final message does not appear in the text that the chat template makes, so it cannot be continued.",
                "The template leaves the message out; ask for a new reply instead.");
        }

        int end = at + FinalMark.Length;
        return end < text.Length && text[end] == ' ' ? text[..at] : text[..at].TrimEnd(PythonText.Blanks);
    }

    private static string Place(string source, int at)
    {
        at = Math.Clamp(at, 0, source.Length);
        int line = source.AsSpan(0, at).Count('\n');
        int start = line == 0 ? 0 : source.LastIndexOf('\n', at - 1) + 1;
        return $"line {line + 1}, column {at - start + 1}";
    }
}
