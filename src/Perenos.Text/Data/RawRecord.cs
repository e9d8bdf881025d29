using System.Text.Json;
using Perenos.Runs;

namespace Perenos.Text.Data;

/// <summary>Which part of the data a file says its records belong to.</summary>
public enum DataPart
{
    /// <summary>Learnt from.</summary>
    Train,

    /// <summary>Watched during training.</summary>
    Validation,

    /// <summary>Looked at once, at the end.</summary>
    Test,
}

/// <summary>One record as it stands in its file: fields by name, before a schema gives them a meaning.</summary>
/// <param name="File">Name of the file, without its folder.</param>
/// <param name="Row">Line on which the record starts, or its place in a .json array; the first is 1.</param>
/// <param name="Fields">The fields in the file's order; those of delimited and plain files are strings.</param>
public sealed record RawRecord(string File, long Row, IReadOnlyDictionary<string, JsonElement> Fields)
{
    /// <summary>Where the record stands, as "file.jsonl:17".</summary>
    public string Source => $"{File}:{Row}";

    /// <summary>The part that the file's name claims (train.jsonl, valid.jsonl, test.jsonl in a folder); null where it claims none.</summary>
    public DataPart? Part { get; init; }

    /// <summary>The field's value.</summary>
    /// <exception cref="PerenosException">The record has no such field; the message names the fields that it has.</exception>
    public JsonElement Value(string key) =>
        Fields.TryGetValue(key, out var value) ? value : throw MissingField(key);

    /// <summary>The field as text: a string as it is, a number or truth value as it is written.</summary>
    /// <exception cref="PerenosException">The field is missing, or null, or a list or an object.</exception>
    public string Text(string key) => AsText(Value(key), key);

    internal string AsText(JsonElement value, string key)
    {
        switch (value.ValueKind)
        {
            case JsonValueKind.String:
                try
                {
                    return value.GetString()!;
                }
                catch (InvalidOperationException exception)
                {
                    throw new PerenosException($"{Source}: field \"{key}\" is not valid Unicode (half a surrogate pair such as \\ud83d, or bytes that are not UTF-8).",
                        "Write the whole character, and save the file as UTF-8.", exception);
                }

            case JsonValueKind.Number:
                return value.GetRawText();
            case JsonValueKind.True:
                return "true";
            case JsonValueKind.False:
                return "false";
            default:
                throw new PerenosException($"{Source}: field \"{key}\" is {Describe(value)}, but text is needed.",
                    "Choose another field, or correct the record.");
        }
    }

    internal static string Describe(JsonElement value) => value.ValueKind switch
    {
        JsonValueKind.Null => "null",
        JsonValueKind.Array => "a list",
        JsonValueKind.Object => "an object",
        JsonValueKind.String => "a string",
        JsonValueKind.Number => "a number",
        _ => "true or false",
    };

    internal PerenosException MissingField(string key) =>
        new($"{Source}: there is no field \"{key}\".", FieldHint(key));

    internal string FieldHint(string key)
    {
        if (Fields.Count == 0)
            return "The record is empty.";
        string known = string.Join(", ", Fields.Keys.Take(30));
        string? nearest = NearestName.Of(key, Fields.Keys);
        return nearest is null ? $"The fields are: {known}." : $"The fields are: {known}. Nearest: \"{nearest}\".";
    }
}
