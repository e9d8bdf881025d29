using Perenos.Layers;
using Perenos.Runs;
using TorchSharp;
using static TorchSharp.torch;

namespace Perenos.Adapters;

/// <summary>One layer's share of a LoRA: which layer, and how strong.</summary>
/// <param name="Target">The layer that is adapted.</param>
/// <param name="Rank">Rank of its update.</param>
/// <param name="Scale">Factor of the update: alpha / rank, or alpha / √rank.</param>
public sealed record LoraPlacement(Projection Target, int Rank, double Scale);

/// <summary>
/// Low-rank adaptation: y = W x + s · B A x with W frozen (Hu et al. 2021, https://arxiv.org/abs/2106.09685).
/// A starts as PEFT's (uniform within ±1/√inputs), B at 0, so the model is unchanged at the start.
/// </summary>
public sealed class Lora : IDisposable
{
    private readonly List<LoraLayer> _layers = [];
    private readonly OrderedDictionary<string, Tensor> _weights = [];
    private readonly LoraDropout _dropout;

    private Lora(IEnumerable<LoraPlacement> placements, double dropout, Func<LoraPlacement, (Tensor Down, Tensor Up)> create)
    {
        _dropout = new LoraDropout(dropout);
        try
        {
            foreach (var placement in placements)
            {
                using var scope = NewDisposeScope();
                var (down, up) = create(placement);
                var layer = new LoraLayer(placement, down.DetachFromDisposeScope(), up.DetachFromDisposeScope(), _dropout);
                _layers.Add(layer);
                _weights.Add($"{placement.Target.Path}.lora_A.weight", layer.Down);
                _weights.Add($"{placement.Target.Path}.lora_B.weight", layer.Up);
            }
        }
        catch
        {
            foreach (var layer in _layers)
                layer.Dispose();
            throw;
        }

        // All or nothing: a model with half an adapter would be neither the base nor the adapted one.
        Attach();
    }

    /// <summary>A [rank, inputs] and B [outputs, rank] of every adapted layer, float32, by name (PEFT's less its prefix).</summary>
    public IReadOnlyDictionary<string, Tensor> Weights => _weights;

    /// <summary>Where the updates sit.</summary>
    public IEnumerable<LoraPlacement> Placements => _layers.Select(layer => layer.Placement);

    /// <summary>A fresh LoRA, attached: training it starts from the model as it is.</summary>
    public static Lora Start(IEnumerable<LoraPlacement> placements, double dropout, ulong seed) => new(placements, dropout, placement =>
    {
        using var scope = NewDisposeScope();
        var (target, device) = (placement.Target, placement.Target.Weight.device);
        using var generator = new Generator(Seed.Of(seed, target.Path));
        // kaiming_uniform(a = √5), as in https://github.com/huggingface/peft/blob/v0.15.0/src/peft/tuners/lora/layer.py#L160
        double bound = 1 / Math.Sqrt(target.Inputs);
        var down = rand([placement.Rank, target.Inputs], generator: generator).Scale(2 * bound).Increase(-bound);
        return (down.to(device).MoveToOuterDisposeScope(), zeros([target.Outputs, placement.Rank], device: device).MoveToOuterDisposeScope());
    });

    /// <summary>A trained LoRA, attached; takes ownership of the tensors that <paramref name="read"/> gives.</summary>
    public static Lora Restore(IEnumerable<LoraPlacement> placements, double dropout, Func<LoraPlacement, (Tensor Down, Tensor Up)> read) =>
        new(placements, dropout, read);

    /// <summary>Switches dropout on for one step of training, with its own named seed; null switches it off.</summary>
    public void DropFor(ulong? seed) => _dropout.Renew(seed);

