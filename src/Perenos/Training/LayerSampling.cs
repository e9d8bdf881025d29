using Perenos.Runs;
using Perenos.Runs.Config;

namespace Perenos.Training;

/// <summary>
/// LISA (Pan et al. 2024, https://arxiv.org/abs/2403.17919, algorithm 1): of the layers a few learn at once, drawn anew after a number
/// of steps; what lies beside the layers always learns. A function of seed and step, so that resuming replays nothing.
/// </summary>
/// <param name="settings">How many layers, for how long.</param>
/// <param name="layers">Layers of the model.</param>
/// <param name="seed">Seed of the draw.</param>
public sealed class LayerSampling(LisaConfig settings, int layers, ulong seed)
{
    /// <summary>First step of the stretch of steps with the same layers that a step lies in.</summary>
    public int StartOf(int step) => step - step % settings.SwitchEvery;

    /// <summary>The layers that learn in a step.</summary>
    public IReadOnlySet<int> At(int step) =>
        Seed.Permutation(seed, $"layers from step {StartOf(step)}", layers).Take(settings.ActiveLayers).ToHashSet();

    /// <summary>Whether a weight belongs to a layer, so that it learns only when the layer is drawn.</summary>
    public static bool IsSampled(Trainable trainable) => LayerRates.LayerOf(trainable.Name) is not null;

    /// <summary>Whether a weight learns in a step.</summary>
    public bool Learns(Trainable trainable, int step) => LayerRates.LayerOf(trainable.Name) is not { } layer || At(step).Contains(layer);
}
