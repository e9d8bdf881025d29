using Perenos.Runs;
using Perenos.Runs.Config;

namespace Perenos.Recipes;

/// <summary>Inductive transfer: the target is another task, and its answers are known (Pan and Yang 2010, https://doi.org/10.1109/TKDE.2009.191). The ordinary run.</summary>
public static class Inductive
{
    /// <summary>The same run, once it is certain that its records have answers.</summary>
    /// <exception cref="PerenosException">They are plain text.</exception>
    public static RunConfig Checked(RunConfig config) => RunData.IsPlainText(config.Data)
        ? throw new PerenosException($"{config.Data.Path} is plain text, and inductive transfer learns from answers.", "Give --prompt and --completion, or choose --mode unsupervised.")
        : config;
}
