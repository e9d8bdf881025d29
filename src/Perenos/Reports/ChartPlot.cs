using System.Globalization;
using ScottPlot;

namespace Perenos.Reports;

/// <summary>Draws a chart as SVG that lives inside the page.</summary>
internal static class ChartPlot
{
    // Beyond these colours, lines are told apart by their dashes.
    private static readonly LinePattern[] Patterns = [LinePattern.Solid, LinePattern.Dashed, LinePattern.Dotted];
    private const int MostMarkers = 40;
    private const int MostNamed = 12;

    public static Html Draw(Chart chart, string id, PlotTheme theme)
    {
        using var plot = CurvePlot.Themed(theme, chart.YLabel);
        plot.XLabel(chart.XLabel);
        double Place(double x) => chart.IsLogarithmic ? Math.Log10(x) : x;
        Color[] colors = [theme.First, theme.Second, theme.Third];
        foreach (var (index, line) in chart.Lines.Index())
        {
            var points = line.Points.Where(point => double.IsFinite(point.X) && double.IsFinite(point.Y)).ToList();
            if (points.Count == 0)
                continue;
            var drawn = plot.Add.Scatter(points.Select(point => Place(point.X)).ToArray(), points.Select(point => point.Y).ToArray(), colors[index % colors.Length]);
            drawn.LineWidth = index == 0 ? 2.4f : 1.6f;
            drawn.LinePattern = Patterns[index / colors.Length % Patterns.Length];
            drawn.MarkerSize = points.Count <= MostMarkers ? 6 : 0;
            drawn.LegendText = index < MostNamed ? line.Name : "";
        }

        if (chart.Mark is { } mark)
        {
            var line = plot.Add.VerticalLine(Place(mark), 1.4f, theme.Ink);
            line.LinePattern = LinePattern.Dashed;
        }

        if (chart.IsLogarithmic)
        {
            plot.Axes.Bottom.TickGenerator = new ScottPlot.TickGenerators.NumericAutomatic
            {
                IntegerTicksOnly = true,
                MinorTickGenerator = new ScottPlot.TickGenerators.LogMinorTickGenerator(),
                LabelFormatter = place => Math.Pow(10, place).ToString("0e+0", CultureInfo.InvariantCulture),
            };
        }

        plot.ShowLegend(Alignment.UpperRight);
        return CurvePlot.Svg(plot, theme, id, chart.Title);
    }
}
