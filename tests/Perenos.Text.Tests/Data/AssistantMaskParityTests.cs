using System.Text;
using System.Text.Json;
using Perenos.Testing;
using Perenos.Text.Data;
using Perenos.Text.Templates;
using Perenos.Text.Tests.Templates;
using Xunit;

namespace Perenos.Text.Tests.Data;

/// <summary>The masks of transformers for templates with {% generation %} tags, on the ids of SmolLM2's tokenizer.</summary>
public sealed class AssistantMaskParityTests
{
    [Fact]
    public void Masks_are_those_of_the_reference()
    {
        string folder = Shared.ParityOrSkip("templates");
        var plain = Vocabulary(Shared.SharedOrSkip("models", "smollm2-135m-instruct", "tokenizer.json"));
        int count = 0;
        foreach (string path in Directory.EnumerateFiles(folder, "*.json"))
        {
            using var document = JsonDocument.Parse(File.ReadAllBytes(path));
            var vocabulary = new Dictionary<int, byte[]>(plain);
            foreach (var (template, name, specials, given) in ChatTemplateParityTests.Cases(document.RootElement))
            {
                if (!given.TryGetProperty("assistant_mask", out var mask))
                    continue;
                count++;
                var chat = ChatTemplate.Parse(template, "t").Render(ChatTemplateParityTests.Input(specials, given));
                int[] ids = [.. given.GetProperty("ids").EnumerateArray().Select(id => id.GetInt32())];
                var tokens = Places(ids, chat.Text, vocabulary, specials);

                int[] ours = new int[ids.Length];
                foreach (var span in chat.AssistantSpans ?? [])
                {
                    var (first, after) = ReplySpans.Overlapping(tokens, span);
                    ours.AsSpan(first, after - first).Fill(1);
                }

                Assert.True(mask.EnumerateArray().Select(bit => bit.GetInt32()).SequenceEqual(ours), $"{Path.GetFileName(path)}, {name}");
                CheckRenderer(template, specials, given, chat.Text, tokens, ours, vocabulary);
            }
        }

        Assert.True(count > 0, "no case has a mask");
    }

    // The renderer learns the same tokens: these templates mark the end of turn as part of the reply.
    private static void CheckRenderer(string template, Dictionary<string, object?> specials, JsonElement given, string text, List<(int Id, int Start, int End)> tokens, int[] mask, Dictionary<int, byte[]> vocabulary)
    {
        var input = ChatTemplateParityTests.Input(specials, given);
        if (input.AddGenerationPrompt)
            return;
        string stop = (string)specials["eos_token"]!;
        byte[] stopBytes = Encoding.UTF8.GetBytes(stop);
        var encoder = new FixedEncoder(text, tokens, vocabulary.Single(token => token.Value.AsSpan().SequenceEqual(stopBytes)).Key);
        var renderer = new ExampleRenderer(new RenderSettings { Encoder = encoder, StopId = encoder.StopId, StopText = stop, Template = ChatTemplate.Parse(template, "t"), Variables = input.Variables });
        var example = renderer.Render(new ConversationRecord(input.Messages, input.Tools) { Source = "f:1", Group = "f:1" });
        Assert.Equal(mask.Select(bit => bit == 1), example.IsLearnt);
    }

    /// <summary>Gives the reference's tokens for the conversation, and the stop token for anything else.</summary>
    private sealed class FixedEncoder(string conversation, List<(int Id, int Start, int End)> tokens, int stopId) : ITextEncoder
    {
        public int StopId => stopId;

        public IReadOnlyList<(int Id, int Start, int End)> Encode(string text) => text == conversation ? tokens : [(stopId, 0, text.Length)];
    }

    private static Dictionary<int, byte[]> Vocabulary(string path)
    {
        // Byte-level BPE writes bytes that are no printable characters as U+0100 upwards, in order (GPT-2).
        int[] printable = [.. Enumerable.Range('!', '~' - '!' + 1), .. Enumerable.Range(0xA1, 0xAC - 0xA1 + 1), .. Enumerable.Range(0xAE, 0xFF - 0xAE + 1)];
        var bytes = printable.ToDictionary(code => (char)code, code => (byte)code);
        foreach (var (code, i) in Enumerable.Range(0, 256).Except(printable).Select((code, i) => (code, i)))
            bytes[(char)(256 + i)] = (byte)code;

        using var document = JsonDocument.Parse(File.ReadAllBytes(path));
        var vocabulary = document.RootElement.GetProperty("model").GetProperty("vocab").EnumerateObject()
            .Where(entry => entry.Name.All(bytes.ContainsKey)).ToDictionary(entry => entry.Value.GetInt32(), entry => entry.Name.Select(c => bytes[c]).ToArray());
        foreach (var token in document.RootElement.GetProperty("added_tokens").EnumerateArray())
            vocabulary[token.GetProperty("id").GetInt32()] = Encoding.UTF8.GetBytes(token.GetProperty("content").GetString()!);
        return vocabulary;
    }

    // A token that is part of a character's bytes spans that character.
    private static List<(int Id, int Start, int End)> Places(int[] ids, string text, Dictionary<int, byte[]> vocabulary, Dictionary<string, object?> specials)
    {
        byte[] whole = Encoding.UTF8.GetBytes(text);
        int[] starts = new int[whole.Length], ends = new int[whole.Length];
        int at = 0, place = 0;
        foreach (var rune in text.EnumerateRunes())
        {
            for (int i = 0; i < rune.Utf8SequenceLength; i++, at++)
                (starts[at], ends[at]) = (place, place + rune.Utf16SequenceLength);
            place += rune.Utf16SequenceLength;
        }

        var tokens = new List<(int, int, int)>();
        at = 0;
        foreach (int id in ids)
        {
            // A template's own special tokens were added to the tokenizer behind its vocabulary.
            if (!vocabulary.TryGetValue(id, out byte[]? token))
                vocabulary[id] = token = specials.Values.Select(special => Encoding.UTF8.GetBytes((string)special!)).First(special => whole.AsSpan(at).StartsWith(special));
            Assert.True(whole.AsSpan(at).StartsWith(token), $"token {id} at byte {at}");
            tokens.Add((id, starts[at], ends[at + token.Length - 1]));
            at += token.Length;
        }

        Assert.Equal(whole.Length, at);
        return tokens;
    }
}
