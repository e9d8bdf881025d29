using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Text.Data;

namespace Perenos.Training;

/// <summary>
/// Which examples make up step 0, 1, 2 …: shuffled anew each epoch, examples of like length together so that little is padding.
/// A pure function of the seed: the place in the data is one number, and resuming replays nothing.
/// </summary>
public sealed class BatchOrder
{
    // Batches that are filled from one shuffled stretch sorted by length: at most so many, and an epoch has at least so many
    // stretches, or its batches would be of one length each and hardly random. As in
    // https://github.com/huggingface/transformers/blob/v4.57.0/src/transformers/trainer_pt_utils.py#L540
    private const int MostBatchesPerStretch = 50;
    private const int LeastStretches = 4;

    private readonly IReadOnlyList<Example> _examples;
    private readonly TrainingConfig _settings;
    private readonly ulong _seed;
    private readonly int _longest;
    private readonly int _own;
    private readonly int[] _parts;
    private readonly List<int> _firstStepOfEpoch = [0];
    private (int Epoch, int[][] Batches) _current = (-1, []);

    /// <summary>Plans batches.</summary>
    /// <param name="examples">What every epoch holds.</param>
    /// <param name="settings">Epochs, steps, batches.</param>
    /// <param name="seed">Seed of the order.</param>
    /// <param name="beside">What the first, the second … epoch holds beside them, from the start again where epochs are left; none by default.</param>
    public BatchOrder(IReadOnlyList<Example> examples, TrainingConfig settings, ulong seed, IReadOnlyList<IReadOnlyList<Example>>? beside = null)
    {
        (_examples, _own, _settings, _seed) = ([.. examples, .. (beside ?? []).SelectMany(part => part)], examples.Count, settings, seed);
        _parts = [.. (beside ?? []).Select(part => part.Count)];
        _longest = _examples.Max(example => example.Length) - 1;
        StepsPerEpoch = EpochBatches(0).Length;
        TotalSteps = Math.Max(1, (int)Math.Round(StepsPerEpoch * (settings.Epochs ?? throw new ArgumentException("A number of epochs must have been chosen.", nameof(settings)))));
        if (settings.MaximumSteps is { } most)
            TotalSteps = Math.Min(TotalSteps, most);
    }

    /// <summary>Steps in the first epoch (later ones differ by a few where batches are counted in tokens).</summary>
    public int StepsPerEpoch { get; }

    /// <summary>Steps of the whole run.</summary>
    public int TotalSteps { get; }

    /// <summary>Epochs that the run enters.</summary>
    public int Epochs => (TotalSteps + StepsPerEpoch - 1) / StepsPerEpoch;

    /// <summary>The micro-batches of a step.</summary>
    public IReadOnlyList<Batch> At(int step)
    {
        int epoch = 0;
        while (true)
        {
            var batches = EpochBatches(epoch);
            int first = _firstStepOfEpoch[epoch];
            if (step < first + batches.Length)
                return Micro(batches[step - first]);
            if (_firstStepOfEpoch.Count == epoch + 1)
                _firstStepOfEpoch.Add(first + batches.Length);
            // Epochs that were passed already need not be planned again to find the way.
            epoch++;
            while (epoch + 1 < _firstStepOfEpoch.Count && step >= _firstStepOfEpoch[epoch + 1])
                epoch++;
        }
    }

    private Batch[] Micro(int[] rows)
    {
        int size = _settings.MicroBatchSize ?? rows.Length;
        return [.. rows.Chunk(size).Select(chunk => chunk.Select(row => _examples[row]).ToList()).Select(chunk => _settings.Pack ? Batch.Pack(chunk, _longest) : Batch.Of(chunk))];
    }

    private int[][] EpochBatches(int epoch)
    {
        if (_current.Epoch == epoch)
            return _current.Batches;
        int part = _parts.Length == 0 ? 0 : epoch % _parts.Length;
        int beside = _parts.ElementAtOrDefault(part), before = _parts.Take(part).Sum();
        int[] order = [.. Seed.Permutation(_seed, $"order of epoch {epoch}", _own + beside).Select(index => index < _own ? index : index + before)];
        int batch = _settings.BatchTokens is { } tokens
            ? Math.Max(1, (int)(tokens / Math.Max(1, _examples.Average(example => example.Length * example.Rows.Count))))
            : _settings.BatchSize;
        int stretch = batch * Math.Clamp(order.Length / (batch * LeastStretches), 1, MostBatchesPerStretch);
        List<int[]> batches = [];
        foreach (var rows in order.Chunk(stretch))
        {
            // Packed rows hold no padding whatever the lengths, so their batches may stay random.
            if (!_settings.Pack)
                Array.Sort(rows, ByLength);
            batches.AddRange(Fill(rows));
        }

        var shuffled = Seed.Permutation(_seed, $"batches of epoch {epoch}", batches.Count);
        _current = (epoch, [.. shuffled.Select(index => batches[index])]);
        return _current.Batches;
    }

    private int ByLength(int left, int right)
    {
        int byLength = _examples[left].Length.CompareTo(_examples[right].Length);
        return byLength != 0 ? byLength : left.CompareTo(right);
    }

    private IEnumerable<int[]> Fill(int[] rows)
    {
        if (_settings.BatchTokens is not { } budget)
            return rows.Chunk(_settings.BatchSize);
        List<int[]> batches = [];
        List<int> batch = [];
        int tokens = 0;
        foreach (int row in rows)
        {
            // Side by side, rows come by rising length: the newest is the widest.
            int length = _examples[row].Length * _examples[row].Rows.Count;
            tokens = _settings.Pack ? tokens + length : (batch.Count + 1) * length;
            if (batch.Count > 0 && tokens > budget)
            {
                batches.Add([.. batch]);
                batch.Clear();
                tokens = length;
            }

            batch.Add(row);
        }

        batches.Add([.. batch]);
        return batches;
    }
}
