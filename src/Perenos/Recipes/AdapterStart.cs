using Perenos.Adapters;
using Perenos.Layers;
using Perenos.Models;
using Perenos.Runs;
using Perenos.Runs.Config;
using static TorchSharp.torch;

namespace Perenos.Recipes;

/// <summary>From the settings of a method to a fresh adapter: what the methods need of tokenizer, model and data is found here.</summary>
internal static class AdapterStart
{
    // Kinds of text beyond the specials at the front of most vocabularies.
    private const int MostVirtualTokens = 4096;

    /// <summary>The adapter, attached, or null where all weights learn.</summary>
    /// <exception cref="PerenosException">A setting is out of range or does not fit the model.</exception>
    public static Adapter? Of(RunConfig config, Pretrained pretrained, RunData data)
    {
        var parts = pretrained.Model.Parts;
        ulong seed = Seed.Of(config.Seed, "lora");
        if (config.Method.VirtualTokenCount is < 0 or > MostVirtualTokens || config.Method is PromptConfig or PrefixConfig or PTuningConfig && config.Method.VirtualTokenCount == 0)
            throw new PerenosException($"method.virtual_tokens = {config.Method.VirtualTokenCount} is out of range.", $"Use 1 to {MostVirtualTokens:N0}; 20 to 100 are common.");
        // Rows that nobody has trained yet learn beside the update.
        IReadOnlyList<int> added = [.. pretrained.AddedVocabulary?.Tokens.Select(token => token.Id) ?? []];
        return config.Method switch
        {
            { ChangesBase: true } => null,
            LoraConfig lora => Lora.Start(parts, lora with { TrainableTokens = lora.TrainableTokens ?? added }, seed),
            DoraConfig dora => Dora.Start(parts, dora, added, seed),
            Ia3Config ia3 => Ia3.Start(parts, ia3, seed),
            BiasConfig bias => TunedBiases.Start(parts, bias, seed),
            NormConfig norm => TunedNorms.Start(parts, norm, seed),
            PromptConfig prompt => StartPrompt(prompt, pretrained, seed),
            PTuningConfig encoded => PTuning.Start(parts, encoded, seed),
            PrefixConfig { ProjectionSize: { } size } prefix => PrefixTuning.StartProjected(parts, prefix.VirtualTokens, Positive(size), seed),
            PrefixConfig prefix => StartPrefix(prefix, pretrained, data),
            _ => throw new InvalidOperationException($"Unknown method {config.Method}."),
        };
    }

    /// <summary>The adapter that stays attached and learns nothing, or null where the start names none.</summary>
    /// <exception cref="PerenosException">It does not fit the model, or cannot stay apart from its weights.</exception>
    public static Adapter? FrozenOf(RunConfig config, Pretrained pretrained)
    {
        if (config.Start is not PretrainedStart { Adapter: { } folder })
            return null;
        var adapter = OpenedAdapter.Open(folder, pretrained).Adapter;
        if (!adapter.Parts.Any(part => part is ExchangedWeight))
            return adapter;
        adapter.Dispose();
        throw new PerenosException($"{folder} holds weights that were trained in place and cannot stay beside the model.", "Merge it first: perenos merge.");
    }

    /// <summary>Root mean square of what virtual tokens start as.</summary>
    public static double ScaleOf(Adapter adapter)
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        return Math.Sqrt(adapter.Weights["prompt_embeddings"].square().mean().item<float>());
    }

    private static Adapter StartPrompt(PromptConfig settings, Pretrained pretrained, ulong seed)
    {
        var parts = pretrained.Model.Parts;
        if ((settings.Text is null ? 0 : 1) + (settings.From is null ? 0 : 1) + (settings.Labels.Count == 0 ? 0 : 1) > 1)
            throw new PerenosException("method.text, method.labels and method.from all say what the prompt starts from.", "Keep one of them.");
        if (settings.From is { } folder)
        {
            var opened = PeftFolder.Open(folder, parts);
            if (opened.Method == "PROMPT_TUNING" && parts.Prompt!.Count == settings.VirtualTokens)
                return opened;
            opened.Dispose();
            throw new PerenosException($"{folder} holds no prompt of {settings.VirtualTokens} virtual tokens.", "method.from names the folder of a trained prompt; set method.virtual_tokens to its length.");
        }

        if (settings.Labels.Count > 0)
            return PromptTuning.Start(parts, Labels(settings, pretrained, seed), seed);
        var tokens = settings.Text is null
            ? Sampled(pretrained, settings.VirtualTokens, seed)
            : PromptTuning.Fit(Encoded(settings.Text, "method.text", pretrained), settings.VirtualTokens);
        return PromptTuning.Start(parts, tokens, seed);
    }

    // A vector for each label; what is left starts from the vocabulary (Lester et al. 2021, section 3.2).
    private static IReadOnlyList<IReadOnlyList<int>> Labels(PromptConfig settings, Pretrained pretrained, ulong seed)
    {
        if (settings.Labels.Count > settings.VirtualTokens)
            throw new PerenosException($"method.labels names {settings.Labels.Count} labels for {settings.VirtualTokens} virtual tokens.", "Each label starts one: use at least as many virtual tokens.");
        return [.. settings.Labels.Select(label => Encoded(label, "method.labels", pretrained)),
            .. Sampled(pretrained, settings.VirtualTokens - settings.Labels.Count, seed).Select(token => (IReadOnlyList<int>)[token])];
    }

    private static IReadOnlyList<int> Sampled(Pretrained pretrained, int count, ulong seed) => PromptTuning.Sample(pretrained.Tokenizer.VocabularySize, count, seed);

    // Keys and values of a real text, from its first token on: where attention has learnt to look.
    private static Adapter StartPrefix(PrefixConfig settings, Pretrained pretrained, RunData data)
    {
        var model = pretrained.Model;
        IReadOnlyList<int> tokens = settings.Text is null ? [.. data.Train.SelectMany(example => example.Ids).Take(settings.VirtualTokens)] : Encoded(settings.Text, "method.text", pretrained);
        long[] ids = [.. PromptTuning.Fit(tokens, settings.VirtualTokens).Select(token => (long)token)];
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        using var cache = new KeyValueCache(model.Layers.Count, ids.Length);
        model.Hidden(tensor(ids, [1, ids.Length], device: model.Device), cache: cache);
        return PrefixTuning.Start(model.Parts, stack(Enumerable.Range(0, model.Layers.Count).SelectMany(layer => new[] { cache.Keys(layer), cache.Values(layer) }).ToArray()));
    }

    private static int[] Encoded(string text, string key, Pretrained pretrained) => pretrained.Tokenizer.Encode(text) is { Length: > 0 } tokens
        ? tokens
        : throw new PerenosException($"{key} holds no token.", "Give the words that the virtual tokens start from.");

    private static int Positive(int size) =>
        size > 0 ? size : throw new PerenosException($"method.projection_size = {size} is out of range.", "Use 1 or more; the model's width is common.");
}
