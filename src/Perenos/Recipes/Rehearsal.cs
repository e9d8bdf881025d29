using Perenos.Checkpoints;
using Perenos.Generation;
using Perenos.Text.Data;
using Perenos.Training;
using static TorchSharp.torch;

namespace Perenos.Recipes;

/// <summary>
/// Some of everything that a run will do, before it begins: what it costs is then measured and not computed from sizes. The heaviest
/// piece of each kind is among those done, so the memory of the process has been at its peak. Steps are taken at rate 0, and nothing is changed.
/// </summary>
internal sealed class Rehearsal(PreparedRun run, TimeProvider clock, CancellationToken stop)
{
    // Steps that are timed beside the heaviest: by a dry run as many as take about so long, within these ends; by a run, which soon knows better, two.
    private const int LeastSteps = 4, MostSteps = 64, BriefSteps = 2;
    private const double RehearsedSeconds = 12;

    // Of many batches that are only read so many are timed beside the heaviest; of few the heaviest stands for all.
    private const int RehearsedBatches = 2, FewBatches = 8;

    // How soon the base ends its answers is seen only by answering: a share of what answering all to the limit would take.
    private const double AnsweringShare = 0.1;

    // Over its steps a run comes to hold more than its heaviest pieces do (benchmarks/results, plan).
    private const double Growth = 1.07;

    // Written to time saving; more waits longer for the disk and says no more.
    private const long MostSavedBytes = 64 << 20;

    private TrainingCalendar Calendar => new(run.Config.Training, run.Order.StepsPerEpoch, run.Order.TotalSteps);

    // Of each step of an epoch: all its tokens, and those of its largest micro-batch.
    private IReadOnlyList<(double Tokens, double Widest)> StepSizes => field ??= [.. Enumerable.Range(0, Math.Min(run.Order.TotalSteps, run.Order.StepsPerEpoch))
        .Select(run.Order.SizesAt).Select(sizes => ((double)sizes.Sum(), (double)sizes.Max()))];

    /// <summary>Rehearses all of the run.</summary>
    public RunPlan Take() => WithoutSteering(() =>
    {
        var seen = AnswersOfTheBase();
        using var trainer = NewTrainer();
        long start = clock.GetTimestamp();
        // What the run itself will rehearse; more steps than it times tell more of the training.
        PlanPart[] brief = Brief(trainer);
        double own = clock.GetElapsedTime(start).TotalSeconds;
        double perStep = brief[0].Seconds / run.Order.TotalSteps;
        var training = Training(trainer, (int)Math.Clamp(RehearsedSeconds / perStep, LeastSteps, MostSteps));
        var adapted = Answering(share: 0);
        var bare = run.Adapter is null ? adapted : AsBase(() => Answering(share: 0));
        double reading = Reading(TestBatches()) + Reading(ReferenceBatches());
        return PlanOf([new PlanPart(RunPlan.Names.Rehearsal, own, ""), Before(bare, seen, reading), training, .. brief.Skip(1), After(adapted, reading)]);
    });

    /// <summary>Rehearses the training alone, and briefly: what a run does that is about to judge its base anyway.</summary>
    public RunPlan TakeTraining() => WithoutSteering(() =>
    {
        using var trainer = NewTrainer();
        return PlanOf(Brief(trainer));
    });

    private static RunPlan PlanOf(PlanPart[] parts) => new(parts, (long)(Growth * PeakMemory.OfProcess()));

    private Trainer NewTrainer() => new(run.Pretrained.Model, run.Trainables, run.Config.Training, LearningRate.Of(run.Config.Training, run.Order.TotalSteps), run.Penalty, run.Objective, run.Sampling);

    // A budget steers the penalty by steps that lead nowhere.
    private T WithoutSteering<T>(Func<T> rehearse)
    {
        var kept = (run.Penalty?.State() ?? []).Select(part => (part.Tensor, Copy: part.Tensor.clone().DetachFromDisposeScope())).ToList();
        try
        {
            return rehearse();
        }
        finally
        {
            using var quiet = no_grad();
            foreach (var (tensor, copy) in kept)
            {
                tensor.copy_(copy);
                copy.Dispose();
            }
        }
    }

    private PlanPart[] Brief(Trainer trainer)
    {
        // Not counted: it pays for caches and code generation.
        Step(trainer, StepSizes.Index().MaxBy(step => step.Item.Widest).Index);
        return [Training(trainer, BriefSteps), Validation(trainer), Saving(trainer)];
    }

    private PlanPart Training(Trainer trainer, int timedSteps)
    {
        double seconds = SampledTime.OfStretch([.. StepSizes.Select(step => step.Tokens)], timedSteps, step => Step(trainer, step));
        return new PlanPart(RunPlan.Names.Training, seconds / StepSizes.Count * run.Order.TotalSteps, $"{run.Order.TotalSteps:N0} steps");
    }

    private double Step(Trainer trainer, int step)
    {
        stop.ThrowIfCancellationRequested();
        long start = clock.GetTimestamp();
        run.BeginStep(step);
        trainer.TakeStep(run.Order.At(step), givenRate: 0);
        run.EndStep();
        return clock.GetElapsedTime(start).TotalSeconds;
    }

    private PlanPart Validation(Trainer trainer)
    {
        double seconds = 0;
        trainer.Show(() => seconds = Reading(Batches(run.Data.Validation), isLearnt: true));
        int times = Validations();
        return new PlanPart(RunPlan.Names.Validation, seconds * times, $"{times:N0} times");
    }

