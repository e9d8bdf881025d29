using System.Globalization;
using Perenos.Generation;
using Perenos.Models;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Text.Data;
using Perenos.Training;

namespace Perenos.Recipes;

/// <summary>What is learnt beside the data: other data, and what shall be kept, given as text or written by the frozen base.</summary>
internal static class Mixture
{
    private const int TextsOfARound = 32;

    // A base that ends every text at once would never give tokens enough.
    private const int MostEmptyRounds = 10;

    /// <summary>Every source with so many learnt tokens for an epoch that it has its share of all; replay comes last.</summary>
    /// <exception cref="PerenosException">There is no text to be had.</exception>
    public static IReadOnlyList<MixedExamples> Of(RunConfig config, Pretrained pretrained, ExampleRenderer renderer, RunData data, DataReading reading)
    {
        double shares = Shares(config).Sum(source => source.Share);
        long Wanted(double share) => (long)Math.Ceiling(data.Labels.LearntTokens * share / (1 - shares));
        MixedExamples Source(string name, IReadOnlyList<Example> examples, double share) => new(name, examples, share, Wanted(share), config.Seed);
        List<MixedExamples> sources = [.. data.Mix.Select(mix => Source(mix.Path, mix.Examples, mix.Share))];
        if (config.Retention.Replay is not { } replay)
            return sources;
        int longest = (int)Math.Min(config.Data.MaximumLength, pretrained.Model.Config.MaximumLength);
        sources.Add(replay switch
        {
            TextReplay text => Source(text.Path, Given(text, config, renderer, longest, data, config.Data.Streaming == true ? reading : null), text.Share),
            // Text enough for the whole run: a few that come again and again are learnt by heart, and keep nothing.
            GeneratedReplay generated => Source("written by the base", Generated(generated, pretrained, longest, config.Seed, (long)Math.Ceiling(Wanted(replay.Share) * Epochs(config, data))), replay.Share),
            _ => throw new InvalidOperationException($"Unknown replay {replay}."),
        });
        return sources;
    }

    /// <summary>Refuses shares that leave nothing for the data, before anything is read.</summary>
    public static void Check(RunConfig config)
    {
        var shares = Shares(config).ToList();
        if (shares.FirstOrDefault(source => !(source.Share is > 0 and < 1)) is { Path: not null } wrong)
            throw new PerenosException(string.Create(CultureInfo.InvariantCulture, $"data.mix: the share of {wrong.Path} is {wrong.Share}."), "It is a share of all learnt tokens: more than 0, less than 1, such as 0.2.");
        if (shares.Sum(source => source.Share) >= 1)
        {
            throw new PerenosException(
                string.Create(CultureInfo.InvariantCulture, $"The shares of what is mixed in leave nothing for {config.Data.Path}: {string.Join(" + ", shares.Select(source => string.Create(CultureInfo.InvariantCulture, $"{source.Path} {source.Share}")))}."),
                "Together they must be less than 1; the data have the rest.");
        }
    }

    private static IEnumerable<(string Path, double Share)> Shares(RunConfig config) =>
        [.. (config.Data.Mix ?? []).Select(mix => (mix.Path, mix.Share)), .. config.Retention.Replay is { } replay ? [("retention.replay", replay.Share)] : Array.Empty<(string, double)>()];

    private static double Epochs(RunConfig config, RunData data)
    {
        var order = new BatchOrder(data.Train, config.Training, config.Seed);
        return (double)order.TotalSteps / order.StepsPerEpoch;
    }

    private static IReadOnlyList<Example> Given(TextReplay settings, RunConfig config, ExampleRenderer renderer, int longest, RunData data, DataReading? streamed)
    {
        // As its keys say: the data's templates are meant for another task.
        return MixedData.Read(new MixConfig { Path = settings.Path, Share = settings.Share }, config with { Data = new DataConfig { Path = settings.Path } }, renderer, longest, data.HeldOut, streamed).Examples;
    }

    private static List<Example> Generated(GeneratedReplay settings, Pretrained pretrained, int longest, ulong seed, long tokens)
    {
        List<Example> written = [];
        int start = FineTune.Prefix(pretrained)
            ?? throw new PerenosException("The model names no token that begins a text, so it cannot write one for replay.", "Use replay of kind text.");
        for (int round = 0, empty = 0; tokens > 0; round++)
        {
            var generation = new GenerationConfig { MaxNewTokens = Math.Min(settings.MaxNewTokens, longest - 2), Temperature = settings.Temperature, Seed = Seed.Of(seed, "self-replay", (ulong)round) };
            var texts = new TextGenerator(pretrained.Model, generation, pretrained.StopTokens).Generate([.. Enumerable.Repeat(new[] { start }, TextsOfARound)]);
            empty = texts.All(text => text.Length == 0) ? empty + 1 : 0;
            if (empty == MostEmptyRounds)
                throw new PerenosException("The base ends every text before its first token, so it cannot write one for replay.", "Use replay of kind text.");
            foreach (var (row, text) in texts.Index().Where(text => text.Item.Length > 0))
            {
                // A text that ended by itself ends here too; one that ran into the limit is learnt as far as it goes.
                int[] ids = text.Length < generation.MaxNewTokens ? [start, .. text, pretrained.StopTokens[0]] : [start, .. text];
                written.Add(new Example(ids, [.. ids.Select((_, place) => place > 0)], $"written by the base, {round * TextsOfARound + row + 1}") { IsText = true });
                tokens -= ids.Length - 1;
            }
        }

        return written;
    }
}
