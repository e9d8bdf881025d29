using Perenos.Reports;
using Perenos.Runs;

namespace Perenos.Tests.Reports;

/// <summary>A report with every part filled in. All numbers are made up: they test the drawing and say nothing about any model.</summary>
internal static class MadeUpReport
{
    public static ReportModel Full { get; } = new()
    {
        Title = "A small model learns weather bulletins",
        Question = "Can a made-up 6-million-parameter model, pretrained on English and French, learn to translate weather bulletins from 200 examples, and what does it forget on the way?",
        Created = new DateTimeOffset(2026, 1, 31, 12, 5, 0, TimeSpan.Zero),
        Verdict =
        [
            new Finding(FindingTone.Gained, "+88.4 BLEU", "Translations of bulletins it has never seen went from 3.0 to 91.4 BLEU, with intervals far apart."),
            new Finding(FindingTone.Neutral, "+40.3 BLEU", "That is how much better it is than the same model trained on the same data from random weights: the gain of transfer."),
            new Finding(FindingTone.Lost, "+0.62 nats", "On general text it became worse, from 3.310 to 3.930 nats per token. A lower learning rate or some general text among the examples would soften that."),
        ],
        Data = new DataSection
        {
            Source = "made-up grammar, seed 17",
            Schema = "prompt and completion: \"Translate to French: {en}\" → \"{fr}\"",
            Splits =
            [
                new DataSplit("training", 200, 12_400, 6_310),
                new DataSplit("validation", 40, 2_480, 1_250),
                new DataSplit("test", 120, 7_412),
            ],
            Facts = [new Fact("Split", "by sentence, no sentence in two parts"), new Fact("Left out", "3 duplicates")],
            Examples =
            [
                new DataExample("Translate to French: Snow ending this morning then cloudy. High minus 3.", "Neige cessant ce matin puis nuageux. Maximum moins 3."),
                new DataExample("Translate to French: A mix of sun and cloud with 30 percent chance of showers.", "Alternance de soleil et de nuages avec 30 pour cent de probabilité d'averses."),
            ],
            Tokens = Tokens("<s>|Trans|late| to| French|:| Snow| ending| this| morning|.| High| minus| |3|.|\n", "Ne|ige| cess|ant| ce| matin|.| Max|imum| mo|ins| |3|.|</s>"),
        },
        Plan = new PlanSection
        {
            Method = "LoRA, rank 16, alpha 32, on all linear layers",
            TrainableParameters = 442_368,
            TotalParameters = 6_225_152,
            Steps = 400,
            Tokens = 124_000,
            EstimatedMemory = 640_000_000,
            EstimatedSeconds = 95,
            Facts = [new Fact("Batch", "16 examples, sorted by length"), new Fact("Schedule", "cosine from 3e-3 after 20 steps of warm-up"), new Fact("Seed", "17")],
        },
        Curves = Curves(),
        Results = new ResultSection
        {
            States = ["base as it is", "adapted", "from scratch"],
            Rows =
            [
                new ResultRow("BLEU", true, [new Metric("bleu", 3.0, 2.1, 4.0, "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp"), new Metric("bleu", 91.4, 89.9, 92.8), new Metric("bleu", 51.1, 47.9, 54.0)]),
                new ResultRow("chrF", true, [new Metric("chrf", 19.2, 18.1, 20.4, "nrefs:1|case:mixed|nc:6|nw:0"), new Metric("chrf", 95.2, 94.2, 96.1), new Metric("chrf", 66.0, 63.4, 68.8)]),
                new ResultRow("exact match, %", true, [new Metric("exact", 0, 0, 3.0), new Metric("exact", 64.2, 55.8, 72.5), new Metric("exact", 9.2, 4.2, 15.0)]),
                new ResultRow("perplexity of the answers", false, [new Metric("ppl", 41.27), new Metric("ppl", 1.09), null], 2),
            ],
            Note = "120 held-out sentences, greedy decoding. Intervals: 95 %, 1,000 bootstrap samples of sentences.",
        },
        Samples =
        [
            new ReportSample("Cloudy with 60 percent chance of flurries this evening. Low minus 12.", "Nuageux avec 60 pour cent de probabilité de neige ce soir. Minimum moins 12.", "Cloudy with 60 pourcent de la chance de la fenêtre.", "Nuageux avec 60 pour cent de probabilité de neige ce soir. Minimum moins 12."),
            new ReportSample("Wind becoming northwest 40 km/h near noon.", "Vents devenant du nord-ouest à 40 km/h vers midi.", "", "Vents devenant du nord à 40 km/h vers midi."),
            new ReportSample("Clearing overnight. Fog patches developing before morning.", "Dégagement au cours de la nuit. Formation de bancs de brouillard avant le matin.", "Le fichier est en cours d'utilisation.", "Dégagement cette nuit. Bancs de brouillard avant le matin."),
        ],
        Forgetting = new ForgettingSection
        {
            Rows = [new ForgettingRow("general English and French", 3.310, 3.930, 0.620, 0.571, 0.668), new ForgettingRow("manual pages", 2.804, 2.801, -0.003, -0.012, 0.007)],
            Note = "8,000 held-out tokens each, windows of 256 with half overlapping; interval by bootstrap over windows.",
        },
        Cost = new CostSection { Seconds = 312.4, TokensPerSecond = 2_410, PeakMemory = 712_000_000, ShareOfPeak = 0.31, Facts = [new Fact("Of this, training", "1 min 31 s")] },
        Commands =
        [
            new ReportCommand("The same run again, from its folder alone:", "perenos tune runs/tune-base-weather-20260131-1205/config.json"),
            new ReportCommand("The same with data of your own:", "perenos tune --model base --data my.jsonl --prompt \"Translate to French: {en}\" --completion \"{fr}\" --method lora"),
        ],
        Environment = new RunEnvironment
        {
            System = "Debian GNU/Linux 12 (X64)",
            Processor = "Made-up processor",
            Cores = 2,
            Memory = 8_000_000_000,
            Runtime = ".NET 10.0.0",
            Libraries = new Dictionary<string, string> { ["Perenos"] = "0.1.0", ["TorchSharp"] = "0.107.0" },
            ComputeType = "fp32",
            ComputeReason = "measured 255 GFLOP/s against 160 in bf16",
        },
    };

