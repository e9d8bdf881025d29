using Perenos.Runs;
using Perenos.Runs.Config;

namespace Perenos.Recipes;

/// <summary>What transductive transfer knows of its target.</summary>
/// <param name="Path">Records of the target; answers in them are used for its test only.</param>
/// <param name="Text">Template of its text for further pre-training; none means the template of the prompt.</param>
/// <param name="Confidence">Least confidence of an answer that is learnt.</param>
public sealed record TransductiveTarget(string Path, string? Text, double Confidence);

/// <summary>
/// Transductive transfer: the same task in another domain or language; answers are known in the source only, of the target there is text. Three
/// stages: pre-training goes on with the target's text (Gururangan et al. 2020, https://arxiv.org/abs/2004.10964), the task is learnt from the
/// source, and the model learns from its own confident answers to the target's prompts.
/// </summary>
public static class Transductive
{
    /// <summary>The stages for a labelled source, described as an ordinary run, and a target.</summary>
    /// <exception cref="PerenosException">The source has no templates, or the method leaves nothing that could be merged.</exception>
    public static StagedConfig Of(RunConfig source, TransductiveTarget target)
    {
        if (source.Data is not { Prompt: { } prompt, Completion: not null })
            throw new PerenosException("Transductive transfer needs a labelled source.", "Give --prompt and --completion: templates that fit the source (--data) and the target (--target).");
        if (source.Method.VirtualTokenCount > 0)
            throw new PerenosException($"The stages of transductive transfer build on each other, and what {source.Method.Name} trains cannot become part of the weights.", "Choose --method lora or full.");
        // The source's own test is of no interest: all stages are measured on the target's.
        return new StagedConfig
        {
            Name = source.Name,
            Start = source.Start,
            Data = source.Data with { Path = target.Path, Validation = null },
            Stages =
            [
                new StageConfig
                {
                    Name = "target-text",
                    // The target's shares: what is its test is no text to learn either.
                    Data = source.Data with { Path = target.Path, Text = target.Text ?? prompt, Prompt = null, Completion = null, Validation = null, Test = null },
                    Method = source.Method,
                    Training = source.Training,
                    Retention = source.Retention,
                },
                new StageConfig { Name = "source", Data = source.Data with { Test = null }, Method = source.Method, Training = source.Training, Retention = source.Retention },
                new StageConfig
                {
                    Name = "self-training",
                    Data = source.Data with { Test = null },
                    SelfTraining = new SelfTrainingConfig { Path = target.Path, Prompt = prompt, Confidence = target.Confidence },
                    Method = source.Method,
                    Training = source.Training,
                    Retention = source.Retention,
                },
            ],
            Evaluation = source.Evaluation,
            Seed = source.Seed,
            Dtype = source.Dtype,
            Tensorboard = source.Tensorboard,
        };
    }
}
