using System.Text.Json.Nodes;
using Perenos.Layers;
using Perenos.Runs;
using Perenos.Runs.Config;
using static TorchSharp.torch;

namespace Perenos.Adapters;

/// <summary>
/// Low-rank adaptation: y = W x + s · B A x with W frozen (Hu et al. 2021, https://arxiv.org/abs/2106.09685). A starts as PEFT's
/// (uniform within ±1/√inputs), B at 0, so the model is unchanged at the start. Its folder may also hold updates of embeddings, rows
/// of tokens, whole modules and biases.
/// </summary>
public static class Lora
{
    internal const string Method = "LORA";

    /// <summary>A fresh LoRA, attached: training it starts from the model as it is.</summary>
    /// <exception cref="PerenosException">A setting is out of range, or names a layer that the model does not have.</exception>
    public static Adapter Start(ModelParts parts, LoraConfig settings, ulong seed) =>
        PeftMethods.Start(Describe(parts, settings), parts, seed);

    /// <summary>Places a LoRA, or a DoRA, and what stands beside it.</summary>
    internal static UpdateDropout Place(PeftConfig config, AdapterWeights weights, ModelParts parts, List<AdapterPart> pieces)
    {
        config.RefuseUnknown("r", "lora_alpha", "lora_dropout", "target_modules", "exclude_modules", "bias", "use_rslora", "use_dora",
            "init_lora_weights", "modules_to_save", "layers_to_transform", "layers_pattern", "rank_pattern", "alpha_pattern",
            "trainable_token_indices", "lora_bias", "ensure_weight_tying");
        var dropout = new UpdateDropout(config.Number("lora_dropout") ?? 0);
        var (projections, embeddings) = (config.Projections(parts), config.Embeddings(parts));
        if (projections.Count + embeddings.Count == 0)
            throw config.NothingMatches(parts);
        bool isPissa = Pissa.IsAskedFor(config);
        if (config.Flag("use_dora") && (isPissa || config.Flag("lora_bias")))
            throw config.NotImplemented("use_dora");
        foreach (var target in projections)
            pieces.Add(new ProjectionPart(target, Update(config, weights, target, dropout, isPissa)));
        foreach (var target in embeddings)
            pieces.Add(new LoraEmbedding(config, weights, target, parts));
        TokenRows.PlaceBeside(config, weights, parts, pieces);
        ReplacedModules.Place(config, weights, parts, pieces);
        TunedBiases.Place(config, weights, parts, pieces);
        if (isPissa)
            Pissa.DescribeAsConverted(config.Json);
        return dropout;
    }

    /// <summary>The factor of a layer's update: alpha / rank, or alpha / √rank.</summary>
    internal static double ScaleOf(PeftConfig config, string path) =>
        config.AlphaOf(path) / (config.Flag("use_rslora") ? Math.Sqrt(config.RankOf(path)) : config.RankOf(path));

    private static IProjectionUpdate Update(PeftConfig config, AdapterWeights weights, Projection target, UpdateDropout dropout, bool isPissa)
    {
        int rank = config.RankOf(target.Path);
        double scale = ScaleOf(config, target.Path);
        // kaiming_uniform(a = √5), as in https://github.com/huggingface/peft/blob/v0.15.0/src/peft/tuners/lora/layer.py#L160
        double bound = 1 / Math.Sqrt(target.Inputs);
        var start = isPissa ? Pissa.PrincipalPair(target, rank, scale) : null;
        var down = weights.Take(target.Path, "lora_A.weight", [rank, target.Inputs], target.Weight,
            generator => start?.Down ?? rand([rank, target.Inputs], generator: generator).Scale(2 * bound).Increase(-bound));
        var up = weights.Take(target.Path, "lora_B.weight", [target.Outputs, rank], target.Weight,
            _ => start?.Up ?? zeros([target.Outputs, rank]));
        var bias = config.Flag("lora_bias")
            ? weights.Take(target.Path, "lora_B.bias", [target.Outputs], target.Weight, _ => zeros([target.Outputs]))
            : null;
        if (start is not null && !weights.IsFresh)
            (down, up, start) = (cat([down, start.Down], 0), cat([up, start.Up.neg()], 1), null);
        var pair = new LoraUpdate(down, up, bias, scale, dropout, start);
        return config.Flag("use_dora") ? Dora.On(pair, weights, target) : pair;
    }

    // As PEFT would have written it: starting and opening are then one road.
    internal static JsonObject Describe(ModelParts parts, LoraConfig settings, bool isDora = false)
    {
        if (settings.Rank < 1)
            throw new PerenosException($"method.rank = {settings.Rank} is not a rank.", "Use 1 or more; 8 to 64 are common.");
        if (settings.Dropout is < 0 or >= 1)
            throw new PerenosException($"method.dropout = {settings.Dropout} is not a chance below 1.", "Use 0 to 0.1.");
        var targets = TargetLayers.Choose(parts, settings.Targets);
        return new JsonObject
        {
            ["alpha_pattern"] = Patterns(settings.AlphaPattern, "method.alpha_pattern", targets),
            ["auto_mapping"] = null,
            ["bias"] = settings.Bias switch { LoraBias.All => "all", LoraBias.LoraOnly => "lora_only", _ => "none" },
            ["fan_in_fan_out"] = parts.Projections.Any(projection => projection.IsTransposed && targets.Contains(projection.Path)),
            ["inference_mode"] = true,
            ["init_lora_weights"] = settings.Start == LoraStart.Pissa ? "pissa" : true,
            ["layers_pattern"] = null,
            ["layers_to_transform"] = null,
            ["lora_alpha"] = PeftNumber.Of(settings.Alpha),
            ["lora_dropout"] = settings.Dropout,
            ["modules_to_save"] = settings.ModulesToSave.Count == 0 ? null : new JsonArray([.. settings.ModulesToSave.Select(name => (JsonNode)name)]),
            ["peft_type"] = Method,
            ["r"] = settings.Rank,
            ["rank_pattern"] = Patterns(settings.RankPattern, "method.rank_pattern", targets),
            ["revision"] = null,
            ["target_modules"] = new JsonArray([.. PeftNames.Shortest(targets, parts).Select(name => (JsonNode)name)]),
            ["task_type"] = "CAUSAL_LM",
            ["trainable_token_indices"] = TokenRows.Describe(parts, settings.TrainableTokens),
            ["use_dora"] = isDora,
            ["use_rslora"] = settings.IsRankStabilized,
        };
    }

