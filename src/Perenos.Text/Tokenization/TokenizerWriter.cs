using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Perenos.Text.Tokenization;

/// <summary>Writes tokenizer.json in the order and form of the reference: vocabulary by id, merges as pairs of tokens.</summary>
internal static class TokenizerWriter
{
    private static readonly string[] SectionOrder =
        ["truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder"];

    public static byte[] Write(
        IReadOnlyDictionary<string, JsonElement> sections,
        IReadOnlyDictionary<string, JsonElement> modelOptions,
        IEnumerable<KeyValuePair<string, int>>? vocabulary,
        IEnumerable<(string Left, string Right)>? merges)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using var json = new Utf8JsonWriter(buffer, new JsonWriterOptions
        {
            Indented = true,
            Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
        });
        json.WriteStartObject();
        json.WriteString("version", "1.0");
        foreach (string name in SectionOrder)
        {
            json.WritePropertyName(name);
            if (sections.TryGetValue(name, out var section))
                section.WriteTo(json);
            else
                json.WriteNullValue();
        }

        json.WriteStartObject("model");
        foreach (var (name, value) in modelOptions)
        {
            json.WritePropertyName(name);
            value.WriteTo(json);
        }

        if (vocabulary is not null)
        {
            json.WriteStartObject("vocab");
            foreach (var (token, id) in vocabulary)
                json.WriteNumber(token, id);
            json.WriteEndObject();
        }

        if (merges is not null)
        {
            json.WriteStartArray("merges");
            foreach (var (left, right) in merges)
            {
                json.WriteStartArray();
                json.WriteStringValue(left);
                json.WriteStringValue(right);
                json.WriteEndArray();
            }

            json.WriteEndArray();
        }

        json.WriteEndObject();
        json.WriteEndObject();
        json.Flush();
        return buffer.WrittenSpan.ToArray();
    }
}
