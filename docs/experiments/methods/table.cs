#:project ../../../src/Perenos.Text/Perenos.Text.csproj
#:package ScottPlot
#:package SkiaSharp.NativeAssets.Linux.NoDependencies
// Tables and pictures of the methods' experiment: dotnet run table.cs -- folder of runs
// Runs are named corpus-method-seed. A test record's loss is its mean over the seeds; intervals are bootstrapped over records and documents.
using System.Globalization;
using System.Text.Json.Nodes;
using Perenos.Text.Metrics;
using ScottPlot;

const int Width = 900, Height = 560, LineHeight = 17;
CultureInfo.CurrentCulture = CultureInfo.InvariantCulture;
string root = args[0];
var runs = Directory.EnumerateDirectories(root).Where(folder => File.Exists(Path.Combine(folder, "summary.json"))).Order(StringComparer.Ordinal).SelectMany(Read).ToList();
foreach (var corpus in runs.GroupBy(run => run.Corpus))
{
    var methods = corpus.GroupBy(run => run.Method).Select(group => Summarize(group.Key, [.. group])).OrderBy(method => method.Loss.Score).ToList();
    var full = methods.FirstOrDefault(method => method.Name == "full");
    Console.WriteLine($"\n## {corpus.Key}\n");
    Console.WriteLine("| method | seeds | learns | BLEU, mean (lowest–highest) | test loss | forgotten | less than full forgets | time, s | memory, GB |");
    Console.WriteLine("|---|---:|---:|---:|---:|---:|---:|---:|---:|");
    foreach (var method in methods)
    {
        string saved = full is null || method == full ? "" : Interval(Bootstrap.Difference(method.Forgotten, full.Forgotten));
        Console.WriteLine($"| {method.Name} | {method.Seeds} | {method.Parameters:N0} | {method.Bleu.Average():F1}{(method.Seeds == 1 ? "" : $" ({method.Bleu.Min():F1}–{method.Bleu.Max():F1})")} | {Interval(Bootstrap.Interval(method.Loss))} "
            + $"| {Interval(Bootstrap.Interval(method.Forgotten))} | {saved} | {method.Seconds:F0} | {method.Memory / 1e9:F1} |");
    }

    Draw(corpus.Key, methods);
}

static string Interval(ConfidenceInterval interval) => $"{interval.Value:F3} [{interval.Lower:F3}, {interval.Upper:F3}]";

// Of a run in stages the last state, and that with its adapter taken off.
IEnumerable<Run> Read(string folder)
{
    string[] name = Path.GetFileName(folder).Split('-');
    string method = string.Join('-', name[1..^1]);
    var summary = Json(folder, "summary.json");
    if ((string)summary["status"]! != "finished")
        yield break;
    if (summary["stages"] is not JsonArray { Count: > 0 } stages)
    {
        yield return Of(method, folder, Json(folder, "after.json"), summary["metrics"]!);
        yield break;
    }

    string last = Directory.EnumerateDirectories(Path.Combine(folder, "stages")).Max(StringComparer.Ordinal)!;
    foreach (var state in stages.Where(state => ((string)state!["folder"]!).EndsWith(Path.GetFileName(last), StringComparison.Ordinal)))
    {
        bool isOff = ((string)state!["name"]!).EndsWith("adapter off", StringComparison.Ordinal);
        yield return isOff
            ? Of(method + ", prompt off", last, Json(folder, $"target-{Path.GetFileName(last)}-off.json"), state["metrics"]!)
            : Of(method, last, Json(last, "after.json"), state["metrics"]!);
    }

    Run Of(string method, string trained, JsonNode after, JsonNode metrics)
    {
        string start = Path.Combine(folder, "stages");
        var before = Json(Directory.Exists(start) ? Directory.EnumerateDirectories(start).Min(StringComparer.Ordinal)! : folder, "before.json");
        long learns = File.ReadLines(Path.Combine(trained, "events.jsonl")).Select(line => JsonNode.Parse(line)!).Where(line => line["trainable_parameters"] is not null).Select(line => (long)line["trainable_parameters"]!).FirstOrDefault();
        double[] forgotten = [.. Nats(after, "reference").Zip(Nats(before, "reference"), (end, start) => end - start)];
        double bleu = metrics.AsArray().Where(metric => (string)metric!["name"]! == "BLEU").Select(metric => (double)metric!["value"]!).First();
        return new(name[0], method, bleu, Nats(after, "losses"), Tokens(after, "losses"), forgotten, Tokens(after, "reference"), learns, (double)summary["seconds"]!, (double)summary["peak_memory"]!);
    }

    static JsonNode Json(string place, string file) => JsonNode.Parse(File.ReadAllText(Path.Combine(place, file)))!;
}

static double[] Nats(JsonNode judgement, string part) => [.. judgement[part]!.AsArray().Select(item => (double)item!["nats"]!)];

