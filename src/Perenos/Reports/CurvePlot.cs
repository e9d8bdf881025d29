using System.Globalization;
using System.Text.RegularExpressions;
using ScottPlot;

namespace Perenos.Reports;

/// <summary>Colours of a plot; the page's style has the same ones.</summary>
internal sealed record PlotTheme(string Name, Color Ink, Color Grid, Color Paper, Color First, Color Second, Color Third)
{
    public static PlotTheme Light { get; } = new("light", Hex("#5b6472"), Hex("#e4e1da"), Hex("#ffffff"), Hex("#1f6f8b"), Hex("#b5562b"), Hex("#7a6aa8"));

    public static PlotTheme Dark { get; } = new("dark", Hex("#a3adbb"), Hex("#2c323b"), Hex("#1b1f26"), Hex("#6cc0dd"), Hex("#f0a070"), Hex("#b9a8ee"));

    private static Color Hex(string text) => Color.FromHex(text);
}

/// <summary>Draws training curves as SVG that lives inside the page.</summary>
internal static partial class CurvePlot
{
    private const int Width = 600;
    private const int Height = 360;
    private const float TickSize = 13;
    private const float LabelSize = 14;
    // More points than pixels only make the file larger.
    private const int MostPoints = 600;

    /// <summary>Raw and smoothed training loss, validation loss and contrasts over steps; null if there is nothing to draw.</summary>
    public static Html? Loss(CurveSection curves, PlotTheme theme)
    {
        var (training, validation) = (Finite(curves.TrainingLoss), Finite(curves.ValidationLoss));
        var contrasts = curves.Contrasts.Select(curve => (curve.Name, Points: Finite(curve.Points))).Where(curve => curve.Points.Count > 0).ToList();
        if (training.Count == 0 && validation.Count == 0)
            return null;

        using var plot = Themed(theme, "nats per learnt token");
        if (training.Count > 0)
        {
            AddLine(plot, Thin(training), theme.First.WithAlpha(.5), 1, training.Count > 2 ? "training, each step" : "training");
            if (training.Count > 2)
                AddLine(plot, Thin(Smooth(training)), theme.First, 2.4f, "training, smoothed");
        }

        if (validation.Count > 0)
        {
            var line = AddLine(plot, Thin(validation), theme.Second, 2, "validation");
            line.MarkerShape = MarkerShape.FilledCircle;
            line.MarkerSize = validation.Count <= 40 ? 6 : 0;
        }

        foreach (var (name, points) in contrasts)
        {
            var line = AddLine(plot, Thin(Smooth(points)), theme.Third, 1.8f, name);
            line.LinePattern = LinePattern.Dashed;
        }

        plot.ShowLegend(Alignment.UpperRight);
        return Svg(plot, theme, "loss", "Training and validation loss over optimizer steps");
    }

    /// <summary>Validation loss over the forecast of forgetting, from state to state, and the budget as an upright line.</summary>
    public static Html Front(FrontSection front, PlotTheme theme)
    {
        using var plot = Themed(theme, "validation loss, nats", "forecast of forgetting, nats per token");
        var line = plot.Add.Scatter(front.Points.Select(point => point.Forgetting).ToArray(), front.Points.Select(point => point.Loss).ToArray(), theme.First);
        (line.LineWidth, line.MarkerSize, line.LegendText) = (1.4f, 7, "states on the way");
        if (front.Budget is { } most)
        {
            var bound = plot.Add.VerticalLine(most, 1.8f, theme.Second, LinePattern.Dashed);
            bound.LegendText = "budget";
        }

        plot.ShowLegend(Alignment.UpperRight);
        return Svg(plot, theme, "front", "Validation loss over the forecast of forgetting");
    }

    /// <summary>Learning rate over steps; null if there is nothing to draw.</summary>
    public static Html? LearningRate(CurveSection curves, PlotTheme theme)
    {
        var points = Finite(curves.LearningRate);
        if (points.Count == 0)
            return null;
        using var plot = Themed(theme, "learning rate");
        AddLine(plot, Thin(points), theme.First, 2.4f, "");
        plot.Axes.SetLimitsY(0, Math.Max(points.Max(point => point.Value) * 1.08, 1e-12));
        return Svg(plot, theme, "rate", "Learning rate over optimizer steps");
    }

