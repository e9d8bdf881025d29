using Perenos.Generation;
using Perenos.Models;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Text.Data;

namespace Perenos.Recipes;

/// <summary>Examples that are learnt beside the data so that the model keeps what they hold: given text, or text of the frozen base.</summary>
internal static class Replay
{
    // A base that ends every text at once would never give tokens enough.
    private const int MostRounds = 200;

    /// <summary>So many examples that their learnt tokens are the wanted share of all; none where none are asked for.</summary>
    /// <exception cref="PerenosException">There is no text to be had.</exception>
    public static IReadOnlyList<Example> Of(RunConfig config, Pretrained pretrained, ExampleRenderer renderer, RunData data)
    {
        if (config.Retention.Replay is not { } settings)
            return [];
        long wanted = (long)Math.Ceiling(data.Labels.LearntTokens * settings.Share / (1 - settings.Share));
        int longest = (int)Math.Min(config.Data.MaximumLength, pretrained.Model.Config.MaximumLength);
        return settings switch
        {
            TextReplay text => Given(text, config, renderer, longest, wanted),
            GeneratedReplay generated => Generated(generated, pretrained, longest, wanted, config.Seed),
            _ => throw new InvalidOperationException($"Unknown replay {settings}."),
        };
    }

    private static List<Example> Given(TextReplay settings, RunConfig config, ExampleRenderer renderer, int longest, long wanted)
    {
        // Forgetting is measured on the reference: what is trained on would say nothing about it.
        var measured = ReferenceText.Read(config.Evaluation.Reference).ToHashSet();
        var records = RunData.ReadRecords(new DataConfig { Path = settings.Path }, settings.Path).Records;
        var limit = new LengthLimit(longest);
        List<Example> pool = [.. limit.Apply(records.Where(record => !measured.Contains(record.PromptText)).Select(renderer.Render)).Where(example => example.LearntTokens > 0)];
        if (pool.Count == 0)
            throw new PerenosException($"{settings.Path} holds no text for replay beside what forgetting is measured on.", "Give other text than evaluation.reference.");
        List<Example> chosen = [];
        long tokens = 0;
        // Where the text is short it comes again, in another order.
        for (ulong round = 0; tokens < wanted; round++)
        {
            foreach (int index in Seed.Permutation(Seed.Of(config.Seed, "replay", round), "texts", pool.Count))
            {
                if (tokens >= wanted)
                    break;
                chosen.Add(pool[index]);
                tokens += pool[index].LearntTokens;
            }
        }

        return chosen;
    }

    private static List<Example> Generated(GeneratedReplay settings, Pretrained pretrained, int longest, long wanted, ulong seed)
    {
        const int rows = 32;
        int start = FineTune.Prefix(pretrained)
            ?? throw new PerenosException("The model names no token that begins a text, so it cannot write one for replay.", "Use replay of kind text.");
        List<Example> written = [];
        long tokens = 0;
        for (int round = 0; tokens < wanted; round++)
        {
            if (round == MostRounds)
                throw new PerenosException($"The base wrote {tokens:N0} of the {wanted:N0} tokens that replay asks for, and then nothing.", "Use replay of kind text.");
            var generation = new GenerationConfig { MaxNewTokens = Math.Min(settings.MaxNewTokens, longest - 2), Temperature = settings.Temperature, Seed = Seed.Of(seed, "self-replay", (ulong)round) };
            foreach (int[] text in new TextGenerator(pretrained.Model, generation, pretrained.StopTokens).Generate([.. Enumerable.Repeat(new[] { start }, rows)]))
            {
                if (text.Length == 0 || tokens >= wanted)
                    continue;
                // A text that ended by itself ends here too; one that ran into the limit is learnt as far as it goes.
                int[] ids = text.Length < generation.MaxNewTokens ? [start, .. text, pretrained.StopTokens[0]] : [start, .. text];
                written.Add(new Example(ids, [.. ids.Select((_, place) => place > 0)], $"written by the base, {written.Count + 1}") { IsText = true });
                tokens += ids.Length - 1;
            }
        }

        return written;
    }
}