    /// <summary>Adds every update to its weight and takes the adapter off. <see cref="Unmerge"/> gives back the very bits.</summary>
    /// <exception cref="PerenosException">The head is adapted and shares its weight with the embedding, which the update would change too.</exception>
    public void Merge()
    {
        if (_layers.FirstOrDefault(layer => layer.Placement.Target.IsTied) is { Placement.Target: var tied })
        {
            throw new PerenosException(
                $"{tied.Path} shares its weight with the token embedding, so its update cannot be merged: the embedding would change too.",
                "Keep the adapter beside the model, or train one without the head.");
        }

        foreach (var layer in _layers)
            layer.Merge();
    }

    /// <summary>Restores the weights from before <see cref="Merge"/> and attaches the updates again.</summary>
    public void Unmerge()
    {
        foreach (var layer in _layers)
            layer.Unmerge();
    }

    /// <summary>Takes the updates off their layers: the model is the base again.</summary>
    public void Detach()
    {
        foreach (var layer in _layers)
            layer.Placement.Target.Adapter = null;
    }

    /// <summary>Attaches the updates again after <see cref="Detach"/>.</summary>
    public void Attach()
    {
        foreach (var layer in _layers)
            layer.Placement.Target.Adapter = layer;
    }

    /// <summary>Detaches and frees the updates; merged weights stay merged.</summary>
    public void Dispose()
    {
        Detach();
        foreach (var layer in _layers)
            layer.Dispose();
        _dropout.Dispose();
    }
}

/// <summary>The update of one layer.</summary>
internal sealed class LoraLayer(LoraPlacement placement, Tensor down, Tensor up, LoraDropout dropout) : IProjectionAdapter, IDisposable
{
    private Tensor? _original;

    public LoraPlacement Placement => placement;

    /// <summary>A, [rank, inputs].</summary>
    public Tensor Down => down;

    /// <summary>B, [outputs, rank].</summary>
    public Tensor Up => up;

    public Tensor Apply(Tensor input, Tensor output)
    {
        using var scope = NewDisposeScope();
        // The weights are kept in float32 and rounded to the input's type to compute, as under automatic mixed precision: a wide
        // copy of every input would have to be kept for backward.
        var narrow = nn.functional.linear(dropout.Apply(input), down.to(input.dtype)); // (…, rank)
        var flat = output.view(-1, output.shape[^1]);
        return flat.addmm(narrow.view(-1, narrow.shape[^1]), up.to(output.dtype).t(), beta: 1, alpha: (float)placement.Scale)
            .view(output.shape).MoveToOuterDisposeScope();
    }

    public void Merge()
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        var weight = placement.Target.Weight;
        _original = weight.clone().DetachFromDisposeScope();
        var update = up.matmul(down).Times(placement.Scale); // (outputs, inputs)
        if (placement.Target.IsTransposed)
            update = update.t();
        weight.copy_(weight.to(ScalarType.Float32).Plus(update).to(weight.dtype));
        placement.Target.Adapter = null;
    }

    public void Unmerge()
    {
        using var quiet = no_grad();
        placement.Target.Weight.copy_(_original ?? throw new InvalidOperationException("Nothing was merged."));
        _original.Dispose();
        _original = null;
        placement.Target.Adapter = this;
    }

    public void Dispose()
    {
        down.Dispose();
        up.Dispose();
        _original?.Dispose();
    }
}

/// <summary>Dropout of the inputs of all updates; off unless a step has named its seed.</summary>
internal sealed class LoraDropout(double chance) : IDisposable
{
    private Generator? _generator;

    public void Renew(ulong? seed)
    {
        _generator?.Dispose();
        _generator = seed is { } value && chance > 0 ? new Generator(value) : null;
    }

    public Tensor Apply(Tensor input)
    {
        if (_generator is null)
            return input;
        using var scope = NewDisposeScope();
        using var threshold = chance.ToScalar();
        var kept = rand(input.shape, generator: _generator).ge(threshold).to(input.device);
        return input.mul(kept).Times(1 / (1 - chance)).MoveToOuterDisposeScope();
    }

    public void Dispose() => _generator?.Dispose();
}
