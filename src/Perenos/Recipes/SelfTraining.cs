using System.Text.Encodings.Web;
using System.Text.Json;
using Perenos.Generation;
using Perenos.Models;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Text.Data;
using Perenos.Training;

namespace Perenos.Recipes;

/// <summary>What came of self-labelling.</summary>
/// <param name="Answered">Prompts that the model answered.</param>
/// <param name="Kept">Answers that were sure enough.</param>
/// <param name="Confidence">What was asked for.</param>
/// <param name="MeanConfidence">Of all finished answers.</param>
/// <param name="Highest">The surest answer.</param>
public sealed record SelfLabels(int Answered, int Kept, double Confidence, double MeanConfidence, double Highest);

/// <summary>
/// Self-training with a confidence filter: the model answers unlabelled prompts, and the answers of which it is sure become training data
/// beside the labelled ones (Scudder 1965; for sequences He et al. 2019, https://arxiv.org/abs/1909.13788).
/// </summary>
internal static class SelfTraining
{
    private const string ReportName = "labels.json";

    private static readonly JsonSerializerOptions Json = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>The data of a stage: its own records and the confident answers, written once into a folder.</summary>
    /// <exception cref="PerenosException">No answer was sure enough.</exception>
    public static (DataConfig Data, SelfLabels Labels) Of(StagedConfig config, StagePlan plan, string folder, RunListener listener, CancellationToken stop)
    {
        var labelled = plan.Config.Data;
        string report = Path.Combine(folder, ReportName);
        var written = new DataConfig { Path = folder, ValidationShare = 0, TestShare = 0, MaximumLength = labelled.MaximumLength, Template = labelled.Template };
        if (File.Exists(report))
            return (written, ConfigFile.Read<SelfLabels>(report));
        var split = RunData.SplitOf(labelled, config.Seed);
        var (answers, labels) = Label(config, plan, Prompts(plan), listener, stop);
        AtomicFile.WriteFolder(folder, temporary =>
        {
            Write(Path.Combine(temporary, "train.jsonl"), [.. split.Train, .. answers]);
            if (split.Validation.Count > 0)
                Write(Path.Combine(temporary, "valid.jsonl"), split.Validation);
            if (RunData.SplitOf(config.Data, config.Seed).Test is { Count: > 0 } test && test[0] is PromptRecord)
                Write(Path.Combine(temporary, "test.jsonl"), test);
            ConfigFile.Write(Path.Combine(temporary, ReportName), labels);
        });
        return (written, labels);
    }

    // Without what the target holds out: its test stays unseen, even without labels.
    private static List<string> Prompts(StagePlan plan)
    {
        var settings = plan.Stage.SelfTraining!;
        var source = RecordSource.Of(new DataConfig { Path = settings.Path, Text = settings.Prompt }, settings.Path, isPreference: false);
        var records = HeldOut.Apart(plan.Config).LeaveOut(source.Read(), settings.Path, [source]);
        List<string> prompts = [.. records.Select(record => record.PromptText).Distinct()];
        return [.. Seed.Permutation(plan.Config.Seed, "self-training", prompts.Count).Take(settings.MaximumRecords).Select(index => prompts[index])];
    }

    private static (List<PromptRecord> Kept, SelfLabels Labels) Label(StagedConfig config, StagePlan plan, List<string> prompts, RunListener listener, CancellationToken stop)
    {
        var settings = plan.Stage.SelfTraining!;
        using var opened = new TrainedModel(plan.Start.Model, plan.Start.Adapter is { } adapter ? [adapter] : []).Open(ComputeTypes.Choose(config.Dtype).Type);
        var pretrained = opened.Pretrained;
        var renderer = Rendering.For(pretrained, plan.Config.Data.Template);
        PromptRecord Record(string prompt, string completion, int number) => new(prompt, completion) { Source = $"answer {number}", Group = $"answer {number}" };
        var asked = prompts.Select((prompt, index) => renderer.RenderPrompt(Record(prompt, "", index))).ToList();
        var generation = config.Evaluation.Generation;
        var answers = new TextGenerator(pretrained.Model, generation, renderer.StopIds).Generate(asked, done => listener.Progress("labelling", done, asked.Count), stop);
        List<(PromptRecord Record, double Confidence)> sure = [];
        foreach (var (index, answer) in answers.Index())
        {
            string text = pretrained.Tokenizer.Decode(answer).TrimEnd();
            // One that ran into the limit has no end, and would teach to have none.
            if (answer.Length >= generation.MaxNewTokens || string.IsNullOrWhiteSpace(text))
                continue;
            var record = Record(prompts[index], text, index);
            sure.Add((record, Confidence(pretrained, renderer.Render(record))));
        }

        var kept = sure.Where(answer => answer.Confidence >= settings.Confidence).Select(answer => answer.Record).ToList();
        double highest = sure.Select(answer => answer.Confidence).DefaultIfEmpty(0).Max();
        if (kept.Count == 0)
        {
            throw new PerenosException(
                string.Create(System.Globalization.CultureInfo.InvariantCulture, $"Of {prompts.Count} answers {sure.Count} came to an end, and none has the confidence {settings.Confidence}; the surest has {highest:F3}."),
                "Train the stage before longer, allow longer answers (evaluation.generation.max_new_tokens), or lower self_training.confidence.");
        }

        return (kept, new SelfLabels(prompts.Count, kept.Count, settings.Confidence, sure.Average(answer => answer.Confidence), highest));
    }

    // exp of the mean log-probability of the answer's tokens, the end included: what training will see of it.
    private static double Confidence(Pretrained pretrained, Example example)
    {
        if (example.Ids.Length > pretrained.Model.MaximumLength)
            return 0;
        return Math.Exp(-BatchLoss.Mean(pretrained.Model, [example], example.Ids.Length));
    }

    private static void Write(string path, IEnumerable<Record> records) => AtomicFile.WriteText(path, string.Concat(records.Select(record => record is PromptRecord pair
        ? JsonSerializer.Serialize(new { prompt = pair.Prompt, completion = pair.Completion }, Json) + "\n"
        : throw new PerenosException($"{record.Source} is no prompt with a completion.", "self_training needs data with prompt and completion templates."))));
}
