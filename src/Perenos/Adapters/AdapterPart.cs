using static TorchSharp.torch;

namespace Perenos.Adapters;

/// <summary>One piece of an adapter, at one place of the model.</summary>
internal abstract class AdapterPart : IDisposable
{
    /// <summary>Where it sits: the name of a layer, of a module, or of a slot.</summary>
    public abstract string Path { get; }

    /// <summary>What learns, by PEFT's name.</summary>
    public abstract IEnumerable<(string Name, Tensor Tensor)> Weights { get; }

    /// <summary>What PEFT keeps in the file; the caller disposes nothing.</summary>
    public virtual IEnumerable<(string Name, Tensor Tensor)> Saved => Weights;

    /// <summary>Whether weight decay leaves these alone: norms, biases, virtual tokens, whose place is not at 0.</summary>
    public virtual bool IsSpared => false;

    /// <summary>Why the piece cannot become part of the base's weights, or null.</summary>
    public virtual string? WhyNotMerged => null;

    public abstract void Attach();

    public abstract void Detach();

    /// <summary>Makes an attached piece part of the base's weights, whose bits are kept.</summary>
    public abstract void Merge();

    /// <summary>Gives the base its bits back and attaches the piece again.</summary>
    public abstract void Unmerge();

    /// <summary>Frees its tensors; it is detached or merged by then.</summary>
    public abstract void Dispose();
}
