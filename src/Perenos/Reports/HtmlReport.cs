using System.Globalization;
using System.Text;
using Perenos.Runs;

namespace Perenos.Reports;

/// <summary>Draws a report as one self-contained HTML page: no script, no network, light and dark, on paper too.</summary>
public static class HtmlReport
{
    /// <summary>Writes the page in one atomic step.</summary>
    /// <exception cref="PerenosException">The folder cannot be written to, or the disk is full.</exception>
    public static void Write(string path, ReportModel model) => AtomicFile.WriteText(path, Render(model));

    internal static string Render(ReportModel model)
    {
        var page = new HtmlWriter();
        page.Line($"<!DOCTYPE html>");
        page.Line($"<html lang=\"en\">");
        page.Line($"<head>");
        page.Line($"<meta charset=\"utf-8\"/>");
        page.Line($"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>");
        // The browser itself sees to it that nothing is fetched and nothing runs.
        page.Line($"<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>");
        page.Line($"<meta name=\"color-scheme\" content=\"light dark\"/>");
        page.Line($"<title>{model.Title}</title>");
        page.Line($"<style>{new Html(ReportStyle.Css)}</style>");
        page.Line($"</head>");
        page.Line($"<body>");
        page.Line($"<header>");
        page.Line($"<p class=\"eyebrow\">Perenos report · {model.Created.ToString("d MMMM yyyy, HH:mm", CultureInfo.InvariantCulture)}</p>");
        page.Line($"<h1>{model.Title}</h1>");
        page.Line($"</header>");
        page.Line($"<main>");
        Section(page, "The question", () => page.Line($"<p class=\"lede\">{model.Question}</p>"));
        if (model.Verdict.Count > 0)
            Section(page, "Verdict", () => Verdict(page, model.Verdict));
        if (model.Data is { } data)
            Section(page, "The data", () => Data(page, data));
        if (model.Plan is { } plan)
            Section(page, "The plan", () => Plan(page, plan));
        if (model.Curves is { } curves && CurvePlot.Loss(curves, PlotTheme.Light) is not null)
            Section(page, "Curves", () => Curves(page, curves));
        if (model.Charts.Count > 0)
            Section(page, "Pictures", () => Charts(page, model.Charts));
        if (model.Results is { Rows.Count: > 0 } results)
            Section(page, results.Heading, () => Results(page, results));
        if (model.Samples.Count > 0)
            Section(page, "Samples side by side", () => Samples(page, model.Samples));
        if (model.Forgetting is { Rows.Count: > 0 } forgetting)
            Section(page, "Forgetting", () => Forgetting(page, forgetting));
        if (model.Front is { } front)
            Section(page, "Gain against forgetting", () => Front(page, front));
        if (model.Cost is { } cost && CostFacts(cost) is { Count: > 0 } costs)
            Section(page, "Cost", () => Facts(page, costs));
        if (model.Commands.Count > 0)
            Section(page, "Repeat it", () => Commands(page, model.Commands));
        if (model.Environment is { } environment)
            Section(page, "Environment", () => Facts(page, EnvironmentFacts(environment)));
        page.Line($"</main>");
        page.Line($"</body>");
        page.Line($"</html>");
        return page.ToString();
    }

    private static void Section(HtmlWriter page, string heading, Action content)
    {
        page.Line($"<section>");
        page.Line($"<h2>{heading}</h2>");
        content();
        page.Line($"</section>");
    }

    private static void Verdict(HtmlWriter page, IReadOnlyList<Finding> findings)
    {
        page.Line($"<div class=\"findings\">");
        foreach (var finding in findings)
        {
            var (style, word) = finding.Tone switch
            {
                FindingTone.Gained => ("gained", "gained"),
                FindingTone.Lost => ("lost", "lost"),
                _ => ("neutral", "for comparison"),
            };
            page.Line($"<div class=\"finding {style}\"><p class=\"word\">{word}</p><p class=\"figure\">{finding.Figure}</p><p>{finding.Sentence}</p></div>");
        }

        page.Line($"</div>");
    }

    private static void Data(HtmlWriter page, DataSection data)
    {
        Facts(page, [new Fact("Source", data.Source), new Fact("Read as", data.Schema), .. data.Facts]);
        if (data.Splits.Count > 0)
            Splits(page, data.Splits);
        if (data.Examples.Count > 0)
        {
            page.Line($"<h3>Examples</h3>");
            page.Line($"<div class=\"examples\">");
            foreach (var example in data.Examples)
            {
                page.Add($"<div class=\"example\"><p>{example.Prompt}</p>");
                if (example.Completion is not null)
                    page.Add($"<p class=\"completion\">{example.Completion}</p>");
                page.Line($"</div>");
            }

            page.Line($"</div>");
        }

        if (data.Tokens.Count > 0)
        {
            page.Line($"<h3>One example as the model sees it</h3>");
            page.Line($"<p class=\"note\">Each box is a token. <span class=\"token learnt\">Coloured ones</span> are learnt; the others are only read.</p>");
            Tokens(page, data.Tokens);
        }
    }

