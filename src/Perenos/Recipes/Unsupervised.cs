using Perenos.Runs;
using Perenos.Runs.Config;

namespace Perenos.Recipes;

/// <summary>
/// Unsupervised transfer: there are no answers, only text of the target, and pre-training goes on with it. The rate rises again and falls to a
/// tenth, and some of what the base knows is learnt beside it (Ibrahim et al. 2024, https://arxiv.org/abs/2403.08763); here the base writes that text itself.
/// </summary>
public static class Unsupervised
{
    /// <summary>What learns where the user chooses nothing.</summary>
    public static MethodConfig Method => new FullConfig();

    /// <summary>The loop where the user chooses nothing: one pass, since text comes again only where it is short.</summary>
    public static TrainingConfig Training => new() { Epochs = 1, FinalRateShare = 0.1 };

    /// <summary>What keeps the base's knowledge where the user chooses nothing.</summary>
    public static RetentionConfig Retention => new() { Replay = new GeneratedReplay() };

    /// <summary>The same run, once it is certain that it reads plain text.</summary>
    /// <exception cref="PerenosException">The records have prompts and answers.</exception>
    public static RunConfig Checked(RunConfig config) => RunData.IsPlainText(config.Data)
        ? config
        : throw new PerenosException($"The records of {config.Data.Path} have answers, and unsupervised transfer reads plain text.", "Give --text \"{field}\", or choose --mode inductive.");
}
