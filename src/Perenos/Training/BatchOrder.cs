using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Text.Data;

namespace Perenos.Training;

/// <summary>
/// Which examples make up step 0, 1, 2 …: shuffled anew each epoch, examples of like length together so that little is padding.
/// A pure function of the seed: the place in the data is one number, and resuming replays nothing. Only lengths are looked at until a
/// batch is made.
/// </summary>
public sealed class BatchOrder
{
    // Batches that are filled from one shuffled stretch sorted by length: at most so many, and an epoch has at least so many
    // stretches, or its batches would be of one length each and hardly random. As in
    // https://github.com/huggingface/transformers/blob/v4.57.0/src/transformers/trainer_pt_utils.py#L540
    private const int MostBatchesPerStretch = 50;
    private const int LeastStretches = 4;

    private readonly IReadOnlyList<MixedExamples> _beside;
    private readonly IReadOnlyList<Example>[] _sources;
    private readonly int[] _lengths; // with the order of the epoch all that is held of an example: 8 bytes
    private readonly int _rowsOfExample;
    private readonly TrainingConfig _settings;
    private readonly ulong _seed;
    private readonly int _longest;
    private readonly List<int> _firstStepOfEpoch = [0];
    private Epoch _current = new(-1, [], [0], []);

    /// <summary>Plans batches.</summary>
    /// <param name="examples">What every epoch holds.</param>
    /// <param name="settings">Epochs, steps, batches.</param>
    /// <param name="seed">Seed of the order.</param>
    /// <param name="beside">What each epoch draws from beside them; nothing by default.</param>
    public BatchOrder(IReadOnlyList<Example> examples, TrainingConfig settings, ulong seed, IReadOnlyList<MixedExamples>? beside = null)
    {
        (_beside, _settings, _seed) = (beside ?? [], settings, seed);
        _sources = [examples, .. _beside.Select(source => source.Examples)];
        _lengths = _sources is [var only] ? StoredExamples.LengthsOf(only) : [.. _sources.SelectMany(StoredExamples.LengthsOf)];
        _rowsOfExample = examples[0].Rows.Count;
        _longest = _lengths.Max() - 1;
        StepsPerEpoch = EpochAt(0).Batches;
        TotalSteps = Math.Max(1, (int)Math.Round(StepsPerEpoch * (settings.Epochs ?? throw new ArgumentException("A number of epochs must have been chosen.", nameof(settings)))));
        if (settings.MaximumSteps is { } most)
            TotalSteps = Math.Min(TotalSteps, most);
    }

    /// <summary>Steps in the first epoch (later ones differ by a few where batches are counted in tokens, or other data are mixed in).</summary>
    public int StepsPerEpoch { get; }

    /// <summary>Steps of the whole run.</summary>
    public int TotalSteps { get; }

    /// <summary>The micro-batches of a step.</summary>
    public IReadOnlyList<Batch> At(int step) =>
        [.. RowsOf(step).Select(rows => rows.Select(ExampleAt).ToList()).Select(chunk => _settings.Pack ? Batch.Pack(chunk, _longest) : Batch.Of(chunk))];

    /// <summary>Tokens of each micro-batch of a step, padding included, without making it.</summary>
    public IReadOnlyList<int> SizesAt(int step) => [.. RowsOf(step).Select(rows =>
    {
        int[] lengths = [.. rows.Select(row => _lengths[row])];
        if (!_settings.Pack)
            return Math.Max(1, lengths.Max() - 1) * lengths.Length * _rowsOfExample;
        var packed = Batch.Fill(lengths, Math.Max(_longest, lengths.Max() - 1));
        return packed.Count * Math.Max(1, packed.Max(row => row.Sum(index => lengths[index] - 1)));
    })];

    private Example ExampleAt(int row)
    {
        int source = 0;
        while (row >= _sources[source].Count)
            row -= _sources[source++].Count;
        return _sources[source][row];
    }

    private IEnumerable<int[]> RowsOf(int step)
    {
        // Epochs that were passed already need not be planned again to find the way.
        int epoch = _firstStepOfEpoch.FindLastIndex(first => first <= step);
        while (step >= _firstStepOfEpoch[epoch] + EpochAt(epoch).Batches)
        {
            if (_firstStepOfEpoch.Count == epoch + 1)
                _firstStepOfEpoch.Add(_firstStepOfEpoch[epoch] + EpochAt(epoch).Batches);
            epoch++;
        }

        int[] rows = EpochAt(epoch).Rows(step - _firstStepOfEpoch[epoch]);
        return rows.Chunk(_settings.MicroBatchSize ?? rows.Length);
    }

    private Epoch EpochAt(int epoch)
    {
        if (_current.Number == epoch)
            return _current;
        int own = _sources[0].Count;
        List<int> drawn = [];
        int before = own;
        foreach (var source in _beside)
        {
            drawn.AddRange(source.Of(epoch).Select(place => before + place));
            before += source.Examples.Count;
        }

        int[] order = Seed.Permutation(_seed, $"order of epoch {epoch}", own + drawn.Count);
        for (int place = 0; drawn.Count > 0 && place < order.Length; place++)
            order[place] = order[place] < own ? order[place] : drawn[order[place] - own];
        int batch = _settings.BatchTokens is { } tokens
            ? Math.Max(1, (int)(tokens / Math.Max(1, order.Average(row => _lengths[row] * _rowsOfExample))))
            : _settings.BatchSize;
        int stretch = batch * Math.Clamp(order.Length / (batch * LeastStretches), 1, MostBatchesPerStretch);
        List<int> starts = [];
        for (int first = 0; first < order.Length; first += stretch)
        {
            int count = Math.Min(stretch, order.Length - first);
            // Packed rows hold no padding whatever the lengths, so their batches may stay random.
            if (!_settings.Pack)
                order.AsSpan(first, count).Sort(ByLength);
            AddStarts(starts, order, first, first + count);
        }

        int batches = starts.Count;
        starts.Add(order.Length);
        return _current = new Epoch(epoch, order, [.. starts], Seed.Permutation(_seed, $"batches of epoch {epoch}", batches));
    }

    private int ByLength(int left, int right)
    {
        int byLength = _lengths[left].CompareTo(_lengths[right]);
        return byLength != 0 ? byLength : left.CompareTo(right);
    }

    private void AddStarts(List<int> starts, int[] order, int first, int end)
    {
        if (_settings.BatchTokens is not { } budget)
        {
            for (int place = first; place < end; place += _settings.BatchSize)
                starts.Add(place);
            return;
        }

        starts.Add(first);
        int tokens = 0;
        for (int place = first; place < end; place++)
        {
            // Side by side, rows come by rising length: the newest is the widest.
            int length = _lengths[order[place]] * _rowsOfExample;
            tokens = _settings.Pack ? tokens + length : (place - starts[^1] + 1) * length;
            if (place > starts[^1] && tokens > budget)
            {
                starts.Add(place);
                tokens = length;
            }
        }
    }

    /// <summary>The batches of an epoch: examples in order, where each batch starts in it, and the order of the batches.</summary>
    private sealed record Epoch(int Number, int[] Order, int[] Starts, int[] Shuffled)
    {
        public int Batches => Shuffled.Length;

        public int[] Rows(int batch) => Order[Starts[Shuffled[batch]]..Starts[Shuffled[batch] + 1]];
    }
}
