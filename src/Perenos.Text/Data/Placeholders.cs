using System.Text;
using System.Text.Json;
using Perenos.Runs;

namespace Perenos.Text.Data;

/// <summary>A text with places for fields, such as "Translate to French: {en}"; doubled braces stand for braces.</summary>
public sealed class Placeholders
{
    private readonly List<(string Literal, string? Field)> _parts = [];

    private Placeholders(string template) => Template = template;

    /// <summary>The template as it was written.</summary>
    public string Template { get; }

    /// <summary>The fields that the template names, each once, in order.</summary>
    public IReadOnlyList<string> Fields => [.. _parts.Select(part => part.Field).OfType<string>().Distinct()];

    /// <summary>Reads a template.</summary>
    /// <exception cref="PerenosException">A brace is not closed, or stands alone, or encloses nothing.</exception>
    public static Placeholders Parse(string template)
    {
        ArgumentNullException.ThrowIfNull(template);
        var result = new Placeholders(template);
        var literal = new StringBuilder();
        for (int i = 0; i < template.Length; i++)
        {
            char c = template[i];
            if (c is '{' or '}' && i + 1 < template.Length && template[i + 1] == c)
            {
                literal.Append(c);
                i++;
            }
            else if (c == '}')
            {
                throw Malformed(template, i, "closes nothing");
            }
            else if (c == '{')
            {
                int end = template.IndexOf('}', i);
                if (end < 0)
                    throw Malformed(template, i, "is never closed");
                string field = template[(i + 1)..end].Trim();
                if (field.Length == 0)
                    throw Malformed(template, i, "names no field");
                result._parts.Add((literal.ToString(), field));
                literal.Clear();
                i = end;
            }
            else
            {
                literal.Append(c);
            }
        }

        result._parts.Add((literal.ToString(), null));
        return result;
    }

    /// <summary>The text with the record's fields in their places.</summary>
    /// <param name="record">Where the fields come from.</param>
    /// <param name="index">Which item is taken of fields that are lists.</param>
    internal string Fill(RawRecord record, int index)
    {
        var text = new StringBuilder();
        foreach (var (literal, field) in _parts)
        {
            text.Append(literal);
            if (field is null)
                continue;
            var value = record.Value(field);
            text.Append(record.AsText(value.ValueKind == JsonValueKind.Array ? value[index] : value, field));
        }

        return text.ToString();
    }

    /// <inheritdoc/>
    public override string ToString() => Template;

    private static PerenosException Malformed(string template, int at, string what) =>
        new($"In \"{template}\" the brace at character {at + 1} {what}.", "A field is written {name}; a brace that belongs to the text is doubled: {{ or }}.");
}
