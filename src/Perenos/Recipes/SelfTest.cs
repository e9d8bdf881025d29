using Perenos.Adapters;
using Perenos.Layers;
using Perenos.Models;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Text.Data;
using Perenos.Text.Templates;
using Perenos.Training;
using static TorchSharp.torch;

namespace Perenos.Recipes;

/// <summary>
/// Asks a model, on its real weights, whether what must make no difference makes none: padding, batch size, cache, accumulation,
/// merging, saving; and whether its tokenizer and template keep what they are given.
/// </summary>
public sealed class SelfTest
{
    private const int MostTokens = 32;
    private const int AdapterSeed = 17;

    // Letters with accents, code with indents and tabs, runs of blanks and lines, digits, signs beyond the basic plane.
    private static readonly string[] Texts =
    [
        "The ferry left at six, and by noon the harbour was quiet again.",
        "Nuageux avec éclaircies; vent d'ouest de 20 à 40 km/h.",
        "def area(r):\n    if r < 0:\n\t\treturn None\n    return 3.14159 * r ** 2\n",
        "1,234.56 + 7 = 1,241.56   (about 0.1 %)\n\n\n  end",
        "Weather: 🌦️ — 気温は12度です。 Погода: снег.",
        "a",
    ];

    private readonly Pretrained _pretrained;
    private readonly Adapter? _adapter;
    private readonly int[][] _ids;

    private SelfTest(Pretrained pretrained, Adapter? adapter)
    {
        (_pretrained, _adapter) = (pretrained, adapter);
        int longest = (int)Math.Min(MostTokens, pretrained.Model.MaximumLength);
        _ids = [.. Texts.Select(text => pretrained.Tokenizer.Encode(text, addSpecialTokens: true)).Where(ids => ids.Length > 0).Select(ids => ids[..Math.Min(longest, ids.Length)])];
    }

    private CausalModel Model => _pretrained.Model;

    /// <summary>
    /// Rounding of the compute type through the layers: each rounds twice, independently of the others; in float32 the sums of
    /// products round too, once for each term.
    /// </summary>
    private double Rounding => RoundingOf(Model.ComputeType);

    /// <summary>Runs every check; none changes the model for good.</summary>
    /// <param name="pretrained">The model.</param>
    /// <param name="adapter">An adapter that is attached to it, or none.</param>
    /// <param name="listener">Hears of each check when it is done.</param>
    /// <param name="stop">Ends the test between two checks.</param>
    public static IReadOnlyList<SelfTestCheck> Run(Pretrained pretrained, Adapter? adapter, Action<SelfTestCheck> listener, CancellationToken stop)
    {
        ArgumentNullException.ThrowIfNull(pretrained);
        ArgumentNullException.ThrowIfNull(listener);
        var test = new SelfTest(pretrained, adapter);
        List<SelfTestCheck> done = [];
        foreach (var (name, measure) in test.Checks())
        {
            stop.ThrowIfCancellationRequested();
            SelfTestCheck check;
            try
            {
                check = measure();
            }
            catch (PerenosException problem)
            {
                check = new SelfTestCheck("", null, null, "", CheckVerdict.Failed, $"{problem.Message} {problem.Hint}");
            }

            done.Add(check with { Name = name });
            listener(done[^1]);
        }

        return done;
    }

    private double RoundingOf(ScalarType type)
    {
        double unit = type switch
        {
            ScalarType.BFloat16 => Math.Pow(2, -9),
            ScalarType.Float16 => Math.Pow(2, -12),
            _ => Math.Pow(2, -24) * Math.Sqrt(Model.Embedding.Weight.shape[^1]),
        };
        return 4 * unit * Math.Sqrt(2 * Model.Layers.Count + 1);
    }

    private (string Name, Func<SelfTestCheck> Measure)[] Checks() =>
    [
        ("padding on the left", () => Logits(Batched(isLeft: true), "each text alone and padded on the left")),
        ("batch size, padding on the right", () => Logits(Batched(isLeft: false), "each text alone and among others")),
        ("cache", () => Logits(Cached(), "at once and token by token", row: 0)),
        ("gradient accumulation", Accumulation),
        ("merged adapter", Merging),
        ("saved and loaded", Saving),
        ("tokens return", TokensReturn),
        ("text returns", TextReturns),
        ("streaming", Streaming),
        ("stop token", StopToken),
        ("chat template", Conversation),
        ("one renderer", OneRenderer),
    ];

