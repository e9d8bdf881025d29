using System.Globalization;
using Perenos.Reports;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Training;

namespace Perenos.Recipes;

/// <summary>One step of a ramp: its rate, the loss before it, and the loss smoothed over its neighbours.</summary>
public readonly record struct RatePoint(double Rate, double Loss, double Smoothed);

/// <summary>What a ramp shows.</summary>
/// <param name="Points">Every step.</param>
/// <param name="Steepest">Where the loss falls fastest per decade of the rate: the suggestion.</param>
/// <param name="Lowest">Where the loss is lowest; beyond it training is no longer stable.</param>
/// <param name="Diverges">Where the loss is back at its start; null where it never was.</param>
public sealed record RateFinding(IReadOnlyList<RatePoint> Points, double Steepest, double Lowest, double? Diverges);

/// <summary>
/// The learning-rate range test (Smith 2015, https://arxiv.org/abs/1506.01186), with a rate that rises exponentially: one short training from far too
/// low to far too high. Nothing is saved.
/// </summary>
public static class FindRate
{
    /// <summary>Steps of a ramp where nothing else is asked for.</summary>
    public const int DefaultSteps = 100;

    // The ramp goes from a thousandth of the method's own rate to a thousand times as much.
    private const double Decades = 3;

    // Neighbours on each side, as a share of the ramp, to which a line is fitted: a third of a decade.
    private const double HalfWindow = 1.0 / 18;

    // Beyond this multiple of the loss at the start nothing is left to see.
    private const double Hopeless = 1.5;

    /// <summary>Trains over rising rates until the end or until the loss is hopeless.</summary>
    /// <param name="run">What is trained; its weights are moved.</param>
    /// <param name="steps">Steps of the ramp.</param>
    /// <param name="lowest">First rate; none means a thousandth of the recipe's.</param>
    /// <param name="highest">Last rate; none means a thousand times the recipe's.</param>
    /// <param name="tell">Told of every step.</param>
    /// <param name="stop">Asks to stop.</param>
    /// <exception cref="PerenosException">The ramp is no ramp, or the loss never fell.</exception>
    public static RateFinding Take(PreparedRun run, int steps, double? lowest, double? highest, Action<int, RatePoint> tell, CancellationToken stop)
    {
        double standard = run.Config.Training.LearningRate!.Value, from = lowest ?? standard * Math.Pow(10, -Decades), to = highest ?? standard * Math.Pow(10, Decades);
        if (steps < 20 || !(from > 0) || !(to > from) || !double.IsFinite(to))
            throw new PerenosException($"A ramp of {steps} steps from {from:G3} to {to:G3} shows nothing.", "Use at least 20 steps, and a highest rate above the lowest.");
        List<(double Rate, double Loss)> seen = [];
        using var trainer = new Trainer(run.Pretrained.Model, run.Trainables, run.Config.Training, new LearningRate(standard, Schedule.Constant, 0, steps), run.Penalty, run.Objective);
        for (int step = 0; step < steps; step++)
        {
            stop.ThrowIfCancellationRequested();
            double rate = from * Math.Pow(to / from, (double)step / (steps - 1));
            run.Adapter?.DropFor(Seed.Of(run.Config.Seed, "dropout", (ulong)step));
            try
            {
                seen.Add((rate, trainer.TakeStep(run.Order.At(step), rate).Loss));
            }
            catch (PerenosException) when (step > 0)
            {
                // The loss is no number any more: the ramp has shown what it can.
                break;
            }

            tell(step + 1, new RatePoint(rate, seen[^1].Loss, seen[^1].Loss));
            if (seen.Count > 5 && seen.TakeLast(5).Average(point => point.Loss) > Hopeless * seen.Take(5).Average(point => point.Loss))
                break;
        }

        return Read(seen);
    }

    /// <summary>The report: the curve and the suggestion.</summary>
    public static ReportModel Describe(PreparedRun run, RateFinding finding, TimeProvider clock) => new()
    {
        Title = "Which learning rate?",
        Question = $"At which rates does {run.Config.Method.Name} learn {run.Config.Data.Path}, and where does it diverge?",
        Created = clock.GetUtcNow(),
        Verdict = [new Finding(FindingTone.Gained, Number(finding.Steepest), Sentence(finding))],
        Charts =
        [
            new Chart("Loss over a rising learning rate", "learning rate", "nats per learnt token",
                [new ChartLine("smoothed", [.. finding.Points.Select(point => (point.Rate, point.Smoothed))]), new ChartLine("each step", [.. finding.Points.Select(point => (point.Rate, point.Loss))])])
            { IsLogarithmic = true, Mark = finding.Steepest },
        ],
    };

    /// <summary>The finding in a sentence, after its suggested rate.</summary>
    public static string Sentence(RateFinding finding) =>
        $"is suggested: there the loss falls fastest. It is lowest at {Number(finding.Lowest)}{(finding.Diverges is { } end ? $" and back at its start at {Number(end)}" : "")}: a highest rate beyond {Number(finding.Lowest)} is not stable.";

    /// <summary>A rate with two digits.</summary>
    public static string Number(double rate) => rate.ToString("0.#e-0", CultureInfo.InvariantCulture);

    /// <summary>Fits a line to each point's neighbourhood: its value is the smoothed loss, its slope how fast the loss falls.</summary>
    internal static RateFinding Read(IReadOnlyList<(double Rate, double Loss)> seen)
    {
        int half = Math.Max(2, (int)Math.Round(seen.Count * HalfWindow));
        var (values, slopes) = (new double[seen.Count], new double[seen.Count]);
        for (int index = 0; index < seen.Count; index++)
        {
            int first = Math.Max(0, index - half), last = Math.Min(seen.Count - 1, index + half);
            double count = last - first + 1, centre = (first + last) / 2.0, mean = seen.Skip(first).Take(last - first + 1).Average(point => point.Loss);
            double slope = Enumerable.Range(first, last - first + 1).Sum(place => (place - centre) * seen[place].Loss) / (count * (count * count - 1) / 12);
            (values[index], slopes[index]) = (mean + slope * (index - centre), slope);
        }

        int lowest = Array.IndexOf(values, values.Min());
        if (lowest == 0)
            throw new PerenosException("The loss never fell.", "Begin lower: --from with a smaller rate.");
        int steepest = Enumerable.Range(0, lowest + 1).MinBy(index => slopes[index]);
        int end = Enumerable.Range(lowest, seen.Count - lowest).FirstOrDefault(index => values[index] >= values[0], -1);
        return new RateFinding([.. seen.Select((point, index) => new RatePoint(point.Rate, point.Loss, values[index]))], seen[steepest].Rate, seen[lowest].Rate, end < 0 ? null : seen[end].Rate);
    }
}
