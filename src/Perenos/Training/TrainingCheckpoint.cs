using Perenos.Checkpoints;
using Perenos.Runs;
using static TorchSharp.torch;

namespace Perenos.Training;

/// <summary>Where a run stands, beside its tensors.</summary>
public sealed record TrainingState
{
    /// <summary>Optimizer steps taken.</summary>
    public int Step { get; init; }

    /// <summary>Least validation loss so far.</summary>
    public double? BestLoss { get; init; }

    /// <summary>Step of the least validation loss.</summary>
    public int BestStep { get; init; }

    /// <summary>Validations since then.</summary>
    public int ValidationsWithoutGain { get; init; }

    /// <summary>Seconds spent in training.</summary>
    public double Seconds { get; init; }

    /// <summary>Tokens computed.</summary>
    public long Tokens { get; init; }
}

/// <summary>
/// A training state on disk, complete or absent: <c>weights.safetensors</c> (what learns), <c>optimizer.safetensors</c>, <c>state.json</c>.
/// Data order and dropout are functions of seed and step, so nothing else is needed to go on bit for bit.
/// </summary>
public static class TrainingCheckpoint
{
    private const string WeightsName = "weights.safetensors";
    private const string OptimizerName = "optimizer.safetensors";
    private const string StateName = "state.json";

    /// <summary>Saves into <paramref name="folder"/>, which appears when everything is on disk.</summary>
    public static void Save(string folder, Trainer trainer, TrainingState state) => AtomicFile.WriteFolder(folder, temporary =>
    {
        SaveWeights(temporary, trainer.Trainables);
        SafetensorsWriter.Write(Path.Combine(temporary, OptimizerName), trainer.State());
        ConfigFile.Write(Path.Combine(temporary, StateName), state);
    });

    /// <summary>Puts a saved state back.</summary>
    /// <exception cref="PerenosException">The checkpoint belongs to other trainable tensors, or is damaged.</exception>
    public static TrainingState Load(string folder, Trainer trainer)
    {
        var state = StateOf(folder);
        trainer.StandAt(state.Step);
        LoadWeights(folder, trainer.Trainables);
        Fill(Path.Combine(folder, OptimizerName), [.. trainer.State()]);
        return state;
    }

    /// <summary>Where the run stood, without its tensors.</summary>
    public static TrainingState StateOf(string folder) => ConfigFile.Read<TrainingState>(Path.Combine(folder, StateName));

    /// <summary>Saves only what learns: the best state so far.</summary>
    public static void SaveBest(string folder, IReadOnlyList<Trainable> trainables) =>
        AtomicFile.WriteFolder(folder, temporary => SaveWeights(temporary, trainables));

    /// <summary>Puts saved weights back.</summary>
    public static void LoadWeights(string folder, IReadOnlyList<Trainable> trainables) =>
        Fill(Path.Combine(folder, WeightsName), [.. trainables.Select(trainable => (trainable.Name, trainable.Tensor))]);

    private static void SaveWeights(string folder, IReadOnlyList<Trainable> trainables) =>
        SafetensorsWriter.Write(Path.Combine(folder, WeightsName), trainables.Select(trainable => (trainable.Name, trainable.Tensor)));

    // The very same names: a resumed run that silently trained something else would be worse than none.
    private static void Fill(string path, IReadOnlyList<(string Name, Tensor Tensor)> targets)
    {
        using var file = SafetensorsFile.Open(path);
        var names = targets.Select(target => target.Name).ToHashSet();
        var differing = file.Tensors.Keys.Where(name => !names.Contains(name)).Concat(names.Where(name => !file.Tensors.ContainsKey(name))).ToList();
        if (differing.Count > 0)
        {
            throw new PerenosException(
                $"{path} was written by a run with other trainable tensors: {string.Join(", ", differing.Take(4))}{(differing.Count > 4 ? " …" : "")}.",
                "Resume with the configuration that stands in the run's folder.");
        }

        using var quiet = no_grad();
        foreach (var (name, target) in targets)
        {
            using var tensor = file.Read(name);
            if (!tensor.shape.SequenceEqual(target.shape))
                throw new PerenosException($"{path}: {name} has another shape than in this run.", "Resume with the configuration that stands in the run's folder.");
            target.copy_(tensor);
        }
    }
}
