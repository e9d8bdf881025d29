using Perenos.Layers;
using Perenos.Models;
using static TorchSharp.torch;

namespace Perenos.Generation;

/// <summary>A batch of prompts that grows by one token a call. Short prompts are padded on the left, which changes nothing for them.</summary>
internal sealed class GenerationSession : IDisposable
{
    private readonly CausalModel _model;
    private readonly Sampler _sampler;
    private readonly KeyValueCache _cache;
    private readonly List<int>[] _rows;
    private readonly IReadOnlyList<int> _numbers;
    private readonly int[] _padding;
    private readonly bool _isPadded;
    private int _step;

    /// <param name="model">The model that continues.</param>
    /// <param name="prompts">Token ids of each row.</param>
    /// <param name="numbers">Number of each row, by which the sampler tells rows apart.</param>
    /// <param name="newTokens">Most tokens that will be asked for.</param>
    /// <param name="sampler">Chooses the tokens.</param>
    public GenerationSession(CausalModel model, IReadOnlyList<IReadOnlyList<int>> prompts, IReadOnlyList<int> numbers, int newTokens, Sampler sampler)
    {
        (_model, _numbers, _sampler) = (model, numbers, sampler);
        int width = prompts.Max(prompt => prompt.Count);
        _rows = [.. prompts.Select(prompt => prompt.ToList())];
        _padding = [.. prompts.Select(prompt => width - prompt.Count)];
        _isPadded = _padding.Any(padding => padding > 0);
        _cache = new KeyValueCache(model.Layers.Count, width + newTokens);
    }

    /// <summary>The next token of every row, appended to each.</summary>
    public int[] Next()
    {
        using var quiet = inference_mode();
        using var scope = NewDisposeScope();
        int width = _rows[0].Count + _padding[0];
        long ahead = _model.Parts.VirtualTokens;
        if (_padding.Any(padding => !_model.KeepsCache(ahead + _cache.Length - padding, ahead + width - padding)))
            _cache.Clear();
        long past = _cache.Length;
        int time = (int)(width - past);
        var tokens = new long[_rows.Length * time];
        var positions = new long[tokens.Length];
        var mask = new long[_rows.Length * width];
        for (int row = 0; row < _rows.Length; row++)
        {
            for (int column = 0; column < width; column++)
            {
                int place = column - _padding[row];
                mask[row * width + column] = place >= 0 ? 1 : 0;
                if (column < past)
                    continue;
                tokens[row * time + column - past] = place >= 0 ? _rows[row][place] : 0;
                // A row that has reached the model's length computes on beside the others; nobody reads what.
                positions[row * time + column - past] = Math.Clamp(place, 0, _model.MaximumLength - 1);
            }
        }

        var device = _model.Device;
        var hidden = _model.Hidden(
            tensor(tokens, [_rows.Length, time], device: device),
            _isPadded ? tensor(mask, [_rows.Length, width], device: device) : null,
            tensor(positions, [_rows.Length, time], device: device),
            _cache);
        var logits = _model.Logits(hidden.select(1, time - 1)).to(ScalarType.Float32).cpu().contiguous(); // (B, V)
        var chosen = new int[_rows.Length];
        var numbers = logits.data<float>().ToArray();
        int vocabulary = (int)logits.shape[1];
        for (int row = 0; row < _rows.Length; row++)
        {
            chosen[row] = _sampler.Choose(numbers.AsSpan(row * vocabulary, vocabulary), _rows[row], _numbers[row], _step);
            _rows[row].Add(chosen[row]);
        }

        _step++;
        return chosen;
    }

    /// <summary>Takes the memory that the tokens still to come would take; the session cannot go on.</summary>
    public void FillCache() => _cache.Fill();

    public void Dispose() => _cache.Dispose();
}