    private static void Splits(HtmlWriter page, IReadOnlyList<DataSplit> splits)
    {
        bool hasLearnt = splits.Any(split => split.LearntTokens is not null);
        page.Line($"<div class=\"scroll\"><table>");
        page.Add($"<thead><tr><th scope=\"col\">part</th><th scope=\"col\" class=\"number\">records</th><th scope=\"col\" class=\"number\">tokens</th>");
        if (hasLearnt)
            page.Add($"<th scope=\"col\" class=\"number\">of these learnt</th>");
        page.Line($"</tr></thead><tbody>");
        foreach (var split in splits)
        {
            page.Add($"<tr><th scope=\"row\">{split.Name}</th><td class=\"number\">{Quantity.Count(split.Records)}</td><td class=\"number\">{Quantity.Count(split.Tokens)}</td>");
            if (hasLearnt)
                page.Add($"<td class=\"number\">{(split.LearntTokens is { } learnt ? Quantity.Count(learnt) : "–")}</td>");
            page.Line($"</tr>");
        }

        page.Line($"</tbody></table></div>");
    }

    private static void Tokens(HtmlWriter page, IReadOnlyList<ReportToken> tokens)
    {
        page.Add($"<p class=\"tokens\">");
        foreach (var token in tokens)
        {
            string shown = token.Text.Replace(' ', '·').Replace("\n", "⏎", StringComparison.Ordinal).Replace("\t", "⇥", StringComparison.Ordinal);
            var style = new Html(token.IsLearnt ? "token learnt" : "token");
            // The break lies between boxes: a line may end there, as it does in the text.
            page.Add($"<span class=\"{style}\">{(shown.Length == 0 ? "∅" : shown)}</span><wbr/>");
            if (token.Text.EndsWith('\n'))
                page.Add($"<br/>");
        }

        page.Line($"</p>");
    }

    private static void Plan(HtmlWriter page, PlanSection plan)
    {
        var facts = new List<Fact> { new("Method", plan.Method) };
        if (plan.TrainableParameters > 0)
        {
            string share = plan.TotalParameters > 0
                ? $" of {Quantity.Rough(plan.TotalParameters)} ({Quantity.Number(100.0 * plan.TrainableParameters / plan.TotalParameters, 2)} %)"
                : "";
            facts.Add(new Fact("Trainable parameters", Quantity.Count(plan.TrainableParameters) + share));
        }

        if (plan.Steps > 0)
            facts.Add(new Fact("Optimizer steps", Quantity.Count(plan.Steps)));
        if (plan.Tokens > 0)
            facts.Add(new Fact("Tokens in all steps", Quantity.Count(plan.Tokens)));
        if (plan.EstimatedMemory > 0)
            facts.Add(new Fact("Memory, estimated", Quantity.Bytes(plan.EstimatedMemory)));
        if (plan.EstimatedSeconds > 0)
            facts.Add(new Fact("Time of training, estimated", Quantity.Seconds(plan.EstimatedSeconds)));
        Facts(page, [.. facts, .. plan.Facts]);
    }

    private static void Curves(HtmlWriter page, CurveSection curves)
    {
        page.Line($"<div class=\"plots\">");
        foreach (var draw in new Func<CurveSection, PlotTheme, Html?>[] { CurvePlot.Loss, CurvePlot.LearningRate })
        {
            if (draw(curves, PlotTheme.Light) is not { } light || draw(curves, PlotTheme.Dark) is not { } dark)
                continue;
            page.Line($"<figure><div class=\"light\">{light}</div><div class=\"dark\">{dark}</div></figure>");
        }

        page.Line($"</div>");
        var validation = curves.ValidationLoss.Where(point => double.IsFinite(point.Value)).ToList();
        if (validation.Count > 0)
        {
            var best = validation.MinBy(point => point.Value);
            page.Line($"<p class=\"note\">Best validation loss {Quantity.Number(best.Value, 3)} at step {Quantity.Count(best.Step)}. Losses are nats per learnt token.</p>");
        }
    }

    private static void Charts(HtmlWriter page, IReadOnlyList<Chart> charts)
    {
        page.Line($"<div class=\"plots\">");
        foreach (var (number, chart) in charts.Index())
            page.Line($"<figure><figcaption>{chart.Title}</figcaption><div class=\"light\">{ChartPlot.Draw(chart, $"chart{number}", PlotTheme.Light)}</div><div class=\"dark\">{ChartPlot.Draw(chart, $"chart{number}", PlotTheme.Dark)}</div></figure>");
        page.Line($"</div>");
    }

