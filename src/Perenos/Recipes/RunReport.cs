using System.Globalization;
using Perenos.Evaluation;
using Perenos.Reports;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Text.Data;
using DataSplit = Perenos.Reports.DataSplit;

namespace Perenos.Recipes;

/// <summary>Turns a finished run into what its report says.</summary>
internal static class RunReport
{
    // Enough to judge by eye; the rest stands in samples.jsonl.
    private const int SamplesShown = 12;
    private const int ExamplesShown = 3;
    private const int TokensShown = 10;

    // Of the validation loss at the start; a curve that falls by less is called flat.
    private const double LeastFall = 0.02;

    public static ReportModel Describe(PreparedRun run, RunResult result, IReadOnlyList<RunEvent> events, RunFolder folder, TimeProvider clock)
    {
        var config = run.Config;
        var planned = events.OfType<RunEvent.Planned>().LastOrDefault();
        return new ReportModel
        {
            Title = $"{ShortName(run.Pretrained.Location)} learns {ShortName(config.Data.Path)}",
            Question = Question(run),
            Created = clock.GetUtcNow(),
            Verdict = Verdict(result, events),
            Data = Data(run),
            Plan = planned is null ? null : Plan(run, planned),
            Curves = CurveSection.From(events),
            Results = Results(result),
            Samples = Samples(result),
            Forgetting = Forgetting(result),
            Front = config.Retention.Penalty is EwcConfig ewc ? FrontSection.From(events, ewc.Budget) : null,
            Cost = new CostSection
            {
                Seconds = result.Summary.Seconds,
                TokensPerSecond = events.OfType<RunEvent.Step>().Sum(step => step.Tokens) / Math.Max(1e-9, events.OfType<RunEvent.Step>().Sum(step => step.Seconds)),
                PeakMemory = result.Summary.PeakMemory,
            },
            Commands =
            [
                new ReportCommand("Repeat this run from its folder", $"perenos {result.Summary.Kind} {folder.Config}"),
                new ReportCommand("Use the result", config.Start is RandomStart && !config.Method.ChangesBase
                    ? $"perenos generate --model {run.Pretrained.Location} --adapter {folder.Adapter} \"…\""
                    : TrainedModel.Of(config, folder.Path).Command),
            ],
            Environment = RunEnvironment.Read(folder),
        };
    }

    /// <summary>The report with another run beside it, such as the same training from scratch.</summary>
    public static ReportModel Beside(ReportModel report, RunResult result, string name, RunResult other)
    {
        var rows = report.Results!.Rows.Select(row => row with { Values = [.. row.Values, other.ScoresAfter.FirstOrDefault(score => score.Name == row.Name)] });
        var gain = other.Examination!.Changes(other.After!, result.After!).FirstOrDefault(change => change.Name == Judgement.Names.Bleu);
        Finding[] finding = gain is null ? [] : [new Finding(gain.Low > 0 ? FindingTone.Gained : gain.High < 0 ? FindingTone.Lost : FindingTone.Neutral,
            $"{Signed(gain.Value, 1)} BLEU", $"against {name}: what transfer itself is worth at the same data and budget, {Interval(gain, 1)}.")];
        return report with
        {
            Results = report.Results with { States = [.. report.Results.States, name], Rows = [.. rows] },
            Verdict = [.. report.Verdict.Take(1), .. finding, .. report.Verdict.Skip(1)],
            Curves = report.Curves! with { Contrasts = [new NamedCurve(name, other.Report!.Curves!.TrainingLoss)] },
        };
    }

    /// <summary>Gain and loss in sentences, for the report and for the last lines of the command.</summary>
    public static IReadOnlyList<Finding> Verdict(RunResult result, IReadOnlyList<RunEvent> events)
    {
        List<Finding> findings = Findings(result.Changes, result.Examination!.Answers.Count > 0, result.Config.Retention.Penalty?.Budget);
        if (result.Preference is { } preference)
        {
            var (accuracy, margin) = (preference.Accuracy, preference.Margin);
            var tone = accuracy.Low > 50 ? FindingTone.Gained : accuracy.High < 50 ? FindingTone.Lost : FindingTone.Neutral;
            findings.Add(new Finding(tone, string.Create(CultureInfo.InvariantCulture, $"{accuracy.Value:F0} %"),
                string.Create(CultureInfo.InvariantCulture, $"of held-out preferences are told (chance is 50 %), 95 % between {accuracy.Low:F0} and {accuracy.High:F0}; the mean margin of rewards is {Signed(margin.Value, 3)}, {Interval(margin, 3)}.")));
        }

        if (result.Forecast is { } forecast)
            findings.Add(new Finding(FindingTone.Neutral, $"{Signed(forecast, 3)} nats", Forecast(forecast, result.Config.Retention.Penalty!.Budget, events)));
        if (result.Config.Method.VirtualTokenCount > 0)
            findings.AddRange(VirtualTokens(result, events));
        return findings;
    }

