namespace Perenos.Text.Tokenization;

/// <summary>Rewrites text before it is cut into words.</summary>
internal abstract class Normalizer
{
    public abstract AlignedText Apply(AlignedText text);

    /// <summary>The rewritten text alone; overridden where that is cheaper.</summary>
    public virtual string Apply(string text) => Apply(new AlignedText(text)).Text;
}