static double[] Tokens(JsonNode judgement, string part) => [.. judgement[part]!.AsArray().Select(item => (double)item!["tokens"]!)];

static Method Summarize(string name, List<Run> runs) => new(
    name, runs.Count, runs[0].Parameters, [.. runs.Select(run => run.Bleu)],
    SegmentStatistics.Ratio(Mean([.. runs.Select(run => run.Losses)]), runs[0].LossTokens, "nats per learnt token"),
    SegmentStatistics.Ratio(Mean([.. runs.Select(run => run.Forgotten)]), runs[0].ReferenceTokens, "nats per token"),
    runs.Average(run => run.Seconds), runs.Max(run => run.Memory));

static double[] Mean(List<double[]> rows) => [.. rows[0].Select((_, place) => rows.Average(row => row[place]))];

void Draw(string corpus, List<Method> methods)
{
    using var plot = new Plot();
    // Down and to the left is better: what no other method beats in both.
    var front = methods.Where(method => !methods.Any(other => other.Loss.Score < method.Loss.Score && other.Forgotten.Score < method.Forgotten.Score)).OrderBy(method => method.Forgotten.Score).ToList();
    var line = plot.Add.Scatter(front.Select(method => method.Forgotten.Score).ToArray(), front.Select(method => method.Loss.Score).ToArray(), Color.FromHex("#1f6f8b"));
    line.MarkerSize = 0;
    // Far beyond the others (Tukey's outer fence) one would press them together: it is named below the picture.
    double[] scores = [.. methods.Select(method => method.Forgotten.Score).Order()];
    double fence = scores[scores.Length * 3 / 4] + 3 * (scores[scores.Length * 3 / 4] - scores[scores.Length / 4]);
    var shown = methods.Where(method => method.Forgotten.Score <= fence).Select(method => (method.Name, Forgotten: Bootstrap.Interval(method.Forgotten), Loss: Bootstrap.Interval(method.Loss))).ToList();
    foreach (var (_, forgotten, loss) in shown)
    {
        var marker = plot.Add.Marker(forgotten.Value, loss.Value, MarkerShape.FilledCircle, 7, Color.FromHex("#b5562b"));
        plot.Add.Line(forgotten.Lower, loss.Value, forgotten.Upper, loss.Value).Color = marker.Color.WithAlpha(.35);
        plot.Add.Line(forgotten.Value, loss.Lower, forgotten.Value, loss.Upper).Color = marker.Color.WithAlpha(.35);
    }

    double left = shown.Min(method => method.Forgotten.Lower), bottom = shown.Min(method => method.Loss.Lower);
    double across = 1.2 * (shown.Max(method => method.Forgotten.Upper) - left) / (Width - 80), up = 1.05 * (shown.Max(method => method.Loss.Upper) - bottom) / (Height - 70);
    plot.Axes.SetLimits(left - 20 * across, left + (Width - 100) * across, bottom - 10 * up, bottom + (Height - 80) * up);
    // Each name beside its point, or as near above or below as no other name stands; a line leads to one that is not beside it.
    List<(double X, double Y, double Length)> taken = [];
    foreach (var (name, forgotten, loss) in shown.OrderBy(method => method.Loss.Value))
    {
        double x = (forgotten.Value - left) / across + 8, y = (loss.Value - bottom) / up, length = 8 * name.Length;
        double at = Enumerable.Range(0, 60).Select(step => y + (step % 2 == 0 ? 1 : -1) * ((step + 1) / 2) * LineHeight)
            .First(at => at >= 0 && !taken.Any(other => Math.Abs(other.Y - at) < LineHeight && x < other.X + other.Length && other.X < x + length));
        taken.Add((x, at, length));
        plot.Add.Text(name, left + x * across, bottom + at * up).Alignment = Alignment.MiddleLeft;
        if (at != y)
            plot.Add.Line(forgotten.Value, loss.Value, left + x * across, bottom + at * up).Color = Color.FromHex("#b5562b").WithAlpha(.6);
    }

    var beyond = methods.Where(method => method.Forgotten.Score > fence).Select(method => $"{method.Name} forgets {method.Forgotten.Score:F1}, with a loss of {method.Loss.Score:F2}");
    plot.XLabel(string.Join("; ", beyond.Prepend("forgotten on general text, nats per token")));
    plot.YLabel("test loss, nats per learnt token");
    plot.SaveSvg(Path.Combine(root, corpus + ".svg"), Width, Height);
}

sealed record Run(string Corpus, string Method, double Bleu, double[] Losses, double[] LossTokens, double[] Forgotten, double[] ReferenceTokens, long Parameters, double Seconds, double Memory);

sealed record Method(string Name, int Seeds, long Parameters, double[] Bleu, SegmentStatistics Loss, SegmentStatistics Forgotten, double Seconds, double Memory);