    private static ReportToken[] Tokens(string read, string learnt) =>
        [.. read.Split('|').Select(text => new ReportToken(text, false)), .. learnt.Split('|').Select(text => new ReportToken(text, true))];

    private static CurveSection Curves()
    {
        var random = new Random(17);
        var (loss, rate, validation, scratch) = (new List<CurvePoint>(), new List<CurvePoint>(), new List<CurvePoint>(), new List<CurvePoint>());
        for (int step = 1; step <= 400; step++)
        {
            loss.Add(new CurvePoint(step, (4.2 * Math.Exp(-step / 45.0)) + 0.06 + (0.9 * Math.Exp(-step / 120.0) * (random.NextDouble() - 0.3))));
            scratch.Add(new CurvePoint(step, (7.5 * Math.Exp(-step / 110.0)) + 0.5 + (0.3 * random.NextDouble())));
            rate.Add(new CurvePoint(step, step <= 20 ? 3e-3 * step / 20 : 1.5e-3 * (1 + Math.Cos(Math.PI * (step - 20) / 380))));
            if (step % 40 == 0)
                validation.Add(new CurvePoint(step, (4.0 * Math.Exp(-step / 45.0)) + 0.14 + (step / 8000.0)));
        }

        return new CurveSection { TrainingLoss = loss, LearningRate = rate, ValidationLoss = validation, Contrasts = [new NamedCurve("from scratch, smoothed", scratch)] };
    }
}
