namespace Perenos.Runs;

/// <summary>A mistake that the user can mend: what happened and what was expected, then what to try.</summary>
public sealed class PerenosException : Exception
{
    /// <summary>Says what is wrong in one sentence, and what to do about it in another.</summary>
    public PerenosException(string message, string hint, Exception? inner = null)
        : base(message, inner) => Hint = hint;

    /// <summary>What to try, printed on a second line.</summary>
    public string Hint { get; }
}
