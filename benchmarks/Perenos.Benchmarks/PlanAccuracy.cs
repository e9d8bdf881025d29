using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Perenos.Text.Grammar;

namespace Perenos.Benchmarks;

/// <summary>What <c>perenos tune --dry-run</c> predicts against what the run then takes, each in a process of its own, as a user types them.</summary>
internal static partial class PlanAccuracy
{
    private const double MostOff = 0.1;
    private const int TrainPairs = 600, ValidationPairs = 40, TestPairs = 120;
    private const string SharedModel = "models/smollm2-135m-instruct";

    private sealed record Configuration(string Name, string[] Options);

    private sealed record Outcome(double Seconds, double Least, double Most, double Memory, double DryWall, double TakenSeconds, double TakenMemory, double RunWall);

    internal static int Run(Options options)
    {
        string program = options.Text("cli", Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, "../../Perenos.Cli/release/Perenos.Cli")));
        string shared = options.Text("shared", "../shared"), only = options.Text("only", "");
        string folder = Directory.CreateTempSubdirectory("perenos-plan-").FullName;
        try
        {
            WriteData(folder);
            var result = new Result("plan");
            result.Fact($"{TrainPairs} weather sentences of the grammar, {TestPairs} of them beside for the test; raw text: the pages of docs/; each configuration by perenos tune --dry-run, then by perenos tune");
            string[] shortened = options.Text("steps", "") is { Length: > 0 } steps ? ["--steps", steps] : [];
            var configurations = Configurations(shared).Where(configuration => only.Length == 0 || only.Split(',').Contains(configuration.Name)).ToList();
            if (configurations.Any(configuration => configuration.Name == "ewc"))
                Call(program, folder, "fisher", "--model", "base", "--data", "docs.txt", "--tokens", "5000", "--output", "fisher.safetensors");
            // A shared machine changes its pace within a minute: each is measured in turn, several times, and judged by its median.
            int repeats = options.Number("repeats", 3);
            List<(string Name, Outcome Outcome)> outcomes = [];
            foreach (var (repeat, configuration) in Enumerable.Range(1, repeats).SelectMany(repeat => configurations.Select(configuration => (repeat, configuration))))
            {
                Console.Error.WriteLine($"{configuration.Name} {repeat}");
                outcomes.Add((configuration.Name, Measure(program, folder, $"{configuration.Name}-{repeat}", [.. configuration.Options, .. shortened])));
            }

            if (!Directory.Exists(Path.Combine(shared, SharedModel)))
                result.Fact($"skipped: lora-recompute-smollm2, since {shared}/{SharedModel} is not here");
            result.Table(["", "predicted s", "range s", "taken s", "ratio", "predicted MB", "taken MB", "ratio", "dry run s", "run s"], outcomes.OrderBy(row => configurations.FindIndex(configuration => configuration.Name == row.Name)).Select(row => Row(row.Name, row.Outcome)));
            result.Fact("taken: what the run says of itself, its rehearsal included; the last two columns: whole processes, with starting and opening the model");
            foreach (var group in outcomes.GroupBy(row => row.Name, row => row.Outcome))
            {
                double time = Result.Median(group.Select(outcome => outcome.Seconds / outcome.TakenSeconds)), memory = Result.Median(group.Select(outcome => outcome.Memory / outcome.TakenMemory));
                result.Bar($"{group.Key}: the time is predicted within {MostOff:P0} (median {time:F2})", Math.Abs(time - 1) <= MostOff);
                result.Bar($"{group.Key}: the peak memory is predicted within {MostOff:P0} (median {memory:F2})", Math.Abs(memory - 1) <= MostOff);
            }

            return result.Finish(options);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static IEnumerable<Configuration> Configurations(string shared)
    {
        string[] weather = ["--model", "base", "--data", "weather", "--prompt", "English: {en}\\nFrench:", "--completion", " {fr}", "--maximum-length", "256", "--batch-size", "8", "--test-records", $"{TestPairs}", "--max-new-tokens", "96"];
        yield return new("full", [.. weather, "--method", "full", "--learning-rate", "1e-3", "--epochs", "6"]);
        yield return new("lora", [.. weather, "--method", "lora", "--rank", "64", "--alpha", "128", "--learning-rate", "1.5e-3", "--epochs", "6"]);
        yield return new("ewc", [.. weather, "--method", "full", "--learning-rate", "1e-3", "--epochs", "6", "--fisher", "fisher.safetensors", "--forget-at-most", "0.1"]);
        yield return new("prefix", [.. weather, "--method", "prefix", "--virtual-tokens", "20", "--epochs", "8"]);
        yield return new("packed-text", ["--model", "base", "--data", "docs.txt", "--method", "full", "--learning-rate", "1e-3", "--epochs", "5", "--maximum-length", "256", "--batch-size", "16", "--pack"]);
        yield return new("lora-distillation", [.. weather, "--method", "lora", "--rank", "64", "--alpha", "128", "--learning-rate", "1.5e-3", "--epochs", "4", "--distill", "0.5"]);
        string model = Path.GetFullPath(Path.Combine(shared, SharedModel));
        if (Directory.Exists(model))
        {
            yield return new("lora-recompute-smollm2", ["--model", model, "--data", "weather", "--prompt", "Translate to French: {en}", "--completion", "{fr}", "--maximum-length", "256", "--batch-size", "8",
                "--method", "lora", "--rank", "16", "--learning-rate", "5e-4", "--epochs", "0.4", "--recompute", "--test-records", "24", "--max-new-tokens", "64"]);
        }
    }

    private static void WriteData(string folder)
    {
        Directory.CreateDirectory(Path.Combine(folder, "weather"));
        var sentences = WeatherGrammar.Split(0, TrainPairs, ValidationPairs, TestPairs);
        foreach (var (name, pairs) in new[] { ("train", sentences.Train), ("valid", sentences.Validation), ("test", sentences.Test) })
        {
            File.WriteAllLines(Path.Combine(folder, "weather", $"{name}.jsonl"), pairs.Select(pair =>
                new JsonObject { ["en"] = pair.English, ["fr"] = pair.French }.ToJsonString()));
        }

        string[] pages = [.. Directory.EnumerateFiles("docs", "*.md", SearchOption.AllDirectories).Order(StringComparer.Ordinal)];
        File.WriteAllText(Path.Combine(folder, "docs.txt"), string.Join("\n\n", pages.Select(File.ReadAllText)));
    }

    private static Outcome Measure(string program, string folder, string name, string[] arguments)
    {
        var (plan, dryWall) = Call(program, folder, ["tune", .. arguments, "--dry-run"]);
        var (_, runWall) = Call(program, folder, ["tune", .. arguments, "--name", name]);
        var summary = JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "runs", name, "summary.json")))!;
        string total = Total().Match(plan).Value;
        double[] seconds = [.. Duration().Matches(total).Select(match => Seconds(match.Value))];
        var memory = PeakMemory().Match(plan);
        if (seconds.Length == 0 || !memory.Success)
            throw new InvalidOperationException($"The plan of {name} states no total or no memory:\n{plan}");
        return new Outcome(seconds[0], seconds[Math.Min(1, seconds.Length - 1)], seconds[^1], Number(memory.Groups[1].Value) * (memory.Groups[2].Value == "GB" ? 1000 : 1), dryWall,
            summary["seconds"]!.GetValue<double>(), summary["peak_memory"]!.GetValue<double>() / 1e6, runWall);
    }

    private static string[] Row(string name, Outcome outcome) =>
    [
        name, $"{outcome.Seconds:F1}", outcome.Most > outcome.Least ? $"{outcome.Least:F0}–{outcome.Most:F0}" : "", $"{outcome.TakenSeconds:F1}", $"{outcome.Seconds / outcome.TakenSeconds:F2}",
        $"{outcome.Memory:F0}", $"{outcome.TakenMemory:F0}", $"{outcome.Memory / outcome.TakenMemory:F2}", $"{outcome.DryWall:F1}", $"{outcome.RunWall:F1}",
    ];

    private static (string Output, double Seconds) Call(string program, string folder, params string[] arguments)
    {
        var watch = Stopwatch.StartNew();
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, WorkingDirectory = folder })!;
        string output = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0 ? (output, watch.Elapsed.TotalSeconds)
            : throw new InvalidOperationException($"{program} {string.Join(' ', arguments)} ended with {process.ExitCode}.\n{output}");
    }

    private static double Number(string text) => double.Parse(text, NumberStyles.AllowThousands | NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture);

    // 42.0 s, 5 min 40 s
    private static double Seconds(string text)
    {
        double[] numbers = [.. text.Split(' ').Where((_, index) => index % 2 == 0).Select(Number)];
        return numbers.Length == 2 ? 60 * numbers[0] + numbers[1] : numbers[0];
    }

    [GeneratedRegex(@"^\W*total\b.*(\n.*)?", RegexOptions.Multiline)]
    private static partial Regex Total();

    [GeneratedRegex(@"(\d+ min )?[\d.]+ s\b")]
    private static partial Regex Duration();

    [GeneratedRegex(@"peak memory\s+([\d.,]+) (MB|GB)")]
    private static partial Regex PeakMemory();
}