    private PlanPart Saving(Trainer trainer)
    {
        static long Bytes(IEnumerable<Tensor> tensors) => tensors.Sum(tensor => tensor.numel() * tensor.element_size());
        var weights = run.Trainables.Select(trainable => (trainable.Name, trainable.Tensor)).ToList();
        long learnt = Bytes(weights.Select(weight => weight.Tensor)), state = Bytes(trainer.State().Select(part => part.Tensor));
        // At least one, and no more than is needed to know the pace of the disk.
        long sampled = 0;
        var sample = weights.TakeWhile(weight => sampled < MostSavedBytes && (sampled += Bytes([weight.Tensor])) > 0).ToList();
        void Write(string folder, IEnumerable<(string, Tensor)> tensors) => SafetensorsWriter.Write(Path.Combine(folder, "weights.safetensors"), tensors);
        string folder = Directory.CreateTempSubdirectory("perenos-rehearsal-").FullName;
        double perByte;
        try
        {
            // Not counted: code generation.
            Write(folder, sample.Take(1));
            long start = clock.GetTimestamp();
            Write(folder, sample);
            perByte = clock.GetElapsedTime(start).TotalSeconds / sampled;
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }

        int times = Enumerable.Range(1, run.Order.TotalSteps).Count(Calendar.SavesAfter);
        // Each validation may find the best state so far; what is kept at the end is written once more.
        double bytes = times * (double)(learnt + state) + (Validations() + 1) * (double)learnt;
        return new PlanPart(RunPlan.Names.Saving, bytes * perByte, $"{times:N0} checkpoints of {(learnt + state) / 1e6:N0} MB");
    }

    // First, as in the run: what stays behind in memory depends on the order. Timed is what comes later, when all code is generated.
    private AnsweringTime? AnswersOfTheBase() => AsBase(() =>
    {
        var answering = Answering(AnsweringShare);
        Reading(TestBatches());
        return answering;
    });

    private T AsBase<T>(Func<T> look)
    {
        using var bare = new BareBase(run.Adapter, noise: null);
        return look();
    }

    private PlanPart Before(AnsweringTime? answering, AnsweringTime? seen, double reading)
    {
        if (answering is null || seen is null)
            return new PlanPart(RunPlan.Names.Before, reading, Test());
        double least = reading + answering.Seconds(_ => seen.Tokens), most = reading + answering.Most;
        return new PlanPart(RunPlan.Names.Before, seen.HasEnded ? least : most, $"{Test()}; answers {(seen.HasEnded ? $"of {seen.Tokens} tokens, as seen" : "as long as allowed")}")
        {
            LeastSeconds = least,
            MostSeconds = most,
        };
    }

    private PlanPart After(AnsweringTime? answering, double reading)
    {
        reading += Reading(Batches(run.Preference is null ? [] : run.Data.TestPairs), isLearnt: true);
        if (answering is null)
            return new PlanPart(RunPlan.Names.After, reading, Test());
        // What has learnt the answers ends where they end.
        int[] lengths = [.. run.Examination.Answers.Select(answer => run.Pretrained.Tokenizer.Encode(answer).Length + 1)];
        return new PlanPart(RunPlan.Names.After, reading + answering.Seconds(rows => rows.Max(row => lengths[row])), $"{Test()}; answers as long as the right ones")
        {
            MostSeconds = reading + answering.Most,
        };
    }

    private AnsweringTime? Answering(double share)
    {
        var (examination, model) = (run.Examination, run.Pretrained.Model);
        return examination.Answers.Count == 0 ? null : new AnsweringTime(examination.Generator(model), examination.Prompts(model), clock, share, stop);
    }

    private string Test() => $"{run.Examination.Records.Count:N0} test records, {run.Examination.Reference.Count:N0} general texts";

    private IReadOnlyList<IReadOnlyList<Example>> TestBatches() =>
        [.. run.Examination.TestBatches(run.Pretrained.Model).Select(batch => batch.Select(entry => entry.Example).ToList())];

    private IReadOnlyList<IReadOnlyList<Example>> ReferenceBatches() =>
        run.Examination.ReferenceReading(run.Pretrained.Model, run.Pretrained.Tokenizer, FineTune.Prefix(run.Pretrained)).WindowsTogether(run.Examination.Reference);

    private int Validations()
    {
        if (run.Data.Validation.Count == 0)
            return 0;
        // One before the first step.
        return 1 + Enumerable.Range(1, run.Order.TotalSteps).Count(Calendar.ValidatesAfter);
    }

    private static IReadOnlyList<IReadOnlyList<Example>> Batches(IReadOnlyList<Example> examples) =>
        [.. BatchLoss.Together(examples, TrainingRun.ValidationBatchTokens)];

    // Seconds of batches that nothing is learnt from; those of the kind that is learnt are pairs where preferences are.
    private double Reading(IReadOnlyList<IReadOnlyList<Example>> batches, bool isLearnt = false)
    {
        double Read(int batch)
        {
            stop.ThrowIfCancellationRequested();
            long start = clock.GetTimestamp();
            if (isLearnt && run.Preference is { } preference)
                preference.MeanLoss(batches[batch], int.MaxValue);
            else
                BatchLoss.Mean(run.Pretrained.Model, batches[batch], int.MaxValue);
            return clock.GetElapsedTime(start).TotalSeconds;
        }

        if (batches.Count == 0)
            return 0;
        List<double> weights = [.. batches.Select(batch => (double)batch.Sum(example => example.Rows.Count) * batch.Max(example => example.Length))];
        int heaviest = weights.IndexOf(weights.Max());
        double seconds = Read(heaviest);
        return batches.Count < FewBatches ? seconds / weights[heaviest] * weights.Sum() : SampledTime.Of(weights, RehearsedBatches, Read);
    }
}
