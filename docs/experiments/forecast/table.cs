// Forecast beside measured forgetting: dotnet run table.cs -- runs
using System.Text.Json;

var runs = Directory.GetDirectories(args[0]).Where(run => File.Exists(Path.Combine(run, "summary.json"))).Select(Read).OrderBy(run => run.Forecast).ToList();
Console.WriteLine("| rate | λ | forecast q | measured | measured / q |\n|---:|---:|---:|---|---:|");
foreach (var run in runs)
    Console.WriteLine(FormattableString.Invariant($"| {run.Rate:G2} | {run.Strength:G2} | {run.Forecast:G3} | {run.Measured:F4} [{run.Low:F4}, {run.High:F4}] | {run.Measured / run.Forecast:F1} |"));
double[] forecast = Ranks([.. runs.Select(run => run.Forecast)]), measured = Ranks([.. runs.Select(run => run.Measured)]);
Console.WriteLine(FormattableString.Invariant($"\n{runs.Count} runs, Spearman's rank correlation {Correlation(forecast, measured):F3}"));

static (double Rate, double Strength, double Forecast, double Measured, double Low, double High) Read(string run)
{
    using var config = JsonDocument.Parse(File.ReadAllText(Path.Combine(run, "config.json")));
    using var summary = JsonDocument.Parse(File.ReadAllText(Path.Combine(run, "summary.json")));
    using var last = JsonDocument.Parse(File.ReadLines(Path.Combine(run, "events.jsonl")).Last(line => line.StartsWith("{\"kind\":\"step\"", StringComparison.Ordinal)));
    var forgetting = summary.RootElement.GetProperty("forgetting");
    double Of(JsonElement element, string name) => element.GetProperty(name).GetDouble();
    return (Of(config.RootElement.GetProperty("training"), "learning_rate"), Of(config.RootElement.GetProperty("retention").GetProperty("penalty"), "lambda"),
        Of(last.RootElement, "forecast"), Of(forgetting, "value"), Of(forgetting, "low"), Of(forgetting, "high"));
}

static double[] Ranks(double[] values) => [.. values.Select(value => values.Count(other => other < value) + (values.Count(other => other == value) + 1) / 2.0)];

static double Correlation(double[] x, double[] y)
{
    double meanX = x.Average(), meanY = y.Average();
    return x.Zip(y, (a, b) => (a - meanX) * (b - meanY)).Sum() / Math.Sqrt(x.Sum(a => (a - meanX) * (a - meanX)) * y.Sum(b => (b - meanY) * (b - meanY)));
}
