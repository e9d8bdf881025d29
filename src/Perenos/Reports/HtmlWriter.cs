using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;

namespace Perenos.Reports;

/// <summary>Markup that is already safe.</summary>
internal readonly record struct Html(string Markup);

/// <summary>
/// Collects markup. What stands literally in an interpolated string is markup; what stands in its holes is text and is
/// escaped, so that a value cannot become markup by being forgotten.
/// </summary>
internal sealed class HtmlWriter
{
    private readonly StringBuilder _text = new();

    public void Line([InterpolatedStringHandlerArgument("")] ref Handler markup) => _text.Append('\n');

    // The handler has written it already.
    public HtmlWriter Add([InterpolatedStringHandlerArgument("")] ref Handler markup) => this;

    public override string ToString() => _text.ToString();

    public static Html Escape(string? text)
    {
        var writer = new HtmlWriter();
        writer.AppendEscaped(text);
        return new Html(writer.ToString());
    }

    private void AppendEscaped(string? text)
    {
        foreach (char c in text ?? "")
        {
            _ = c switch
            {
                '&' => _text.Append("&amp;"),
                '<' => _text.Append("&lt;"),
                '>' => _text.Append("&gt;"),
                '"' => _text.Append("&quot;"),
                '\'' => _text.Append("&#39;"),
                '\n' or '\t' => _text.Append(c),
                _ when char.IsControl(c) || c is '\uFFFE' or '\uFFFF' => _text.Append('\uFFFD'),
                _ => _text.Append(c),
            };
        }
    }

    [InterpolatedStringHandler]
    internal readonly ref struct Handler
    {
        private readonly HtmlWriter _writer;

        // The compiler passes the lengths; the builder grows by itself.
#pragma warning disable IDE0060
        public Handler(int literalLength, int formattedCount, HtmlWriter writer) => _writer = writer;
#pragma warning restore IDE0060

        public void AppendLiteral(string markup) => _writer._text.Append(markup);

        public void AppendFormatted(string? text) => _writer.AppendEscaped(text);

        public void AppendFormatted(Html markup) => _writer._text.Append(markup.Markup);

        public void AppendFormatted(double number, string format) => _writer._text.Append(number.ToString(format, CultureInfo.InvariantCulture));
    }
}
