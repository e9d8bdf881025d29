using System.Text.Json.Nodes;
using Perenos.Runs;
using static TorchSharp.torch;

namespace Perenos.Adapters;

/// <summary>
/// A small trained addition to a frozen model: pieces at slots of its layers. Attached, it changes what the model computes; taken
/// off, it leaves the base as it was, bit for bit. Which method it is stands in its configuration.
/// </summary>
public sealed class Adapter : IDisposable
{
    private readonly IReadOnlyList<AdapterPart> _parts;
    private readonly UpdateDropout? _dropout;
    private readonly Func<string, bool> _trains;
    private bool _isAttached;
    private bool _isMerged;

    /// <summary>Takes ownership of the parts and attaches them.</summary>
    /// <param name="config">What PEFT's <c>adapter_config.json</c> says, less the base.</param>
    /// <param name="parts">The pieces.</param>
    /// <param name="dropout">Dropout that they share, if they have one.</param>
    /// <param name="trains">Which of their weights learn; all by default.</param>
    internal Adapter(JsonObject config, IReadOnlyList<AdapterPart> parts, UpdateDropout? dropout, Func<string, bool>? trains)
    {
        (Config, _parts, _dropout, _trains) = (config, parts, dropout, trains ?? (_ => true));
        Attach();
    }

    /// <summary>What learns, by the name that PEFT gives it on disk. The tensors of an attached adapter; float32 where the method allows.</summary>
    public IReadOnlyDictionary<string, Tensor> Weights => new OrderedDictionary<string, Tensor>(
        _parts.SelectMany(part => part.Weights).Where(weight => _trains(weight.Name)).Select(weight => new KeyValuePair<string, Tensor>(weight.Name, weight.Tensor)));

    /// <summary>Names of the layers, modules and slots that it sits at.</summary>
    public IReadOnlyList<string> Paths => [.. _parts.Select(part => part.Path).Distinct()];

    /// <summary>The method as PEFT names it, such as <c>LORA</c>.</summary>
    public string Method => Config["peft_type"]!.ToString();

    internal JsonObject Config { get; }

    internal IReadOnlyList<AdapterPart> Parts => _parts;

    /// <summary>What PEFT keeps in the file, by name.</summary>
    internal IEnumerable<(string Name, Tensor Tensor)> Saved => _parts.SelectMany(part => part.Saved);

    /// <summary>Names of weights that weight decay leaves alone.</summary>
    internal IReadOnlySet<string> SparedWeights => _parts.Where(part => part.IsSpared).SelectMany(part => part.Weights).Select(weight => weight.Name).ToHashSet();

    /// <summary>Switches dropout on for one step of training, with its own named seed; null switches it off.</summary>
    public void DropFor(ulong? seed) => _dropout?.Renew(seed);

    /// <summary>Attaches the adapter again after <see cref="Detach"/>, on top of any others.</summary>
    public void Attach()
    {
        if (_isAttached || _isMerged)
            return;
        foreach (var part in _parts)
            part.Attach();
        _isAttached = true;
    }

    /// <summary>Takes the adapter off: the model computes as without it.</summary>
    public void Detach()
    {
        if (!_isAttached)
            return;
        foreach (var part in _parts.Reverse())
            part.Detach();
        _isAttached = false;
    }

    /// <summary>Makes the adapter part of the base's weights and takes it off. <see cref="Unmerge"/> gives back the very bits.</summary>
    /// <exception cref="PerenosException">The method cannot be merged, or not into this model.</exception>
    public void Merge()
    {
        if (_parts.FirstOrDefault(part => part.WhyNotMerged is not null) is { } refused)
            throw new PerenosException($"{refused.Path}: {refused.WhyNotMerged}, so the adapter cannot be merged.", "Keep the adapter beside the model.");
        if (_isMerged)
            return;
        Attach();
        foreach (var part in _parts)
            part.Merge();
        (_isAttached, _isMerged) = (false, true);
    }

    /// <summary>Restores the weights from before <see cref="Merge"/> and attaches the adapter again.</summary>
    public void Unmerge()
    {
        if (!_isMerged)
            return;
        foreach (var part in _parts.Reverse())
            part.Unmerge();
        (_isAttached, _isMerged) = (true, false);
    }

    /// <summary>Detaches and frees the adapter; merged weights stay merged.</summary>
    public void Dispose()
    {
        Detach();
        foreach (var part in _parts)
            part.Dispose();
        _dropout?.Dispose();
    }
}