    /// <summary>Changes in sentences; the test loss only where there are no answers to score.</summary>
    public static List<Finding> Findings(IReadOnlyList<Metric> changes, bool hasAnswers, double? budget = null)
    {
        List<Finding> findings = [];
        foreach (var change in changes)
        {
            var (isBetterUp, what, unit, decimals) = change.Name switch
            {
                Judgement.Names.Bleu => (true, "on held-out records", "BLEU", 1),
                Judgement.Names.TestLoss => (false, "on held-out records (nats per learnt token)", "nats", 3),
                Judgement.Names.GeneralLoss => (false, "on general text (nats per token): " + Forgotten(change) + Beyond(change, budget), "nats", 3),
                _ => (true, "", "", 0),
            };
            if (unit.Length == 0 || change.Name == Judgement.Names.TestLoss && hasAnswers)
                continue;
            bool isClear = (change.Low > 0 || change.High < 0) && Math.Round(change.Value, decimals) != 0;
            var tone = !isClear ? FindingTone.Neutral : change.Value > 0 == isBetterUp ? FindingTone.Gained : FindingTone.Lost;
            findings.Add(new Finding(tone, $"{Signed(change.Value, decimals)} {unit}", $"{what}, {Interval(change, decimals)}."));
        }

        return findings;
    }

    // A flat curve is said aloud: a prompt that learns nothing looks like a finished run otherwise.
    private static IEnumerable<Finding> VirtualTokens(RunResult result, IReadOnlyList<RunEvent> events)
    {
        var training = result.Config.Training;
        double[] losses = [.. events.OfType<RunEvent.Validation>().Select(measured => measured.Loss)];
        if (losses.Length > 1 && losses.Min() > (1 - LeastFall) * losses[0])
        {
            yield return new Finding(FindingTone.Lost, "flat", string.Create(CultureInfo.InvariantCulture,
                $"the virtual tokens learnt nothing: the validation loss was {losses[0]:F2} at their start and {losses.Min():F2} at best. Raise training.learning_rate (it was {training.LearningRate:G3}), training.epochs or method.virtual_tokens, or use method lora."));
        }

        if (events.OfType<RunEvent.VirtualTokens>().LastOrDefault() is { } last)
        {
            string nearest = result.NearestTokens.Count == 0 ? "" : $" Nearest real tokens, with the cosine: {string.Join(", ", result.NearestTokens.Take(TokensShown))}{(result.NearestTokens.Count > TokensShown ? ", …" : "")}.";
            string distance = last.Distance is { } away ? string.Create(CultureInfo.InvariantCulture, $", and lie {away:F1} lengths of an embedding away from the nearest real token") : "";
            yield return new Finding(FindingTone.Neutral, string.Create(CultureInfo.InvariantCulture, $"{last.Moved:F1} ×"), $"their own size is how far the virtual tokens have moved from their start{distance}.{nearest}");
        }
    }

    // Measured and certain, where a budget bounds the forecast only.
    private static string Beyond(Metric change, double? budget) => budget is { } most && change.Low > most
        ? string.Create(CultureInfo.InvariantCulture, $", more than the budget of {most}")
        : "";

    private static string Forecast(double forecast, double? budget, IReadOnlyList<RunEvent> events)
    {
        const string what = "forecast for the guarded text by elastic weight consolidation";
        if (budget is not { } most)
            return $"{what}.";
        return forecast <= 1.05 * most
            ? string.Create(CultureInfo.InvariantCulture, $"{what}; the budget was {most}.")
            : string.Create(CultureInfo.InvariantCulture, $"{what}: the budget of {most} was not met. {Within(events, most)} Train longer, begin with a larger lambda, or lower the learning rate.");
    }

    private static string Within(IReadOnlyList<RunEvent> events, double budget) =>
        FrontSection.From(events, budget)?.Points.Where(point => point.Forgetting <= budget).MinBy(point => point.Loss) is { } best
            ? string.Create(CultureInfo.InvariantCulture, $"Within it the validation loss came to {best.Loss:F3}, at step {best.Step}; the report draws the front.")
            : "No validation after the start lay within it.";

    private static string Forgotten(Metric change) => change switch
    {
        { Low: > 0 } => "what was forgotten",
        { High: < 0 } => "it is read better than before",
        _ => "no change that can be told from none",
    };