    private static JsonObject Patterns<T>(IReadOnlyDictionary<string, T> patterns, string key, IReadOnlySet<string> targets)
        where T : struct
    {
        var node = new JsonObject();
        foreach (var (pattern, value) in patterns)
        {
            if (!targets.Any(path => PeftNames.MatchesEnd(path, pattern)))
                throw new PerenosException($"{key}: \"{pattern}\" matches none of the adapted layers.", $"They are {string.Join(", ", targets.Take(3))} …; a pattern is an expression for the end of a name.");
            double number = Convert.ToDouble(value);
            if (!(number > 0))
                throw new PerenosException($"{key}: {pattern} = {number} is out of range.", "Use a positive number.");
            node[pattern] = PeftNumber.Of(number);
        }

        return node;
    }
}

/// <summary>The update of one layer; takes its tensors over.</summary>
internal sealed class LoraUpdate : IProjectionUpdate
{
    private readonly UpdateDropout _dropout;
    private readonly PrincipalPair? _start;

    /// <param name="down">A, [rank, inputs].</param>
    /// <param name="up">B, [outputs, rank].</param>
    /// <param name="bias">[outputs], or none.</param>
    /// <param name="scale">s.</param>
    /// <param name="dropout">Dropout of the inputs.</param>
    /// <param name="start">What the pair started from, if the base counts less by that much (PiSSA).</param>
    public LoraUpdate(Tensor down, Tensor up, Tensor? bias, double scale, UpdateDropout dropout, PrincipalPair? start = null)
    {
        (Down, Up, Bias, Scale) = (down.DetachFromDisposeScope(), up.DetachFromDisposeScope(), bias?.DetachFromDisposeScope(), scale);
        (_dropout, _start) = (dropout, start);
        start?.Down.DetachFromDisposeScope();
        start?.Up.DetachFromDisposeScope();
    }

    /// <summary>A, [rank, inputs].</summary>
    public Tensor Down { get; }

    /// <summary>B, [outputs, rank].</summary>
    public Tensor Up { get; }

    public Tensor? Bias { get; }

    public double Scale { get; }

    public UpdateDropout Dropout => _dropout;

    public IEnumerable<(string Leaf, Tensor Tensor)> Weights
    {
        get
        {
            yield return ("lora_A.weight", Down);
            yield return ("lora_B.weight", Up);
            if (Bias is not null)
                yield return ("lora_B.bias", Bias);
        }
    }

    /// <summary>What PEFT keeps: with a start, the pair and its start side by side, for the untouched base.</summary>
    public IEnumerable<(string Leaf, Tensor Tensor)> Saved => _start is null
        ? Weights
        : [("lora_A.weight", cat([Down.detach(), _start.Down], 0)), ("lora_B.weight", cat([Up.detach(), _start.Up.neg()], 1))];

    public Tensor Apply(Tensor input, Func<Tensor, Tensor> inner)
    {
        using var scope = NewDisposeScope();
        var output = inner(input);
        input = _dropout.Apply(input);
        output = _start is null ? Add(output, input) : output.Plus(Beyond(_start, input).Times(Scale));
        if (Bias is not null)
            output = output.Plus(Bias.to(output.dtype).Times(Scale));
        return output.MoveToOuterDisposeScope();
    }

    public string? WhyNotMerged(Projection target) =>
        Bias is not null && target.Bias is null ? "its update has a bias, and the layer has none" : null;

    public Tensor MergedWeight(Tensor weight) => weight.Plus(Update());

    public Tensor MergedBias(Tensor bias) => Bias is null ? bias : bias.Plus(Bias.Times(Scale));

    /// <summary>s · B A, [outputs, inputs], float32.</summary>
    public Tensor Update()
    {
        var update = Up.matmul(Down);
        if (_start is not null)
            update = update.sub(_start.Up.matmul(_start.Down));
        return update.Times(Scale);
    }

    public void Dispose()
    {
        Down.Dispose();
        Up.Dispose();
        Bias?.Dispose();
        _start?.Dispose();
    }

    // output + s · B A x, in one product.
    private Tensor Add(Tensor output, Tensor input)
    {
        // The weights are kept in float32 and rounded to the input's type to compute, as under automatic mixed precision: a wide
        // copy of every input would have to be kept for backward.
        var narrow = nn.functional.linear(input, Down.to(input.dtype)); // (…, rank)
        var flat = output.view(-1, output.shape[^1]);
        return flat.addmm(narrow.view(-1, narrow.shape[^1]), Up.to(output.dtype).t(), beta: 1, alpha: (float)Scale).view(output.shape);
    }

    /// <summary>B A x.</summary>
    public Tensor Product(Tensor input) => nn.functional.linear(nn.functional.linear(input, Down.to(input.dtype)), Up.to(input.dtype));

    // B A x − B₀ A₀ x: 0 to the bit before the first step.
    private Tensor Beyond(PrincipalPair start, Tensor input) =>
        Product(input).sub(nn.functional.linear(nn.functional.linear(input, start.Down.to(input.dtype)), start.Up.to(input.dtype)));
}
