using System.Text.Json;
using Perenos.Runs;
using Perenos.Testing;
using Perenos.Text.Tokenization;
using Xunit;

namespace Perenos.Text.Tests.Tokenization;

/// <summary>Single normalizers, pre-tokenizers and decoders against the reference.</summary>
public sealed class ComponentParityTests
{
    private static readonly Lazy<List<JsonElement>> All = new(() => TokenizerFixtures.Records("machinery", "components.jsonl"));

    public static TheoryData<int> Components()
    {
        string path = Path.Combine(Shared.Parity, "tokenizers", "machinery", "components.jsonl");
        return [.. Enumerable.Range(0, File.Exists(path) ? File.ReadLines(path).Count() : 1)];
    }

    [Theory]
    [MemberData(nameof(Components))]
    public void A_component_does_what_the_reference_does(int line)
    {
        Shared.ParityOrSkip("tokenizers", "machinery", "components.jsonl");
        var record = All.Value[line];
        var spec = new ComponentSpec(record.GetProperty("spec"), "$", "components.jsonl");
        var wrong = new List<string>();
        int cases = 0;
        try
        {
            foreach (var single in record.GetProperty("cases").EnumerateArray())
            {
                cases++;
                string? problem = record.GetProperty("kind").GetString() switch
                {
                    "normalizer" => Normalizes(spec, single),
                    "pre_tokenizer" => Splits(spec, single),
                    "decoder" => Decodes(spec, single),
                    var other => throw new InvalidOperationException($"components of kind {other} have no test"),
                };
                if (problem is not null)
                    wrong.Add(problem);
            }
        }
        catch (PerenosException error) when (error.Message.Contains("is not known", StringComparison.Ordinal))
        {
            Assert.Skip(error.Message);
        }

        Assert.NotEqual(0, cases);
        Assert.True(wrong.Count == 0, $"{record.GetProperty("spec")}: {wrong.Count} differences\n{string.Join('\n', wrong.Take(8))}");
    }

    private static string? Normalizes(ComponentSpec spec, JsonElement single)
    {
        string text = single.GetProperty("text").GetString()!, expected = single.GetProperty("expected").GetString()!;
        var normalizer = TokenizerComponents.Normalizer(spec);
        string traced = normalizer.Apply(new AlignedText(text)).Text, plain = normalizer.Apply(text);
        return traced == expected && plain == expected ? null : $"{Show(text)}: expected {Show(expected)}, got {Show(traced)} and {Show(plain)}";
    }

    private static string? Splits(ComponentSpec spec, JsonElement single)
    {
        string text = single.GetProperty("text").GetString()!;
        var expected = single.GetProperty("pieces").EnumerateArray()
            .Select(piece => (piece[0].GetString()!, piece[1][0].GetInt32(), piece[1][1].GetInt32())).ToArray();
        var actual = TokenizerComponents.PreTokenizer(spec).Apply(new AlignedText(text)).Where(piece => piece.Text.Length > 0)
            .Select(piece => (piece.Text, piece.Original(0, piece.Text.Length).Start, piece.Original(0, piece.Text.Length).End)).ToArray();
        return expected.SequenceEqual(actual)
            ? null
            : $"{Show(text)}: expected {string.Join(' ', expected)}, got {string.Join(' ', actual)}";
    }

    private static string? Decodes(ComponentSpec spec, JsonElement single)
    {
        string actual = string.Concat(TokenizerComponents.Decoder(spec).Apply([.. single.Texts("tokens")]));
        if (single.TryGetProperty("error", out _))
            return null; // the reference crashes; not doing so is all that is asked
        string expected = single.GetProperty("text").GetString()!;
        return actual == expected ? null : $"{string.Join('|', single.Texts("tokens"))}: expected {Show(expected)}, got {Show(actual)}";
    }

    private static string Show(string text) => JsonSerializer.Serialize(text);
}