    /// <summary>
    /// Straight lines fitted to the neighbourhood of each point (a fifteenth of the curve), taken at that point. Unlike a running
    /// average it does not lag behind a steep start, which would make training look worse than validation.
    /// </summary>
    internal static List<CurvePoint> Smooth(IReadOnlyList<CurvePoint> raw)
    {
        var points = Means(raw);
        int half = Math.Max(1, points.Count / 30);
        var smooth = new List<CurvePoint>(points.Count);
        for (int i = 0; i < points.Count; i++)
        {
            double count = 0, sumX = 0, sumXX = 0, sumY = 0, sumXY = 0;
            for (int j = Math.Max(0, i - half); j <= Math.Min(points.Count - 1, i + half); j++)
            {
                double x = j - i;
                (count, sumX, sumXX) = (count + 1, sumX + x, sumXX + (x * x));
                (sumY, sumXY) = (sumY + points[j].Value, sumXY + (x * points[j].Value));
            }

            double spread = (count * sumXX) - (sumX * sumX);
            double value = spread > 0 ? ((sumXX * sumY) - (sumX * sumXY)) / spread : sumY / count;
            smooth.Add(new CurvePoint(points[i].Step, value));
        }

        return smooth;
    }

    // Neighbours averaged until the fit above, whose work grows with the square, is cheap.
    private static IReadOnlyList<CurvePoint> Means(IReadOnlyList<CurvePoint> points)
    {
        int size = (points.Count + (2 * MostPoints) - 1) / (2 * MostPoints);
        return size <= 1 ? points : [.. points.Chunk(size).Select(part => new CurvePoint(part[part.Length / 2].Step, part.Average(point => point.Value)))];
    }

    /// <summary>At most about <see cref="MostPoints"/> points; of each bucket the lowest and the highest stay, so that spikes do.</summary>
    internal static IReadOnlyList<CurvePoint> Thin(IReadOnlyList<CurvePoint> points)
    {
        if (points.Count <= MostPoints)
            return points;
        int buckets = MostPoints / 2;
        var kept = new List<CurvePoint>(MostPoints + 2) { points[0] };
        for (int bucket = 0; bucket < buckets; bucket++)
        {
            int from = (int)((long)bucket * points.Count / buckets), to = (int)((long)(bucket + 1) * points.Count / buckets);
            var inside = points.Skip(from).Take(to - from).ToList();
            kept.AddRange(new[] { inside.MinBy(point => point.Value), inside.MaxBy(point => point.Value) }.Distinct().OrderBy(point => point.Step));
        }

        kept.Add(points[^1]);
        return [.. kept.Distinct()];
    }

    private static List<CurvePoint> Finite(IReadOnlyList<CurvePoint> points) => [.. points.Where(point => double.IsFinite(point.Value))];

    private static ScottPlot.Plottables.Scatter AddLine(Plot plot, IReadOnlyList<CurvePoint> points, Color color, float width, string name)
    {
        var line = plot.Add.Scatter(points.Select(point => (double)point.Step).ToArray(), points.Select(point => point.Value).ToArray(), color);
        line.LineWidth = width;
        line.MarkerSize = points.Count <= 2 ? 7 : 0;
        line.LegendText = name;
        return line;
    }

    internal static Plot Themed(PlotTheme theme, string unit, string along = "optimizer step")
    {
        var plot = new Plot();
        plot.FigureBackground.Color = Colors.Transparent;
        plot.DataBackground.Color = Colors.Transparent;
        plot.Axes.Color(theme.Ink);
        plot.Grid.MajorLineColor = theme.Grid;
        plot.Axes.Right.FrameLineStyle.Width = 0;
        plot.Axes.Top.FrameLineStyle.Width = 0;
        plot.XLabel(along);
        plot.YLabel(unit);
        foreach (var axis in new IAxis[] { plot.Axes.Bottom, plot.Axes.Left })
        {
            axis.TickLabelStyle.FontSize = TickSize;
            axis.Label.FontSize = LabelSize;
            axis.Label.Bold = false;
        }

        plot.Legend.FontSize = TickSize;
        plot.Legend.FontColor = theme.Ink;
        plot.Legend.BackgroundColor = theme.Paper.WithAlpha(.8);
        plot.Legend.OutlineWidth = 0;
        plot.Legend.ShadowColor = Colors.Transparent;
        return plot;
    }

    internal static Html Svg(Plot plot, PlotTheme theme, string id, string description)
    {
        string svg = plot.GetSvgXml(Width, Height);
        svg = svg[svg.IndexOf("<svg", StringComparison.Ordinal)..];
        string body = svg[(svg.IndexOf('>', StringComparison.Ordinal) + 1)..svg.LastIndexOf("</svg>", StringComparison.Ordinal)];
        // All drawings share one page: their clip paths need names of their own.
        body = Identifier().Replace(body, $"$1{id}-{theme.Name}-");
        return new Html(string.Create(CultureInfo.InvariantCulture,
            $"<svg viewBox=\"0 0 {Width} {Height}\" role=\"img\" aria-label=\"{description}\">{body}</svg>"));
    }

    [GeneratedRegex(@"(\bid=""|url\(#|href=""#)")]
    private static partial Regex Identifier();
}