    private static void Results(HtmlWriter page, ResultSection results)
    {
        page.Line($"<div class=\"scroll\"><table class=\"results\">");
        page.Add($"<thead><tr><th scope=\"col\">metric</th>");
        foreach (string state in results.States)
            page.Add($"<th scope=\"col\" class=\"number\">{state}</th>");
        page.Line($"</tr></thead><tbody>");
        foreach (var row in results.Rows)
            Result(page, row);
        page.Line($"</tbody></table></div>");
        Note(page, results.Note);
        var signatures = results.Rows
            .Select(row => (row.Name, row.Values.FirstOrDefault(value => value?.Signature is not null)?.Signature))
            .Where(pair => pair.Signature is not null);
        foreach (var (name, signature) in signatures)
            page.Line($"<p class=\"note\">{name}: <code>{signature}</code></p>");
    }

    private static void Result(HtmlWriter page, ResultRow row)
    {
        var measured = row.Values.OfType<Metric>().Where(value => double.IsFinite(value.Value)).ToList();
        var best = row.IsHigherBetter ? measured.MaxBy(value => value.Value) : measured.MinBy(value => value.Value);
        // Bars of one row share one scale that begins at zero.
        double top = measured.Select(value => Math.Max(value.Value, value.High ?? value.Value)).DefaultIfEmpty(0).Max();
        page.Add($"<tr><th scope=\"row\">{row.Name} <span class=\"way\">{(row.IsHigherBetter ? "higher is better" : "lower is better")}</span></th>");
        foreach (var value in row.Values)
        {
            if (value is null)
            {
                page.Add($"<td class=\"number\">–</td>");
                continue;
            }

            var style = new Html(ReferenceEquals(value, best) && measured.Count > 1 ? "number best" : "number");
            page.Add($"<td class=\"{style}\"><span class=\"value\">{Quantity.Number(value.Value, row.Decimals)}</span>");
            page.Add($"<span class=\"interval\">{Quantity.Interval(value.Low, value.High, row.Decimals)}</span>");
            if (top > 0 && measured.All(one => one.Value >= 0) && double.IsFinite(value.Value))
                Bar(page, value, top);
            page.Add($"</td>");
        }

        page.Line($"</tr>");
    }

    private static void Bar(HtmlWriter page, Metric value, double top)
    {
        page.Add($"<span class=\"bar\"><i style=\"width:{100 * value.Value / top:0.#}%\"></i>");
        if (value is { Low: { } low, High: { } high })
            page.Add($"<b style=\"left:{100 * Math.Max(0, low) / top:0.#}%;width:{100 * Math.Max(0, high - Math.Max(0, low)) / top:0.#}%\"></b>");
        page.Add($"</span>");
    }

    private static void Samples(HtmlWriter page, IReadOnlyList<ReportSample> samples)
    {
        if (samples.Any(sample => sample.Reference is not null))
            page.Line($"<p class=\"note\"><mark>Underlined</mark> are words that the reference lacks and, in the reference, words that the last answer lacks.</p>");
        foreach (var sample in samples)
        {
            page.Line($"<div class=\"sample\">");
            page.Line($"<div><h4>source</h4><p>{sample.Source}</p></div>");
            if (sample.Reference is not null)
                page.Line($"<div><h4>reference</h4><p>{Marked(sample.Reference, sample.After)}</p></div>");
            if (sample.Before is not null)
                page.Line($"<div><h4>before</h4><p>{Marked(sample.Before, sample.Reference)}</p></div>");
            if (sample.After is not null)
                page.Line($"<div class=\"after\"><h4>after</h4><p>{Marked(sample.After, sample.Reference)}</p></div>");
            page.Line($"</div>");
        }
    }

    private static Html Marked(string answer, string? reference)
    {
        if (string.IsNullOrWhiteSpace(answer))
            return new Html("<span class=\"empty\">(nothing)</span>");
        var text = new StringBuilder();
        var pieces = WordDifference.Mark(answer, reference);
        for (int i = 0; i < pieces.Count; i++)
        {
            var (piece, isOff) = pieces[i];
            // Neighbouring marks are one: blanks between two differing words belong to the difference.
            bool isBetween = i > 0 && i + 1 < pieces.Count && string.IsNullOrWhiteSpace(piece) && pieces[i - 1].IsOff && pieces[i + 1].IsOff;
            string escaped = HtmlWriter.Escape(piece).Markup;
            text.Append(isOff || isBetween ? $"<mark>{escaped}</mark>" : escaped);
        }

        return new Html(text.Replace("</mark><mark>", "").ToString());
    }

