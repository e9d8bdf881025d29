using System.Collections.Concurrent;
using System.Text.Json;
using Perenos.Testing;
using Perenos.Text.Metrics;

namespace Perenos.Text.Tests.Metrics;

/// <summary>The rows of sacreBLEU's reference values and the texts that they name.</summary>
internal static class MetricFixtures
{
    // Sums of logarithms and quotients in another order; scores agree to the last digits.
    public const double Tolerance = 1e-9;

    private static readonly ConcurrentDictionary<string, (string[], IReadOnlyList<IReadOnlyList<string>>)> Sets = new();

    public static IEnumerable<(string Name, JsonElement Row)> Rows(string file, string metric)
    {
        var rows = All(file).Where(row => Text(row, "metric") == metric).ToList();
        Xunit.Assert.NotEmpty(rows);
        return rows.Select(row => ($"{Text(row, "set")}/{Text(row, "system")}/{metric} {row.GetProperty("options").GetRawText()}", row));
    }

    public static List<JsonElement> All(string file)
    {
        string path = Shared.ParityOrSkip("metrics", file);
        return [.. File.ReadLines(path).Where(line => line.Length > 0).Select(line => JsonDocument.Parse(line).RootElement)];
    }

    public static string Text(JsonElement row, string key) => row.GetProperty(key).GetString()!;

    public static (string[] Hypotheses, IReadOnlyList<IReadOnlyList<string>> References) Texts(JsonElement row)
    {
        string path = Shared.ParityOrSkip("metrics", "sets", Text(row, "set") + ".json");
        return Sets.GetOrAdd(path + "\n" + Text(row, "system"), _ => ReadTexts(path, row));
    }

    private static (string[] Hypotheses, IReadOnlyList<IReadOnlyList<string>> References) ReadTexts(string path, JsonElement row)
    {
        using var set = JsonDocument.Parse(File.ReadAllText(path));
        var system = set.RootElement.GetProperty("systems").EnumerateArray().Single(entry => Text(entry, "name") == Text(row, "system"));
        string[] hypotheses = [.. system.GetProperty("hypotheses").EnumerateArray().Select(text => text.GetString()!)];
        var streams = set.RootElement.GetProperty("references").EnumerateArray()
            .Select(stream => stream.EnumerateArray().Select(text => text.GetString()).ToArray()).ToList();
        var references = Enumerable.Range(0, hypotheses.Length)
            .Select(IReadOnlyList<string> (segment) => [.. streams.Select(stream => stream[segment]).OfType<string>()]).ToList();
        return (hypotheses, references);
    }

    public static BleuOptions BleuOptions(JsonElement options)
    {
        var bleu = new BleuOptions();
        foreach (var option in options.EnumerateObject())
        {
            bleu = option.Name switch
            {
                "tokenize" => bleu with
                {
                    Tokenization = Enum.GetValues<BleuTokenization>()
                        .Single(value => BleuTokenizer.NameOf(value) == option.Value.GetString()),
                },
                "lowercase" => bleu with { Lowercase = option.Value.GetBoolean() },
                "effective_order" => bleu with { EffectiveOrder = option.Value.GetBoolean() },
                "max_ngram_order" => bleu with { MaxOrder = option.Value.GetInt32() },
                "smooth_value" => bleu with { SmoothingValue = option.Value.GetDouble() },
                "smooth_method" => bleu with
                {
                    Smoothing = option.Value.GetString() switch
                    {
                        "exp" => BleuSmoothing.Exponential,
                        "floor" => BleuSmoothing.Floor,
                        "add-k" => BleuSmoothing.AddK,
                        "none" => BleuSmoothing.None,
                        var other => throw new InvalidOperationException($"unknown smoothing {other}"),
                    },
                },
                _ => throw new InvalidOperationException($"unknown option {option.Name}"),
            };
        }

        return bleu;
    }

    public static ChrFOptions ChrFOptions(JsonElement options)
    {
        var chrF = new ChrFOptions();
        foreach (var option in options.EnumerateObject())
        {
            chrF = option.Name switch
            {
                "char_order" => chrF with { CharacterOrder = option.Value.GetInt32() },
                "word_order" => chrF with { WordOrder = option.Value.GetInt32() },
                "beta" => chrF with { Beta = option.Value.GetInt32() },
                "lowercase" => chrF with { Lowercase = option.Value.GetBoolean() },
                "whitespace" => chrF with { Whitespace = option.Value.GetBoolean() },
                "eps_smoothing" => chrF with { EpsilonSmoothing = option.Value.GetBoolean() },
                _ => throw new InvalidOperationException($"unknown option {option.Name}"),
            };
        }

        return chrF;
    }

    public static string WithoutVersion(string signature) => signature[..signature.LastIndexOf("|version:", StringComparison.Ordinal)];

    public static bool IsClose(double expected, double actual) =>
        Math.Abs(expected - actual) <= Tolerance * Math.Max(Math.Abs(expected), 1e-12);

    public static double[] Doubles(JsonElement list) => [.. list.EnumerateArray().Select(value => value.GetDouble())];
}
