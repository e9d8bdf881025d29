using System.Text.Json;
using Perenos.Runs;

namespace Perenos.Text.Tokenization;

/// <summary>One JSON object of a tokenizer.json that knows its file and path, so that every complaint can name them.</summary>
internal readonly record struct ComponentSpec(JsonElement Json, string Path, string File)
{
    /// <summary>The value of "type".</summary>
    public string Type => Text("type");

    public PerenosException Error(string message, string hint = "Save the tokenizer again with the library that made it.") =>
        new($"{File}, {Path}: {message}", hint);

    /// <summary>Complains about a component that is not built, and names those that are.</summary>
    public PerenosException Unknown(string kind, IEnumerable<string> known) => Error(
        $"the {kind} \"{Type}\" is not known.",
        $"Known are {string.Join(", ", known.Order(StringComparer.Ordinal))}.");

    public bool Has(string name) => Json.ValueKind == JsonValueKind.Object
        && Json.TryGetProperty(name, out var value) && value.ValueKind != JsonValueKind.Null;

    public ComponentSpec At(string name)
    {
        if (!Has(name))
            throw Error($"\"{name}\" is missing.");
        return new ComponentSpec(Json.GetProperty(name), $"{Path}.{name}", File);
    }

    public string Text(string name)
    {
        var value = At(name);
        return value.AsText();
    }

    /// <summary>A string of exactly one code point.</summary>
    public string Character(string name)
    {
        var value = At(name);
        string text = value.AsText();
        return text.Length == 1 || (text.Length == 2 && char.IsSurrogatePair(text, 0)) ? text : throw value.Error("one character was expected.");
    }

    public string? TextOrNull(string name) => Has(name) ? Text(name) : null;

    public string AsText() => Json.ValueKind == JsonValueKind.String ? Json.GetString()! : throw Error("a string was expected.");

    public bool Flag(string name, bool otherwise)
    {
        if (!Has(name))
            return otherwise;
        var value = At(name);
        return value.Json.ValueKind switch
        {
            JsonValueKind.True => true,
            JsonValueKind.False => false,
            _ => throw value.Error("true or false was expected."),
        };
    }

    public int Number(string name)
    {
        var value = At(name);
        return value.AsNumber();
    }

    public int Number(string name, int otherwise) => Has(name) ? Number(name) : otherwise;

    /// <summary>A whole number from 0 on.</summary>
    public int AsNumber() => Json.ValueKind == JsonValueKind.Number && Json.TryGetInt32(out int number) && number >= 0
        ? number
        : throw Error("a whole number from 0 on was expected.");

    /// <summary>Bytes in base 64.</summary>
    public byte[] Bytes(string name)
    {
        var value = At(name);
        return value.Json.ValueKind == JsonValueKind.String && value.Json.TryGetBytesFromBase64(out byte[]? bytes)
            ? bytes
            : throw value.Error("text in base 64 was expected.");
    }

    public List<ComponentSpec> Items(string name)
    {
        var list = At(name);
        if (list.Json.ValueKind != JsonValueKind.Array)
            throw list.Error("a list was expected.");
        var items = new List<ComponentSpec>();
        foreach (var item in list.Json.EnumerateArray())
            items.Add(new ComponentSpec(item, $"{list.Path}[{items.Count}]", File));
        return items;
    }

    /// <summary>A pair such as ["[SEP]", 3].</summary>
    public (string Token, int Id) TokenAndId(string name)
    {
        var items = Items(name);
        return items.Count == 2 ? (items[0].AsText(), items[1].AsNumber()) : throw At(name).Error("a token and its id were expected.");
    }
}