    private static void Forgetting(HtmlWriter page, ForgettingSection forgetting)
    {
        page.Line($"<div class=\"scroll\"><table>");
        page.Line($"<thead><tr><th scope=\"col\">nats per token</th><th scope=\"col\" class=\"number\">before</th><th scope=\"col\" class=\"number\">after</th><th scope=\"col\" class=\"number\">change</th></tr></thead><tbody>");
        foreach (var row in forgetting.Rows)
        {
            page.Line($"<tr><th scope=\"row\">{row.Name}</th><td class=\"number\">{Quantity.Number(row.Before, 3)}</td><td class=\"number\">{Quantity.Number(row.After, 3)}</td><td class=\"number\"><span class=\"value\">{Quantity.Change(row.Change, 3)}</span><span class=\"interval\">{Quantity.Interval(row.Low, row.High, 3)}</span></td></tr>");
        }

        page.Line($"</tbody></table></div>");
        page.Line($"<p class=\"note\">Lower is better. A change above zero means that something was forgotten; an interval that holds zero means that the change cannot be told from none.</p>");
        Note(page, forgetting.Note);
    }

    private static void Front(HtmlWriter page, FrontSection front)
    {
        page.Line($"<figure><div class=\"light\">{CurvePlot.Front(front, PlotTheme.Light)}</div><div class=\"dark\">{CurvePlot.Front(front, PlotTheme.Dark)}</div></figure>");
        page.Line($"<div class=\"scroll\"><table>");
        page.Line($"<thead><tr><th scope=\"col\">step</th><th scope=\"col\" class=\"number\">validation loss</th><th scope=\"col\" class=\"number\">forecast of forgetting</th><th scope=\"col\" class=\"number\">λ</th></tr></thead><tbody>");
        foreach (var point in front.Points)
        {
            page.Line($"<tr><th scope=\"row\">{Quantity.Count(point.Step)}</th><td class=\"number\">{Quantity.Number(point.Loss, 3)}</td><td class=\"number\">{Quantity.Number(point.Forgetting, 4)}</td><td class=\"number\">{point.Strength.ToString("G3", CultureInfo.InvariantCulture)}</td></tr>");
        }

        page.Line($"</tbody></table></div>");
        page.Line($"<p class=\"note\">Each point is a validation on the way; both values are nats per token, and lower is better for both.{(front.Budget is { } most ? $" The budget was {most.ToString(CultureInfo.InvariantCulture)}." : "")}</p>");
    }

    private static List<Fact> CostFacts(CostSection cost)
    {
        var facts = new List<Fact>();
        if (cost.Seconds > 0)
            facts.Add(new Fact("Time", Quantity.Seconds(cost.Seconds)));
        if (cost.TokensPerSecond > 0)
            facts.Add(new Fact("Training speed", Quantity.Number(cost.TokensPerSecond, 0) + " tokens/s"));
        if (cost.PeakMemory > 0)
            facts.Add(new Fact("Peak memory", Quantity.Bytes(cost.PeakMemory)));
        if (cost.ShareOfPeak is { } share)
            facts.Add(new Fact("Share of the measured peak", Quantity.Number(100 * share, 0) + " % of this machine's matrix multiplication"));
        return [.. facts, .. cost.Facts];
    }

    private static List<Fact> EnvironmentFacts(RunEnvironment environment)
    {
        var facts = new List<Fact>
        {
            new("System", environment.System),
            new("Processor", $"{environment.Processor}, {environment.Cores.ToString(CultureInfo.InvariantCulture)} {(environment.Cores == 1 ? "core" : "cores")}"),
            new("Memory", Quantity.Bytes(environment.Memory)),
            new("Runtime", environment.Runtime),
        };
        if (environment.ComputeType is { } type)
            facts.Add(new Fact("Compute type", environment.ComputeReason is { } reason ? $"{type}: {reason}" : type));
        if (environment.Libraries.Count > 0)
            facts.Add(new Fact("Libraries", string.Join(", ", environment.Libraries.Select(library => $"{library.Key} {library.Value}"))));
        return facts;
    }

    private static void Commands(HtmlWriter page, IReadOnlyList<ReportCommand> commands)
    {
        foreach (var command in commands)
            page.Line($"<p class=\"purpose\">{command.Purpose}</p><pre><code>{command.Command}</code></pre>");
    }

    private static void Facts(HtmlWriter page, IReadOnlyList<Fact> facts)
    {
        page.Line($"<dl>");
        foreach (var fact in facts)
            page.Line($"<div><dt>{fact.Label}</dt><dd>{fact.Value}</dd></div>");
        page.Line($"</dl>");
    }

    private static void Note(HtmlWriter page, string? note)
    {
        if (note is not null)
            page.Line($"<p class=\"note\">{note}</p>");
    }
}
