using Perenos.Layers;
using static TorchSharp.torch;

namespace Perenos.Models;

/// <summary>What distinguishes the attention of one family, or of one of its layers, from another's.</summary>
internal sealed record AttentionSettings
{
    /// <summary>Query heads H, key and value heads G, and the size D of each.</summary>
    public required HeadCounts Heads { get; init; }

    /// <summary>Spread of random weights.</summary>
    public required double InitialSpread { get; init; }

    /// <summary>Biases on the projections of queries, keys and values.</summary>
    public bool HasInputBias { get; init; }

    /// <summary>A bias on the projection that leads out.</summary>
    public bool HasOutputBias { get; init; }

    /// <summary>Tokens that each token sees, itself and those just before it; all by default.</summary>
    public long? Window { get; init; }

    /// <summary>Factor of the scores instead of 1 / √D.</summary>
    public double? Scale { get; init; }

    /// <summary>c in c · tanh(score / c), by which scores stay below c; none by default.</summary>
    public double? ScoreCap { get; init; }

    /// <summary>Largest magnitude of queries, keys and values; beyond it they are clipped.</summary>
    public double? Limit { get; init; }

    /// <summary>Norm of whole queries and keys (B, T, N · D), made from the place of its weights and its width.</summary>
    public Func<WeightScope, long, Func<Tensor, Tensor>>? ProjectionNorm { get; init; }

    /// <summary>Norm of each head of queries and keys (B, T, N, D), made from the place of its weights and the number of heads N.</summary>
    public Func<WeightScope, long, Func<Tensor, Tensor>>? HeadNorm { get; init; }

    /// <summary>Names of the norms of queries and keys.</summary>
    public (string Query, string Key) NormNames { get; init; } = ("q_norm", "k_norm");

    /// <summary>Name of the projection that leads out.</summary>
    public string OutputName { get; init; } = "o_proj";

    /// <summary>Rotates (B, T, N, D) by the call's positions.</summary>
    public Func<ForwardContext, Tensor, Tensor> Rotate { get; init; } = (context, heads) => context.Rotary!.Rotate(heads);
}

/// <summary>Grouped-query attention with rotary positions (Ainslie et al. 2023, https://arxiv.org/abs/2305.13245).</summary>
internal sealed class GroupedQueryAttention
{
    private readonly AttentionSettings _settings;
    private readonly int _layer;
    private readonly Projection _query;
    private readonly Projection _key;
    private readonly Projection _value;
    private readonly Projection _output;
    private readonly Func<Tensor, Tensor>? _queryNorm;
    private readonly Func<Tensor, Tensor>? _keyNorm;

    public GroupedQueryAttention(AttentionSettings settings, WeightScope weights, long width, int layer)
    {
        (_settings, _layer) = (settings, layer);
        var heads = settings.Heads;
        Projection Project(string name, long inputs, long outputs, bool hasBias) => new(weights[name], inputs, outputs, hasBias, initialSpread: settings.InitialSpread);
        _query = Project("q_proj", width, heads.QueryWidth, settings.HasInputBias);
        _key = Project("k_proj", width, heads.KeyWidth, settings.HasInputBias);
        _value = Project("v_proj", width, heads.KeyWidth, settings.HasInputBias);
        _output = Project(settings.OutputName, heads.QueryWidth, width, settings.HasOutputBias);
        var (queryNorm, keyNorm) = (weights[settings.NormNames.Query], weights[settings.NormNames.Key]);
        if (settings.ProjectionNorm is { } whole)
            (_queryNorm, _keyNorm) = (whole(queryNorm, heads.QueryWidth), whole(keyNorm, heads.KeyWidth));
        if (settings.HeadNorm is { } each)
            (_queryNorm, _keyNorm) = (each(queryNorm, heads.Queries), each(keyNorm, heads.Keys));
    }

    public Tensor Forward(Tensor input, ForwardContext context)
    {
        using var scope = NewDisposeScope();
        var query = Heads(_query.Forward(input), _queryNorm);
        var key = Heads(_key.Forward(input), _keyNorm);
        var value = Heads(_value.Forward(input), null);
        // (B, T, N, D) -> (B, N, T, D)
        var mixed = CausalAttention.Attend(
            _settings.Rotate(context, query).transpose(1, 2), _settings.Rotate(context, key).transpose(1, 2), value.transpose(1, 2),
            context, _layer, _settings.Window, _settings.Scale, _settings.ScoreCap);
        return _output.Forward(mixed).MoveToOuterDisposeScope();
    }

    // (B, T, N · D) -> (B, T, N, D)
    private Tensor Heads(Tensor projected, Func<Tensor, Tensor>? norm)
    {
        bool isWhole = _settings.ProjectionNorm is not null;
        if (isWhole && norm is not null)
            projected = norm(projected);
        if (_settings.Limit is { } limit)
            projected = projected.Clip(limit);
        var heads = projected.view(projected.shape[0], projected.shape[1], -1, _settings.Heads.Size);
        return isWhole || norm is null ? heads : norm(heads);
    }
}