    private static string Question(PreparedRun run) =>
        $"What does {ShortName(run.Pretrained.Location)} gain from {run.Data.Labels.Examples:N0} examples of {ShortName(run.Config.Data.Path)} by {MethodInWords(run.Config.Method)}, and what does it forget?";

    private static DataSection Data(PreparedRun run)
    {
        var (split, tokenizer) = (run.Data.Split, run.Pretrained.Tokenizer);
        long Tokens(IReadOnlyList<Example> examples) => examples.Sum(example => (long)example.Ids.Length);
        var first = run.Data.Train[0];
        return new DataSection
        {
            Source = run.Config.Data.Path,
            Schema = run.Data.SchemaDescription,
            Splits =
            [
                new DataSplit("training", split.Train.Count, run.Data.Labels.Tokens, run.Data.Labels.LearntTokens),
                new DataSplit("validation", split.Validation.Count, Tokens(run.Data.Validation)),
                new DataSplit("test", split.Test.Count, split.Test.Sum(record => (long)run.Renderer.Render(record).Ids.Length)),
            ],
            Facts =
            [
                .. run.Data.Files.Count > 0 ? [new Fact("streamed", $"{run.Data.Files.Count} files, {run.Data.Files.Sum(file => file.Bytes) / 1e6:N1} MB; only tokens are kept, on the disk")] : Array.Empty<Fact>(),
                new Fact("split", "by group, seeded; validation and test hold no prompt of training"),
                new Fact("left out of validation and test for standing in training", $"{split.DroppedFromValidation} and {split.DroppedFromTest}"),
                .. run.Data.LeftOut > 0 ? [new Fact("left out of training since other data hold them out", $"{run.Data.LeftOut}")] : Array.Empty<Fact>(),
                new Fact("shortened prompts, dropped records", $"{run.Data.Labels.Truncated} and {run.Data.Labels.Dropped}"),
                .. run.Sources.Select(source => new Fact("learnt from", $"{source}")),
                .. run.Data.Mix.Where(mix => mix.LeftOut > 0).Select(mix => new Fact($"left out of {mix.Path}", $"{mix.LeftOut} records that stand in validation, test, the general text or what other data hold out")),
                .. RunEvent.Source.Warnings(run.Sources).Select(warning => new Fact("mind", warning)),
            ],
            Examples = [.. split.Train.Take(ExamplesShown).Select(Example)],
            Tokens = [.. LabelAudit.Preview(first, id => tokenizer.Decode([id], skipSpecialTokens: false)).Select(token => new ReportToken(token.Text, token.IsLearnt))],
        };
    }

    private static DataExample Example(Record record) => record switch
    {
        PromptRecord pair => new DataExample(pair.Prompt, pair.Completion),
        ConversationRecord conversation => new DataExample(conversation.PromptText, conversation.Messages[^1].Content),
        PreferenceRecord pair => Example(pair.Chosen),
        _ => new DataExample(record.PromptText, null),
    };

    private static PlanSection Plan(PreparedRun run, RunEvent.Planned planned)
    {
        var training = run.Config.Training;
        return new PlanSection
        {
            Method = MethodInWords(run.Config.Method),
            TrainableParameters = planned.TrainableParameters,
            TotalParameters = planned.TotalParameters,
            Steps = planned.Steps,
            Tokens = planned.Tokens,
            EstimatedMemory = planned.EstimatedMemory,
            EstimatedSeconds = planned.EstimatedSeconds,
            Facts =
            [
                new Fact("batch", training.BatchTokens is { } tokens ? $"{tokens} tokens" : $"{training.BatchSize} examples"),
                .. run.Config.Objective is DpoConfig dpo ? [new Fact("objective", string.Create(CultureInfo.InvariantCulture, $"direct preference optimization, β {dpo.Beta:G3}"))] : Array.Empty<Fact>(),
                new Fact("optimizer", training.Optimizer.Name),
                new Fact("learning rate", string.Create(CultureInfo.InvariantCulture, $"{training.LearningRate:G3}, {training.Schedule.ToString().ToLowerInvariant()}, {training.WarmupShare:P0} warm-up")),
                new Fact("computes in", run.Compute.Reason),
                .. AgainstForgetting(run).Select(what => new Fact("against forgetting", what)),
                new Fact("seed", $"{run.Config.Seed}"),
            ],
        };
    }