    private static SelfTestCheck Judged(double measured, double allowed, string unit, string note) =>
        new("", measured, allowed, unit, measured <= allowed ? CheckVerdict.Passed : CheckVerdict.Failed, note);

    private static SelfTestCheck Skipped(string why) => new("", null, null, "", CheckVerdict.Skipped, why);

    // Takes the logits over and compares them with those of each text alone.
    private SelfTestCheck Logits(Tensor actual, string note, int? row = null)
    {
        using (actual)
        using (var expected = Alone(row is { } only ? [_ids[only]] : _ids))
            return Judged(Difference(expected, actual), Rounding, "of the logits' spread", note);
    }

    /// <summary>(N, V): the logits of texts, one after the other, each computed alone.</summary>
    private Tensor Alone(params int[][] texts)
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        return cat([.. texts.Select(ids => Call(tensor(Long(ids), [1, ids.Length], device: Model.Device)).squeeze(0))]).MoveToOuterDisposeScope();
    }

    /// <summary>(N, V): the same, computed side by side with padding.</summary>
    private Tensor Batched(bool isLeft)
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        int width = _ids.Max(ids => ids.Length);
        int Start(int[] ids) => isLeft ? width - ids.Length : 0;
        long[] Rows(Func<int[], int, long> value) => [.. _ids.SelectMany(ids => Enumerable.Range(0, width).Select(time => time - Start(ids)).Select(place => place >= 0 && place < ids.Length ? value(ids, place) : 0))];
        Tensor Table(long[] rows) => tensor(rows, [_ids.Length, width], device: Model.Device);
        var mask = isLeft ? Table(Rows((_, _) => 1)) : null;
        var positions = isLeft ? Table(Rows((_, place) => place)) : null;
        var logits = Call(Table(Rows((ids, place) => ids[place])), mask, positions); // (B, T, V)
        return cat([.. _ids.Select((ids, row) => logits[row].narrow(0, Start(ids), ids.Length))]).MoveToOuterDisposeScope();
    }

    /// <summary>(T, V): the first text, its beginning at once and then token by token.</summary>
    private Tensor Cached()
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        int[] ids = _ids[0];
        using var cache = new KeyValueCache(Model.Layers.Count, ids.Length);
        Tensor Part(int from, int count) => Call(tensor(Long(ids[from..(from + count)]), [1, count], device: Model.Device), cache: cache).squeeze(0);
        int begin = Math.Max(1, ids.Length / 3);
        return cat([Part(0, begin), .. Enumerable.Range(begin, ids.Length - begin).Select(place => Part(place, 1))]).MoveToOuterDisposeScope();
    }

    private Tensor Call(Tensor tokens, Tensor? mask = null, Tensor? positions = null, KeyValueCache? cache = null) =>
        Model.Logits(Model.Hidden(tokens, mask, positions, cache)).to(ScalarType.Float32);

    // Of each row its mean is taken first: a number added to all logits of a place changes no probability.
    private static double Difference(Tensor expected, Tensor actual)
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        Tensor Centred(Tensor rows) => rows.Plus(rows.mean([-1], keepdim: true).neg());
        var reference = Centred(expected);
        return Spread(Centred(actual).Plus(reference.neg())) / Spread(reference);
    }

    private static double Spread(Tensor values)
    {
        using var scope = NewDisposeScope();
        return Math.Sqrt(values.square().mean([], type: ScalarType.Float64).item<double>());
    }

    private SelfTestCheck Accumulation()
    {
        var examples = _ids.Where(ids => ids.Length > 1).Take(4).Select(ids => new Example(ids, [.. ids.Select((_, place) => place > 0)], "selftest")).ToList();
        using var together = Gradients([Batch.Of(examples)]);
        using var apart = Gradients([.. examples.Select(example => Batch.Of([example]))]);
        using var scope = NewDisposeScope();
        double measured = Spread(apart.Plus(together.neg())) / Spread(together);
        // Backward goes through the layers once more.
        return Judged(measured, 2 * Rounding, "of the gradients' spread", $"{examples.Count} texts of unequal length at once and one by one; gradients of the norm weights");
    }

    // The gradients of all norm weights: few numbers that see every layer.
    private Tensor Gradients(IReadOnlyList<Batch> batches)
    {
        var weights = Model.Parts.NormWeights.Select(name => Model.Parts.Weights[name]).ToList();
        try
        {
            weights.ForEach(weight => weight.requires_grad = true);
            double scale = 1.0 / batches.Sum(batch => batch.Targets.Length);
            foreach (var batch in batches)
            {
                using var step = NewDisposeScope();
                BatchLoss.Sum(Model, BatchLoss.LearntStates(Model, batch), batch, scale).backward();
            }

            using var scope = NewDisposeScope();
            return cat([.. weights.Select(weight => weight.grad!.to(ScalarType.Float32).flatten())]).MoveToOuterDisposeScope();
        }
        finally
        {
            foreach (var weight in weights)
            {
                using var gradient = weight.grad;
                weight.grad = null;
                weight.requires_grad = false;
            }
        }
    }

    private SelfTestCheck Merging()
    {
        using var fresh = _adapter is null ? RandomAdapter() : null;
        var adapter = _adapter ?? fresh!;
        using var beside = Alone(_ids[0], _ids[1]);
        try
        {
            adapter.Merge();
        }
        catch (PerenosException problem)
        {
            return Skipped(problem.Message);
        }

        using var merged = Alone(_ids[0], _ids[1]);
        adapter.Unmerge();
        return Judged(Difference(beside, merged), Rounding, "of the logits' spread", _adapter is null ? "a random LoRA beside the weights and in them" : "the adapter beside the weights and in them");
    }

    private Adapter RandomAdapter()
    {
        var adapter = Lora.Start(Model.Parts, new LoraConfig { Rank = 4, Alpha = 8 }, AdapterSeed);
        using var quiet = no_grad();
        using var generator = new Generator(AdapterSeed);
        foreach (var weight in adapter.Weights.Where(weight => weight.Key.EndsWith("lora_B.weight", StringComparison.Ordinal)).Select(weight => weight.Value))
        {
            using var scope = NewDisposeScope();
            weight.copy_(randn(weight.shape, generator: generator).Times(0.02));
        }

        return adapter;
    }

    private SelfTestCheck Saving()
    {
        long bytes = Model.Parts.Weights.Values.Sum(weight => weight.numel() * weight.element_size());
        string folder = Path.Combine(Path.GetTempPath(), $"perenos-selftest-{Environment.ProcessId}");
        if (new DriveInfo(Path.GetTempPath()).AvailableFreeSpace < 2.2 * bytes || GC.GetGCMemoryInfo().TotalAvailableMemoryBytes < 2.5 * bytes)
            return Skipped($"two copies of {bytes / 1e9:F1} GB have no room in memory or in {Path.GetTempPath()}");
        try
        {
            _adapter?.Detach();
            _pretrained.Save(folder);
            using var loaded = Pretrained.Open(folder, Model.ComputeType);
            using var before = Alone(_ids[0]);
            using var after = new SelfTest(loaded, null).Alone(_ids[0]);
            return Fits(_pretrained.StoredType)
                ? Judged(Difference(before, after), 0, "of the logits' spread", "the same weights give the same bits")
                : Judged(Difference(before, after), RoundingOf(_pretrained.StoredType), "of the logits' spread", $"saving rounds these weights to {_pretrained.StoredType}, the type that config.json names");
        }
        finally
        {
            _adapter?.Attach();
            if (Directory.Exists(folder))
                Directory.Delete(folder, recursive: true);
        }
    }

    // A quantised file, expanded, has numbers that no narrow type holds.
    private bool Fits(ScalarType stored) => Model.Parts.Weights.Values.All(weight =>
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        return weight.to(stored).to(weight.dtype).eq(weight).all().item<bool>();
    });

    private SelfTestCheck TokensReturn()
    {
        var tokenizer = _pretrained.Tokenizer;
        var lost = Texts.Where(text => tokenizer.Encode(text) is var ids && !tokenizer.Encode(tokenizer.Decode(ids)).SequenceEqual(ids)).ToList();
        return Judged(lost.Count, 0, $"of {Texts.Length} texts", lost.Count == 0 ? "cut, joined and cut again" : $"first: {Quote(lost[0])} becomes {Quote(tokenizer.Decode(tokenizer.Encode(lost[0])))}, cut otherwise");
    }

    private SelfTestCheck TextReturns()
    {
        var tokenizer = _pretrained.Tokenizer;
        var lost = Texts.Where(text => tokenizer.Decode(tokenizer.Encode(text)) != text).ToList();
        string note = lost.Count == 0 ? "cut and joined" : $"first: {Quote(lost[0])} becomes {Quote(tokenizer.Decode(tokenizer.Encode(lost[0])))}";
        return lost.Count > 0 && tokenizer.Facts() is { MissingBytes: null } facts
            ? Skipped($"{facts.Kind} does not keep every text: {lost.Count} of {Texts.Length} lose something; {note}")
            : Judged(lost.Count, 0, $"of {Texts.Length} texts", note);
    }

    private SelfTestCheck Streaming()
    {
        var tokenizer = _pretrained.Tokenizer;
        int lost = Texts.Count(text =>
        {
            int[] ids = tokenizer.Encode(text);
            var stream = tokenizer.Stream();
            return string.Concat(ids.Select(stream.Push).ToList()) + stream.Flush() != tokenizer.Decode(ids);
        });
        return Judged(lost, 0, $"of {Texts.Length} texts", "decoded token by token and at once");
    }

    private SelfTestCheck StopToken()
    {
        var missing = _pretrained.StopTokens.Where(id => id >= Model.Config.VocabularySize || _pretrained.Tokenizer.TokenOf(id) is null).ToList();
        return Judged(missing.Count, 0, "stop tokens without a meaning", string.Join(", ", _pretrained.StopTokens.Select(id => $"{id} {_pretrained.Tokenizer.TokenOf(id)}")));
    }

    private SelfTestCheck Conversation()
    {
        if (_pretrained.ChatTemplate is null)
            return Skipped("the model has none: prompt and completion stand side by side");
        var renderer = Rendering.For(_pretrained, "auto");
        ChatMessage[] messages = [new("user", "Is it raining?"), new(ChatMessage.Assistant, "Not yet."), new("user", "And tomorrow?"), new(ChatMessage.Assistant, "In the afternoon.")];
        var example = renderer.Render(new ConversationRecord(messages) { Source = "selftest", Group = "selftest" });
        // Learnt runs that end otherwise than in a stop token: such a reply would never end.
        int[] ends = [.. Enumerable.Range(0, example.Ids.Length).Where(place => example.IsLearnt[place] && (place + 1 == example.Ids.Length || !example.IsLearnt[place + 1]))];
        int wrong = ends.Count(place => !renderer.StopIds.Contains(example.Ids[place])) + Math.Abs(2 - ends.Length) + (IsDoubled(example.Ids) ? 1 : 0);
        return Judged(wrong, 0, "mistakes", $"two replies, {example.LearntTokens} of {example.Ids.Length} tokens learnt, each to its stop token; the start token not doubled");
    }

    private SelfTestCheck OneRenderer()
    {
        var renderer = Rendering.For(_pretrained, "auto");
        var record = new PromptRecord("Translate to French: Sunny.", "Ensoleillé.") { Source = "selftest", Group = "selftest" };
        var example = renderer.Render(record);
        int[] prompt = renderer.RenderPrompt(record); // refuses where it does not begin the example
        bool isWrong = example.IsLearnt[..prompt.Length].Any(isLearnt => isLearnt) || !renderer.StopIds.Contains(example.Ids[Array.LastIndexOf(example.IsLearnt, true)]) || IsDoubled(example.Ids);
        return Judged(isWrong ? 1 : 0, 0, "mistakes", $"the {prompt.Length} tokens of a prompt begin the {example.Ids.Length} that are trained on; the last learnt one is a stop token");
    }

    private bool IsDoubled(int[] ids) => _pretrained.BeginToken is { } begin && ids is [var first, var second, ..] && first == begin && second == begin;

    private static string Quote(string text) => System.Text.Json.JsonSerializer.Serialize(text);

    private static long[] Long(int[] ids) => [.. ids.Select(id => (long)id)];
}
