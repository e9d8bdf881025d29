using Perenos.Layers;
using static TorchSharp.torch;

namespace Perenos.Models;

/// <summary>How a family's experts are chosen.</summary>
/// <param name="Count">Experts, E.</param>
/// <param name="Chosen">Experts that compute each token, k.</param>
/// <param name="InnerWidth">Width inside an expert.</param>
/// <param name="IsRenormalized">Whether the probabilities of the chosen ones are made to add up to 1.</param>
/// <param name="BalanceWeight">Weight of the balance in the training loss.</param>
internal sealed record ExpertSettings(int Count, int Chosen, long InnerWidth, bool IsRenormalized, double BalanceWeight)
{
    /// <summary>Reads what is spelt alike in all families.</summary>
    public static ExpertSettings Read(ConfigReader reader, string countKey, int absentCount, int absentChosen, long innerWidth, bool isRenormalized, double absentWeight)
    {
        int count = (int)reader.Size(countKey, absentCount);
        int chosen = (int)reader.Size("num_experts_per_tok", absentChosen);
        if (chosen > count)
            throw reader.Wrong("num_experts_per_tok", $"at most {countKey} ({count})");
        double weight = reader.Number("router_aux_loss_coef") ?? absentWeight;
        return new ExpertSettings(count, chosen, innerWidth, isRenormalized, reader.Flag("output_router_logits", absent: false) ? weight : 0);
    }
}

/// <summary>
/// A mixture of experts: a router gives each token to k of E feed-forward parts, whose outputs are added by its probabilities
/// (Shazeer et al. 2017, https://arxiv.org/abs/1701.06538). An expert computes only the tokens that chose it.
/// </summary>
internal sealed class ExpertMixture
{
    private readonly ExpertSettings _settings;
    private readonly Projection _router;
    private readonly GatedFeedForward[] _experts;

    /// <summary>Takes the router <c>gate</c> and the parts <c>experts.N</c>.</summary>
    public ExpertMixture(WeightScope weights, BlockSizes sizes, ExpertSettings settings, (string Gate, string Up, string Down)? names = null)
    {
        _settings = settings;
        _router = new Projection(weights["gate"], sizes.Width, settings.Count, hasBias: false, initialSpread: sizes.InitialSpread);
        _experts = [.. Enumerable.Range(0, settings.Count)
            .Select(index => new GatedFeedForward(
                weights["experts"][$"{index}"], sizes.Width, settings.InnerWidth, sizes.Gated, hasBias: false, sizes.InitialSpread, names))];
    }

    /// <summary>(B, T, C) -> (B, T, C).</summary>
    public Tensor Forward(Tensor input, ForwardContext context)
    {
        using var scope = NewDisposeScope();
        var tokens = input.reshape(-1, input.shape[^1]); // (N, C)
        // float32: close probabilities would change places in bfloat16.
        var logits = _router.Forward(tokens);
        var probabilities = nn.functional.softmax(logits, -1, logits.dtype == ScalarType.Float64 ? ScalarType.Float64 : ScalarType.Float32); // (N, E)
        var (weights, choices) = probabilities.topk(_settings.Chosen, -1); // (N, k)
        context.Balance?.Add(probabilities, choices);
        if (_settings.IsRenormalized)
            weights = weights / weights.sum(-1, keepdim: true);

        var outputs = Compute(tokens, choices); // (N, k, C)
        return (outputs * weights.to(outputs.dtype).unsqueeze(-1)).sum(1).view(input.shape).MoveToOuterDisposeScope();
    }

    // The output of each token's experts, (N, C) and (N, k) -> (N, k, C).
    private Tensor Compute(Tensor tokens, Tensor choices)
    {
        using var scope = NewDisposeScope();
        // Choices sorted by expert: the tokens of one lie side by side.
        var order = choices.flatten().argsort(); // (N · k)
        var sources = Arithmetic.Counting(0, tokens.shape[0], tokens.device).repeat_interleave(_settings.Chosen).index_select(0, order);
        long[] counts = choices.flatten().bincount(null, _settings.Count).cpu().data<long>().ToArray();
        List<Tensor> parts = [];
        long start = 0;
        for (int expert = 0; expert < counts.Length; start += counts[expert], expert++)
        {
            if (counts[expert] > 0)
                parts.Add(_experts[expert].Forward(tokens.index_select(0, sources.narrow(0, start, counts[expert]))));
        }

        return cat(parts, 0).index_select(0, order.argsort()).view(tokens.shape[0], _settings.Chosen, -1).MoveToOuterDisposeScope();
    }
}
