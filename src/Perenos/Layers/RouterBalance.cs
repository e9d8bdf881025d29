using static TorchSharp.torch;

namespace Perenos.Layers;

/// <summary>
/// How evenly the tokens of a call spread over experts, over all layers together: the auxiliary loss of mixtures
/// (Fedus et al. 2021, https://arxiv.org/abs/2101.03961, equations 4 to 6).
/// </summary>
/// <param name="isReal">(B, T) bool, false for padding, which does not count; none where all tokens count. Virtual tokens before the T count.</param>
public sealed class RouterBalance(Tensor? isReal = null) : IDisposable
{
    private readonly List<Tensor> _kept = [];
    private Tensor? _choices;
    private Tensor? _probabilities;
    private Tensor? _tokens;

    /// <summary>E · Σ fₑ Pₑ, fₑ the choices of expert e and Pₑ its probability, both in the mean over tokens and layers; k where all is even and each token has k experts.</summary>
    /// <exception cref="InvalidOperationException">No router was met.</exception>
    public Tensor Loss()
    {
        if (_choices is null || _probabilities is null || _tokens is null)
            throw new InvalidOperationException("No router has reported what it chose.");
        using var scope = NewDisposeScope();
        long experts = _choices.shape[0];
        return ((_choices / _tokens) * (_probabilities / _tokens)).sum().Times(experts).MoveToOuterDisposeScope();
    }

    /// <summary>Frees what was added up.</summary>
    public void Dispose() => _kept.ForEach(tensor => tensor.Dispose());

    /// <summary>Adds a layer's probabilities (N, E) and choices (N, k) of all N tokens of the call.</summary>
    internal void Add(Tensor probabilities, Tensor chosen)
    {
        using var scope = NewDisposeScope();
        var (type, device) = (probabilities.dtype, probabilities.device);
        var counting = Counting(probabilities.shape[0], type, device); // (N, 1)
        var isChosen = zeros(probabilities.shape, type, device).scatter_(1, chosen, ones(chosen.shape, type, device)); // (N, E)
        _choices = Keep(_choices, (isChosen * counting).sum(dim: 0));
        _probabilities = Keep(_probabilities, (probabilities * counting).sum(dim: 0));
        _tokens = Keep(_tokens, counting.sum());
    }

    private Tensor Counting(long tokens, ScalarType type, Device device)
    {
        if (isReal is null)
            return ones([tokens, 1], type, device);
        long rows = isReal.shape[0], ahead = tokens / rows - isReal.shape[1];
        return cat([ones([rows, ahead], type, device), isReal.to(type)], 1).view(tokens, 1);
    }

    private Tensor Keep(Tensor? sum, Tensor more)
    {
        var total = (sum is null ? more : sum.Plus(more)).DetachFromDisposeScope();
        _kept.Add(total);
        return total;
    }
}
