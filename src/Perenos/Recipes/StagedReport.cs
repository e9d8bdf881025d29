using System.Globalization;
using Perenos.Evaluation;
using Perenos.Reports;
using Perenos.Runs;
using Perenos.Runs.Config;

namespace Perenos.Recipes;

/// <summary>Turns finished stages into one report: the target and the forgetting after each, against the base.</summary>
internal static class StagedReport
{
    public static ReportModel Describe(
        StagedConfig config, IReadOnlyList<StagePlan> plans, StageExaminer examiner, IReadOnlyList<StageState> states, IReadOnlyDictionary<StagePlan, SelfLabels> labels,
        RunSummary summary, RunFolder folder, TimeProvider clock)
    {
        var target = examiner.Of(config.Data);
        string model = RunReport.ShortName(((PretrainedStart)config.Start).Model);
        return new ReportModel
        {
            Title = $"{model} learns {RunReport.ShortName(config.Data.Path)} in {plans.Count} stages",
            Question = $"What does {model} gain on {RunReport.ShortName(config.Data.Path)} by {summary.Method}, what does each stage give, and what is forgotten since the base?",
            Created = clock.GetUtcNow(),
            Verdict = [.. states.Skip(1).SelectMany(state => Findings(state, target, states[0].Target, examiner))],
            Plan = new PlanSection
            {
                Method = summary.Method!,
                Steps = summary.Steps,
                Facts = [.. plans.Select(plan => new Fact(plan.FolderName, Describe(plan, labels))), new Fact("seed", $"{config.Seed}")],
            },
            Results = new ResultSection
            {
                States = [.. states.Select(state => state.Name == StagedConfig.BaseName ? "base as it is" : state.Name)],
                Rows = [.. Rows("", states, state => target.Scores(state.Target)), .. OwnRows(plans, examiner, states)],
                Note = $"{target.Records.Count} held-out records of the target; a stage's own data are measured after that stage and on the base. 95 % intervals by bootstrap over records, {config.Evaluation.Resamples} resamples.",
            },
            Forgetting = Forgetting(target, states),
            Cost = new CostSection
            {
                Seconds = summary.Seconds,
                PeakMemory = summary.PeakMemory,
                Facts = [.. summary.Stages.DistinctBy(stage => stage.Folder).Select(stage => new Fact(stage.Name, $"{stage.Seconds.ToString("F0", CultureInfo.InvariantCulture)} s"))],
            },
            Commands =
            [
                new ReportCommand("Repeat all stages from this folder", $"perenos tune {folder.Config}"),
                .. plans.Select(plan => new ReportCommand($"Use the result of {plan.FolderName}", plan.Result.Command)),
            ],
        };
    }

    private static string Describe(StagePlan plan, IReadOnlyDictionary<StagePlan, SelfLabels> labels)
    {
        string kept = labels.TryGetValue(plan, out var made)
            ? string.Create(CultureInfo.InvariantCulture, $"; of {made.Answered} answers of its own {made.Kept} ({(double)made.Kept / made.Answered:P0}) had the confidence {made.Confidence} and were learnt (mean {made.MeanConfidence:F3})")
            : "";
        return $"{plan} on {RunReport.ShortName(plan.Config.Data.Path)}{kept}";
    }

    private static IEnumerable<Finding> Findings(StageState state, Examination target, Judgement before, StageExaminer examiner)
    {
        foreach (var finding in RunReport.Findings(target.Changes(before, state.Target), target.Answers.Count > 0))
            yield return finding with { Sentence = $"{state.Name}: {finding.Sentence}" };
        if (state.Own is not { } own)
            yield break;
        var test = examiner.Of(state.Plan!.Config.Data);
        foreach (var finding in RunReport.Findings(test.Changes(own.Base, own.After with { Reference = [] }), test.Answers.Count > 0))
            yield return finding with { Sentence = $"{state.Name}, on its own data: {finding.Sentence}" };
    }

    // One group of rows for each data set that a stage has for itself: the base, and the stages that learnt it.
    private static IEnumerable<ResultRow> OwnRows(IReadOnlyList<StagePlan> plans, StageExaminer examiner, IReadOnlyList<StageState> states)
    {
        foreach (var data in plans.Select(plan => plan.Config.Data).Distinct())
        {
            var learnt = states.Where(state => state.Own is not null && state.Plan!.Config.Data == data).ToList();
            if (learnt.Count == 0)
                continue;
            string prefix = $"{RunReport.ShortName(data.Path)}, {string.Join(" and ", learnt.Select(state => state.Name))}: ";
            foreach (var row in Rows(prefix, states, state => state.Plan is null
                ? examiner.Of(data).Scores(learnt[0].Own!.Value.Base with { Reference = [] })
                : learnt.Contains(state) ? examiner.Of(data).Scores(state.Own!.Value.After with { Reference = [] }) : null))
                yield return row;
        }
    }

    private static IEnumerable<ResultRow> Rows(string prefix, IReadOnlyList<StageState> states, Func<StageState, IReadOnlyList<Metric>?> scores)
    {
        var all = states.Select(scores).ToList();
        return all[0]!.Select((metric, index) => new ResultRow(prefix + metric.Name, !RunReport.IsLoss(metric.Name), [.. all.Select(values => values?[index])], RunReport.IsLoss(metric.Name) ? 3 : 1));
    }

    private static ForgettingSection? Forgetting(Examination target, IReadOnlyList<StageState> states)
    {
        double? Loss(StageState state) => target.Scores(state.Target).FirstOrDefault(score => score.Name == Judgement.Names.GeneralLoss)?.Value;
        if (Loss(states[0]) is not { } before)
            return null;
        return new ForgettingSection
        {
            Rows = [.. states.Skip(1).Select(state =>
            {
                var change = target.Changes(states[0].Target, state.Target).First(change => change.Name == Judgement.Names.GeneralLoss);
                return new ForgettingRow(state.Name, before, Loss(state)!.Value, change.Value, change.Low, change.High);
            })],
            Note = $"{target.Reference.Count} documents, each state against the base and not against the stage before; the intervals are paired bootstraps over documents.",
        };
    }
}
