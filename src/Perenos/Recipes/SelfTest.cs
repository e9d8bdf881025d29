using Perenos.Adapters;
using Perenos.Models;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Text.Data;
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

    private readonly Pretrained _pretrained;
    private readonly Adapter? _adapter;
    private readonly SelfTestText _text;
    private readonly SelfTestLogits _logits;
    private readonly int[][] _ids;

    private SelfTest(Pretrained pretrained, Adapter? adapter)
    {
        (_pretrained, _adapter) = (pretrained, adapter);
        int longest = (int)Math.Min(MostTokens, pretrained.Model.MaximumLength);
        _text = new SelfTestText(pretrained);
        _ids = [.. SelfTestText.Texts.Select(text => pretrained.Tokenizer.Encode(text, addSpecialTokens: true)).Where(ids => ids.Length > 0).Select(ids => ids[..Math.Min(longest, ids.Length)])];
        _logits = new SelfTestLogits(pretrained.Model);
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
        ("padding on the left", () => Logits(_logits.Batched(_ids, isLeft: true), "each text alone and padded on the left")),
        ("batch size, padding on the right", () => Logits(_logits.Batched(_ids, isLeft: false), "each text alone and among others")),
        ("cache", () => Logits(_logits.Cached(_ids[0]), "at once and token by token", row: 0)),
        ("gradient accumulation", Accumulation),
        ("merged adapter", Merging),
        ("saved and loaded", Saving),
        ("tokens return", _text.TokensReturn),
        ("text returns", _text.TextReturns),
        ("streaming", _text.Streaming),
        ("stop token", _text.StopToken),
        ("chat template", _text.Conversation),
        ("one renderer", _text.OneRenderer),
    ];

    // Takes the logits over and compares them with those of each text alone.
    private SelfTestCheck Logits(Tensor actual, string note, int? row = null)
    {
        using (actual)
        using (var expected = _logits.Alone(row is { } only ? [_ids[only]] : _ids))
            return SelfTestCheck.Judged(SelfTestLogits.Difference(expected, actual), Rounding, "of the logits' spread", note);
    }

    private SelfTestCheck Accumulation()
    {
        var examples = _ids.Where(ids => ids.Length > 1).Take(4).Select(ids => new Example(ids, [.. ids.Select((_, place) => place > 0)], "selftest")).ToList();
        using var together = Gradients([Batch.Of(examples)]);
        using var apart = Gradients([.. examples.Select(example => Batch.Of([example]))]);
        using var scope = NewDisposeScope();
        double measured = SelfTestLogits.Spread(apart.Plus(together.neg())) / SelfTestLogits.Spread(together);
        // Backward goes through the layers once more.
        return SelfTestCheck.Judged(measured, 2 * Rounding, "of the gradients' spread", $"{examples.Count} texts of unequal length at once and one by one; gradients of the norm weights");
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
        using var beside = _logits.Alone(_ids[0], _ids[1]);
        try
        {
            adapter.Merge();
        }
        catch (PerenosException problem)
        {
            return SelfTestCheck.Skipped(problem.Message);
        }

        using var merged = _logits.Alone(_ids[0], _ids[1]);
        adapter.Unmerge();
        return SelfTestCheck.Judged(SelfTestLogits.Difference(beside, merged), Rounding, "of the logits' spread", _adapter is null ? "a random LoRA beside the weights and in them" : "the adapter beside the weights and in them");
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
            return SelfTestCheck.Skipped($"two copies of {bytes / 1e9:F1} GB have no room in memory or in {Path.GetTempPath()}");
        try
        {
            _adapter?.Detach();
            _pretrained.Save(folder);
            using var loaded = Pretrained.Open(folder, Model.ComputeType);
            using var before = _logits.Alone(_ids[0]);
            using var after = new SelfTestLogits(loaded.Model).Alone(_ids[0]);
            return Fits(_pretrained.StoredType)
                ? SelfTestCheck.Judged(SelfTestLogits.Difference(before, after), 0, "of the logits' spread", "the same weights give the same bits")
                : SelfTestCheck.Judged(SelfTestLogits.Difference(before, after), RoundingOf(_pretrained.StoredType), "of the logits' spread", $"saving rounds these weights to {_pretrained.StoredType}, the type that config.json names");
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
}
