using System.Collections;
using System.Globalization;
using System.Text.RegularExpressions;
using System.Xml;
using System.Xml.Linq;
using Perenos.Reports;
using Perenos.Runs;
using Xunit;

namespace Perenos.Tests.Reports;

public sealed class HtmlReportTests
{
    // Written as XML on purpose, so that a reader other than a browser can judge the structure.
    private static XDocument Parse(string html)
    {
        using var reader = XmlReader.Create(new StringReader(html), new XmlReaderSettings { DtdProcessing = DtdProcessing.Ignore, XmlResolver = null });
        return XDocument.Load(reader);
    }

    private static string[] Headings(string html) =>
        [.. Parse(html).Descendants().Where(element => element.Name.LocalName is "h1" or "h2").Select(element => element.Value)];

    private static readonly ReportModel Least = new()
    {
        Title = "A title",
        Question = "A question?",
        Created = DateTimeOffset.UnixEpoch,
    };

    [Fact]
    public void A_full_report_has_every_section_in_reading_order()
    {
        // Stays beside the tests, to be looked at in a browser.
        string path = Path.Combine(AppContext.BaseDirectory, "made-up-report.html");
        HtmlReport.Write(path, MadeUpReport.Full);
        Assert.Equal(
            [
                "A small model learns weather bulletins", "The question", "Verdict", "The data", "The plan", "Curves", "Before and after",
                "Samples side by side", "Forgetting", "Cost", "Repeat it", "Environment",
            ],
            Headings(File.ReadAllText(path)));
    }

    [Fact]
    public void What_is_missing_is_left_out_with_its_heading()
    {
        Assert.Equal(["A title", "The question"], Headings(HtmlReport.Render(Least)));
        var hollow = Least with
        {
            Curves = new CurveSection { TrainingLoss = [new CurvePoint(1, double.NaN)] },
            Results = new ResultSection { States = ["base"], Rows = [] },
            Forgetting = new ForgettingSection { Rows = [] },
            Cost = new CostSection(),
            Plan = new PlanSection { Method = "full" },
            Data = new DataSection { Source = "a.jsonl", Schema = "text" },
        };
        string html = HtmlReport.Render(hollow);
        Assert.Equal(["A title", "The question", "The data", "The plan"], Headings(html));
        Assert.DoesNotContain(Parse(html).Descendants(), element => element.Name.LocalName is "table" or "svg" or "h3");
        Assert.DoesNotContain("NaN", html, StringComparison.Ordinal);
    }

    [Fact]
    public void Nothing_in_the_page_can_reach_the_network_or_run()
    {
        string html = HtmlReport.Render(MadeUpReport.Full);
        Assert.Contains("default-src 'none'", html, StringComparison.Ordinal);
        var page = Parse(html);
        string[] allowed =
        [
            "html", "head", "meta", "title", "style", "body", "header", "main", "section", "h1", "h2", "h3", "h4", "p", "div", "span", "b", "i", "br", "wbr",
            "mark", "code", "pre", "dl", "dt", "dd", "table", "thead", "tbody", "tr", "th", "td", "figure",
            "svg", "g", "path", "rect", "circle", "ellipse", "line", "polyline", "polygon", "text", "defs", "clipPath",
        ];
        Assert.Empty(page.Descendants().Select(element => element.Name.LocalName).Except(allowed));
        Assert.DoesNotContain(page.Descendants().Attributes(), attribute =>
            attribute.Name.LocalName is "src" or "href" or "srcset" or "action" || attribute.Name.LocalName.StartsWith("on", StringComparison.Ordinal));
        Assert.DoesNotMatch(new Regex(@"url\((?!#)|@import|https?://"), html);
    }

    [Fact]
    public void Every_identifier_in_the_page_is_unique_and_every_reference_meets_one()
    {
        string html = HtmlReport.Render(MadeUpReport.Full);
        var ids = Parse(html).Descendants().Attributes("id").Select(attribute => attribute.Value).ToList();
        Assert.NotEmpty(ids);
        Assert.Equal(ids.Count, ids.Distinct().Count());
        Assert.Empty(Regex.Matches(html, @"url\(#([^)]+)\)").Select(match => match.Groups[1].Value).Except(ids));
    }

    [Fact]
    public void Every_text_of_the_model_arrives_escaped()
    {
        int count = 0;
        var poisoned = (ReportModel)Poison(MadeUpReport.Full, ref count)!;
        Assert.True(count > 60, $"only {count} texts were found in the model");

        string html = HtmlReport.Render(poisoned);

        Assert.DoesNotContain("<evil", html, StringComparison.Ordinal);
        string text = string.Concat(Parse(html).Descendants("body").Single().Value.Split("Underlined"));
        for (int i = 1; i <= count; i++)
            Assert.Contains($"<evil{i}>", text, StringComparison.Ordinal);
    }

