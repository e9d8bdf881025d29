namespace Perenos.Recipes;

/// <summary>How a check ended.</summary>
public enum CheckVerdict
{
    /// <summary>Measured and within what is allowed.</summary>
    Passed,

    /// <summary>Beyond what is allowed, or refused with an error.</summary>
    Failed,

    /// <summary>Not possible here; the note says why.</summary>
    Skipped,
}

/// <summary>One thing that must make no difference, and how much it made.</summary>
/// <param name="Name">What was checked.</param>
/// <param name="Measured">Difference, in the unit of <paramref name="Unit"/>.</param>
/// <param name="Allowed">Largest difference that passes.</param>
/// <param name="Unit">Relative to the spread of logits or gradients, or a count.</param>
/// <param name="Verdict">How it ended.</param>
/// <param name="Note">What it means, or why it failed or was skipped.</param>
public sealed record SelfTestCheck(string Name, double? Measured, double? Allowed, string Unit, CheckVerdict Verdict, string Note)
{
    internal static SelfTestCheck Judged(double measured, double allowed, string unit, string note) =>
        new("", measured, allowed, unit, measured <= allowed ? CheckVerdict.Passed : CheckVerdict.Failed, note);

    internal static SelfTestCheck Skipped(string why) => new("", null, null, "", CheckVerdict.Skipped, why);
}