    private static IEnumerable<string> AgainstForgetting(PreparedRun run)
    {
        var retention = run.Config.Retention;
        if (retention.Penalty is { } penalty)
            yield return string.Create(CultureInfo.InvariantCulture, $"{(penalty is EwcConfig ewc ? $"elastic weight consolidation{(ewc.Keep is { } keep ? $" of {ShortName(keep.Path)}" : "")}" : "L2-SP")}, λ {penalty.Strength:G3}{(penalty.Budget is { } most ? $", steered to at most {most} nats" : "")}");
        if (retention.Replay is { } replay)
            yield return string.Create(CultureInfo.InvariantCulture, $"replay of {run.Mixture[^1].Examples.Count:N0} texts {(replay is TextReplay text ? $"of {ShortName(text.Path)}" : "written by the base")}, {replay.Share:P0} of all learnt tokens");
        if (retention.Distillation is { } distillation)
            yield return string.Create(CultureInfo.InvariantCulture, $"distillation from the base, weight {distillation.Weight:G3}, temperature {distillation.Temperature:G3}");
    }

    private static ResultSection Results(RunResult result)
    {
        return new ResultSection
        {
            States = [result.Config.Start is RandomStart ? "random weights" : "base as it is", "adapted"],
            Rows = [.. result.ScoresBefore.Zip(result.ScoresAfter, (first, second) => new ResultRow(first.Name,
                !IsLoss(first.Name), [first, second], IsLoss(first.Name) ? 3 : 1))],
            Note = $"{result.Examination!.Records.Count} held-out records; 95 % intervals by bootstrap over records, {result.Config.Evaluation.Resamples} resamples.",
        };
    }

    /// <summary>Whether a metric is counted in nats, and is better when it is lower.</summary>
    public static bool IsLoss(string metric) => metric is Judgement.Names.TestLoss or Judgement.Names.GeneralLoss;

    private static List<ReportSample> Samples(RunResult result)
    {
        var examination = result.Examination!;
        if (examination.Answers.Count == 0)
            return [];
        var (before, after) = (result.Before!.Answers, result.After!.Answers);
        return [.. examination.Answered.Take(SamplesShown).Select((record, index) =>
            new ReportSample(record.PromptText, examination.Answers[index], before[index], after[index]))];
    }

    private static ForgettingSection? Forgetting(RunResult result)
    {
        if (result.Changes.FirstOrDefault(change => change.Name == Judgement.Names.GeneralLoss) is not { } change)
            return null;
        static double Loss(IReadOnlyList<Metric> scores) => scores.First(score => score.Name == Judgement.Names.GeneralLoss).Value;
        return new ForgettingSection
        {
            Rows = [new ForgettingRow(result.Config.Evaluation.Reference is { } path ? ShortName(path) : "English and French paragraphs",
                Loss(result.ScoresBefore), Loss(result.ScoresAfter), change.Value, change.Low, change.High)],
            Note = $"{result.Examination!.Reference.Count} documents, {result.After!.Reference.Sum(document => document.Tokens):N0} tokens, read in sliding windows; the interval is a paired bootstrap over documents.",
        };
    }

    private static string MethodInWords(MethodConfig method) => method switch
    {
        LoraConfig lora => $"LoRA of rank {lora.Rank} on {string.Join(", ", lora.Targets)}",
        DoraConfig dora => $"DoRA of rank {dora.Rank} on {string.Join(", ", dora.Targets)}",
        Ia3Config => "(IA)³, learnt factors of activations",
        PromptConfig prompt => $"prompt tuning with {prompt.VirtualTokens} virtual tokens",
        PrefixConfig prefix => $"prefix tuning with {prefix.VirtualTokens} virtual tokens",
        PTuningConfig encoded => $"P-tuning with {encoded.VirtualTokens} virtual tokens",
        BiasConfig => "training the biases",
        NormConfig => "training the norms",
        FullConfig { Only.Count: > 0 } full => $"training the weights of {string.Join(", ", full.Only)}",
        LisaConfig lisa => $"training {lisa.ActiveLayers} layers at a time, drawn anew after {lisa.SwitchEvery} steps",
        _ => "training all weights",
    };

    internal static string ShortName(string path) => Path.GetFileNameWithoutExtension(Path.TrimEndingDirectorySeparator(path)) is { Length: > 0 } name ? name : path;

    // Rounded first: a small negative number would be written "-+0.0"; and − 0 plus 0 is 0.
    private static string Signed(double value, int decimals) => (Math.Round(value, decimals) + 0.0).ToString($"+0.{new string('0', decimals)};−0.{new string('0', decimals)}", CultureInfo.InvariantCulture);

    private static string Interval(Metric change, int decimals) =>
        $"95 % between {Signed(change.Low!.Value, decimals)} and {Signed(change.High!.Value, decimals)}";
}