    [Fact]
    public void A_lone_surrogate_or_control_character_does_not_break_the_page()
    {
        string path = Path.Combine(Path.GetTempPath(), $"perenos-report-{Guid.NewGuid():N}.html");
        try
        {
            HtmlReport.Write(path, Least with { Question = "a\u0000b\u001bc\ud800d\uffffe" });
            Assert.Equal("a\uFFFDb\uFFFDc\uFFFDd\uFFFDe", Parse(File.ReadAllText(path)).Descendants("p").Single(p => (string?)p.Attribute("class") == "lede").Value);
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public void The_best_value_of_a_row_is_marked_and_follows_its_direction()
    {
        string html = HtmlReport.Render(MadeUpReport.Full);
        var best = Parse(html).Descendants("td").Where(cell => ((string?)cell.Attribute("class"))!.EndsWith("best", StringComparison.Ordinal))
            .Select(cell => cell.Elements("span").First().Value);
        Assert.Equal(["91.4", "95.2", "64.2", "1.09"], best);
    }

    [Fact]
    public void Words_that_the_reference_lacks_are_marked_and_no_others()
    {
        static string Marked(string answer, string reference) =>
            string.Concat(WordDifference.Mark(answer, reference).Select(piece => piece.IsOff ? $"[{piece.Text}]" : piece.Text));

        Assert.Equal("Neige ce [matin], max [-]3.", Marked("Neige ce matin, max -3.", "Neige ce soir, max 3."));
        Assert.Equal("[a] b", Marked("a b", "b"));
        Assert.Equal("a b", Marked("a b", "a x b"));
        Assert.Equal("[x] [x]", Marked("x x", ""));
        Assert.Equal("été", Marked("été", "été"));
        Assert.Equal("", Marked("", "a"));
    }

    [Fact]
    public void Numbers_are_written_for_readers()
    {
        Assert.Equal(["−1.50", "+0.2", "–", "0.0"], [Quantity.Number(-1.5, 2), Quantity.Change(0.2, 1), Quantity.Number(double.NaN, 1), Quantity.Change(0, 1)]);
        Assert.Equal(["59.9 s", "5 min 40 s", "1 h 25 min", "–"], [Quantity.Seconds(59.94), Quantity.Seconds(340.2), Quantity.Seconds(5100), Quantity.Seconds(double.NaN)]);
        Assert.Equal(["1.60 GB", "340 MB", "12 bytes"], [Quantity.Bytes(1_600_000_000), Quantity.Bytes(340_000_000), Quantity.Bytes(12)]);
        Assert.Equal(["6.2 million", "1.50 billion", "99,000"], [Quantity.Rough(6_225_152), Quantity.Rough(1_500_000_000), Quantity.Rough(99_000)]);
    }

    [Fact]
    public void Thinning_a_long_curve_keeps_its_ends_and_its_spikes()
    {
        var points = Enumerable.Range(0, 50_000).Select(i => new CurvePoint(i, i == 31_234 ? 100 : Math.Sin(i))).ToList();
        var thin = CurvePlot.Thin(points);
        Assert.InRange(thin.Count, 300, 610);
        Assert.Equal((0L, 49_999L), (thin[0].Step, thin[^1].Step));
        Assert.Contains(new CurvePoint(31_234, 100), thin);
        Assert.Equal(thin.OrderBy(point => point.Step), thin);
    }

    [Fact]
    public void Smoothing_keeps_a_straight_line_and_evens_out_noise()
    {
        // A line has no curvature: a centred average neither lags nor leads.
        var line = Enumerable.Range(0, 100).Select(i => new CurvePoint(i, 3 - (0.01 * i))).ToList();
        Assert.All(CurvePlot.Smooth(line).Zip(line), pair => Assert.Equal(pair.Second.Value, pair.First.Value, 1e-9));
        var noise = Enumerable.Range(0, 300).Select(i => new CurvePoint(i, i % 2)).ToList();
        // 21 points with 10 or 11 ones.
        Assert.All(CurvePlot.Smooth(noise).Skip(10).Take(280), point => Assert.InRange(point.Value, (10 / 21.0) - 1e-9, (11 / 21.0) + 1e-9));
        Assert.InRange(CurvePlot.Smooth([.. Enumerable.Range(0, 100_000).Select(i => new CurvePoint(i, i % 2))]).Count, 600, 1200);
        Assert.Equal([new CurvePoint(7, 1.5)], CurvePlot.Smooth([new CurvePoint(7, 1.5)]));
        Assert.Empty(CurvePlot.Smooth([]));
    }

    [Fact]
    public void Curves_come_from_the_events_of_a_run()
    {
        var curves = CurveSection.From(
        [
            new RunEvent.Started("tune", "m", "d", DateTimeOffset.UnixEpoch),
            new RunEvent.Step(1, 3, 1, 0.5, 10, 1, 10),
            new RunEvent.Validation(1, 2.5, true),
        ]);
        Assert.Equal([new CurvePoint(1, 3)], curves.TrainingLoss);
        Assert.Equal([new CurvePoint(1, 0.5)], curves.LearningRate);
        Assert.Equal([new CurvePoint(1, 2.5)], curves.ValidationLoss);
    }

    // The same object with "<evilN>" before every text in it; N counts them.
    private static object? Poison(object? value, ref int count)
    {
        switch (value)
        {
            case null or ValueType:
                return value;
            case string text:
                return $"<evil{(++count).ToString(CultureInfo.InvariantCulture)}>\"'&{text}";
            case IReadOnlyDictionary<string, string> map:
                var changed = new Dictionary<string, string>();
                foreach (var (key, item) in map)
                    changed[(string)Poison(key, ref count)!] = (string)Poison(item, ref count)!;
                return changed;
            case IEnumerable items:
                var element = items.GetType().GetInterfaces().Single(type => type.IsGenericType && type.GetGenericTypeDefinition() == typeof(IEnumerable<>)).GenericTypeArguments[0];
                var list = (IList)Activator.CreateInstance(typeof(List<>).MakeGenericType(element))!;
                foreach (object? item in items)
                    list.Add(Poison(item, ref count));
                return list;
            default:
                // A record's copy: every value is an init property.
                object copy = value.GetType().GetMethod("<Clone>$")!.Invoke(value, null)!;
                foreach (var property in copy.GetType().GetProperties().Where(property => property.CanWrite))
                {
                    // A metric's name is not shown (its row has one), and only one signature per row is.
                    if (value is Metric && property.Name is nameof(Metric.Name))
                        continue;
                    property.SetValue(copy, Poison(property.GetValue(copy), ref count));
                }

                return copy;
        }
    }
}
