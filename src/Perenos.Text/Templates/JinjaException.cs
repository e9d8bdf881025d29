namespace Perenos.Text.Templates;

/// <summary>A template that is malformed, or fails or forbids itself while it runs; <see cref="ChatTemplate"/> makes a message with line and column of it.</summary>
/// <param name="kind">What Python would call it: TemplateSyntaxError, UndefinedError, TypeError …</param>
/// <param name="message">What is wrong.</param>
/// <param name="at">Offset in the template; negative where only the evaluator knows.</param>
internal sealed class JinjaException(string kind, string message, int at = -1) : Exception(message)
{
    public const string RaisedByTemplate = "TemplateError";

    public string Kind { get; } = kind;

    public int At { get; } = at;

    public static JinjaException Syntax(string message, int at) => new("TemplateSyntaxError", message, at);

    public static JinjaException Type(string message) => new("TypeError", message);

    public static JinjaException Value(string message) => new("ValueError", message);

    public static JinjaException Limit(string message) => new("LimitError", message);
}
