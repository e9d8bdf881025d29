using System.Text;

namespace Perenos.Text.Tokenization;

/// <summary>Turns tokens back into pieces of text; the pieces joined are the text.</summary>
internal abstract class TokenDecoder
{
    public abstract List<string> Apply(List<string> tokens);

    /// <summary>How many of the first tokens have a text that no later token can change.</summary>
    public virtual int Settled(IReadOnlyList<string> tokens) => tokens.Count;

    /// <summary>Whether the text of a token depends on all before it, not on its neighbours alone.</summary>
    public virtual bool LooksFarBack => false;
}

/// <summary>Reads tokens in the byte alphabet as bytes, and these as UTF-8.</summary>
internal sealed class ByteLevelDecoder : TokenDecoder
{
    public override List<string> Apply(List<string> tokens)
    {
        var bytes = new List<byte>();
        foreach (string token in tokens)
            ByteAlphabet.AppendBytes(token, bytes);
        return [Encoding.UTF8.GetString(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(bytes))];
    }
}

/// <summary>Several decoders, one behind the other.</summary>
internal sealed class DecoderSequence(IReadOnlyList<TokenDecoder> steps) : TokenDecoder
{
    public IReadOnlyList<TokenDecoder> Steps { get; } = steps;

    public override List<string> Apply(List<string> tokens) =>
        Steps.Aggregate(tokens, (current, step) => step.Apply(current));
}
