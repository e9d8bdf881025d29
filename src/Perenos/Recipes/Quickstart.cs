using Perenos.Reports;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Text.Grammar;

namespace Perenos.Recipes;

/// <summary>
/// The main job on a small scale: the embedded base model learns to translate weather bulletins, beside the same shape trained
/// from scratch on the same data for as long, so that what is seen is the gain of transfer and not only that of training.
/// </summary>
public static class Quickstart
{
    /// <summary>Name of the contrast in tables.</summary>
    public const string ScratchName = "from scratch";

    /// <summary>How many sentences, how long.</summary>
    /// <param name="Train">Training pairs.</param>
    /// <param name="Validation">Validation pairs.</param>
    /// <param name="Test">Held-out pairs that are translated.</param>
    /// <param name="Epochs">Passes over the training pairs.</param>
    public sealed record Size(int Train, int Validation, int Test, int Epochs)
    {
        /// <summary>What <c>perenos quickstart</c> does.</summary>
        public static Size Full { get; } = new(300, 24, 120, 10);

        /// <summary>Enough to see that everything works.</summary>
        public static Size Short { get; } = new(32, 8, 16, 2);
    }

    /// <summary>A wide LoRA: a language that the base model has never read is more than a change of style.</summary>
    public static LoraConfig Lora { get; } = new() { Rank = 64, Alpha = 128 };

    /// <summary>Writes the sentences and gives the run that learns them from the base model.</summary>
    public static RunConfig Prepare(RunFolder folder, MethodConfig method, Size size, ulong seed)
    {
        string data = Path.Combine(folder.Path, "weather");
        Directory.CreateDirectory(data);
        var sentences = WeatherGrammar.Split(seed, size.Train, size.Validation, size.Test);
        foreach (var (name, pairs) in new[] { ("train", sentences.Train), ("valid", sentences.Validation), ("test", sentences.Test) })
        {
            AtomicFile.WriteText(Path.Combine(data, $"{name}.jsonl"), string.Concat(pairs.Select(pair =>
                new System.Text.Json.Nodes.JsonObject { ["en"] = pair.English, ["fr"] = pair.French }.ToJsonString(Plain) + "\n")));
        }

        return new RunConfig
        {
            Start = new PretrainedStart { Model = Models.Pretrained.BaseName },
            // As the base model saw pairs in its own training.
            Data = new DataConfig { Path = data, Prompt = "English: {en}\nFrench:", Completion = " {fr}", MaximumLength = 256 },
            Method = method,
            Training = new TrainingConfig
            {
                Epochs = size.Epochs,
                BatchSize = 8,
                // The trials behind these rates: docs/experiments/quickstart.md.
                LearningRate = method is LoraConfig ? 1.5e-3 : 1e-3,
            },
            Evaluation = new EvaluationConfig { TestRecords = size.Test, Generation = new GenerationConfig { MaxNewTokens = 96 } },
            Seed = seed,
        };
    }

    /// <summary>The same data and budget for random weights of the same shape; all of them must learn.</summary>
    public static RunConfig FromScratch(RunConfig tuned) => tuned with
    {
        Start = new RandomStart { Architecture = Models.Pretrained.BaseName, Tokenizer = Models.Pretrained.BaseName },
        Method = new FullConfig(),
        Training = tuned.Training with { LearningRate = 2e-3 },
    };

    /// <summary>The report of the tuned run with the run from scratch beside it, written into the tuned run's folder.</summary>
    public static ReportModel Report(RunFolder folder, RunResult tuned, RunResult scratch)
    {
        var report = RunReport.Beside(tuned.Report!, tuned, ScratchName, scratch);
        HtmlReport.Write(folder.Report, report);
        return report;
    }

    private static readonly System.Text.Json.JsonSerializerOptions Plain = new() { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
}
