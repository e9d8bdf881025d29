using Perenos.Generation;
using Perenos.Models;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Text.Data;
using Perenos.Training;

namespace Perenos.Recipes;

/// <summary>Examples that are learnt beside the data so that the model keeps what they hold: given text, or text of the frozen base.</summary>
internal static class Replay
{
    private const int TextsOfARound = 32;

    // A base that ends every text at once would never give tokens enough.
    private const int MostEmptyRounds = 10;

    /// <summary>For each epoch so many examples that their learnt tokens are the wanted share of all; none where none are asked for.</summary>
    /// <exception cref="PerenosException">There is no text to be had.</exception>
    public static IReadOnlyList<IReadOnlyList<Example>> Of(RunConfig config, Pretrained pretrained, ExampleRenderer renderer, RunData data)
    {
        if (config.Retention.Replay is not { } settings)
            return [];
        // Fresh text each epoch: a few texts that come again and again are learnt by heart, and keep nothing.
        int epochs = new BatchOrder(data.Train, config.Training, config.Seed).Epochs;
        long wanted = (long)Math.Ceiling(data.Labels.LearntTokens * settings.Share / (1 - settings.Share));
        int longest = (int)Math.Min(config.Data.MaximumLength, pretrained.Model.Config.MaximumLength);
        return settings switch
        {
            TextReplay text => Parts(Given(text, config, renderer, longest), wanted, epochs),
            GeneratedReplay generated => Parts(Generated(generated, pretrained, longest, config.Seed), wanted, epochs),
            _ => throw new InvalidOperationException($"Unknown replay {settings}."),
        };
    }

    // Takes texts one after the other until each epoch has its tokens.
    private static List<IReadOnlyList<Example>> Parts(IEnumerable<Example> texts, long wanted, int epochs)
    {
        List<IReadOnlyList<Example>> parts = [];
        List<Example> part = [];
        long tokens = 0;
        foreach (var text in texts)
        {
            part.Add(text);
            tokens += text.LearntTokens;
            if (tokens < wanted)
                continue;
            parts.Add(part);
            if (parts.Count == epochs)
                break;
            (part, tokens) = ([], 0);
        }

        return parts;
    }

    // Without end: where the text is short it comes again, in another order.
    private static IEnumerable<Example> Given(TextReplay settings, RunConfig config, ExampleRenderer renderer, int longest)
    {
        // Forgetting is measured on the reference: what is trained on would say nothing about it.
        var measured = ReferenceText.Read(config.Evaluation.Reference).ToHashSet();
        var records = RunData.ReadRecords(new DataConfig { Path = settings.Path }, settings.Path).Records;
        var limit = new LengthLimit(longest);
        List<Example> pool = [.. limit.Apply(records.Where(record => !measured.Contains(record.PromptText)).Select(renderer.Render)).Where(example => example.LearntTokens > 0)];
        if (pool.Count == 0)
            throw new PerenosException($"{settings.Path} holds no text for replay beside what forgetting is measured on.", "Give other text than evaluation.reference.");
        for (ulong round = 0; ; round++)
        {
            foreach (int index in Seed.Permutation(Seed.Of(config.Seed, "replay", round), "texts", pool.Count))
                yield return pool[index];
        }
    }

    // Without end, as long as the base writes anything.
    private static IEnumerable<Example> Generated(GeneratedReplay settings, Pretrained pretrained, int longest, ulong seed)
    {
        int start = FineTune.Prefix(pretrained)
            ?? throw new PerenosException("The model names no token that begins a text, so it cannot write one for replay.", "Use replay of kind text.");
        for (int round = 0, empty = 0; empty < MostEmptyRounds; round++)
        {
            var generation = new GenerationConfig { MaxNewTokens = Math.Min(settings.MaxNewTokens, longest - 2), Temperature = settings.Temperature, Seed = Seed.Of(seed, "self-replay", (ulong)round) };
            var texts = new TextGenerator(pretrained.Model, generation, pretrained.StopTokens).Generate([.. Enumerable.Repeat(new[] { start }, TextsOfARound)]);
            empty = texts.All(text => text.Length == 0) ? empty + 1 : 0;
            foreach (var (row, text) in texts.Index().Where(text => text.Item.Length > 0))
            {
                // A text that ended by itself ends here too; one that ran into the limit is learnt as far as it goes.
                int[] ids = text.Length < generation.MaxNewTokens ? [start, .. text, pretrained.StopTokens[0]] : [start, .. text];
                yield return new Example(ids, [.. ids.Select((_, place) => place > 0)], $"written by the base, {round * TextsOfARound + row + 1}") { IsText = true };
            }
        }

        throw new PerenosException("The base ends every text before its first token, so it cannot write one for replay.", "Use replay of kind text.");
    }
}
