using Perenos.Runs;

namespace Perenos.Text.Data;

/// <summary>
/// The split of <see cref="DataSplit"/> for records that do not fit into memory: only what is held out is kept, in at most so many groups
/// for each part. Training records are read anew. The records of a group must come one after the other.
/// </summary>
public static class StreamedSplit
{
    /// <summary>Most groups for validation, and for the test.</summary>
    public const int MostGroups = 2000;

    /// <summary>Goes through the records twice: for the groups, and for prompts that stand in training too.</summary>
    /// <param name="read">Reads all records from the first to the last.</param>
    /// <param name="settings">Shares and seed.</param>
    /// <returns>The split, and the groups that training must leave out.</returns>
    /// <exception cref="PerenosException">The shares leave nothing to train on, or there are too many records to number.</exception>
    public static (DataSplit Split, IReadOnlySet<string> HeldOut) Of(Func<IEnumerable<Record>> read, SplitSettings settings)
    {
        ArgumentNullException.ThrowIfNull(read);
        DataSplit.Check(settings);
        Smallest toSplit = new(2 * MostGroups, settings.Seed), named = new(MostGroups, settings.Seed), test = new(MostGroups, settings.Seed);
        foreach (var record in read())
        {
            var claimed = record.Part switch { DataPart.Validation => named, DataPart.Test => test, _ => toSplit };
            claimed.Add(record);
        }

        var (validationGroups, testGroups) = DataSplit.Groups(settings, toSplit.Groups, hasValidation: named.Groups > 0, hasTest: test.Groups > 0);
        (testGroups, validationGroups) = (Math.Min(testGroups, MostGroups), Math.Min(validationGroups, MostGroups));
        var chosen = toSplit.InRankOrder().Take(testGroups + validationGroups).ToList();
        HashSet<string> heldOut = [.. chosen.Select(group => group.Name)];
        List<Record> ForTest() => InFileOrder(testGroups > 0 ? chosen.Take(testGroups) : test.InRankOrder());
        List<Record> ForValidation() => InFileOrder(validationGroups > 0 ? chosen.Skip(testGroups) : named.InRankOrder());
        var (validation, last) = (ForValidation(), ForTest());

        var wanted = validation.Concat(last).Select(DataSplit.Key).ToHashSet(StringComparer.Ordinal);
        HashSet<string> seen = new(StringComparer.Ordinal);
        long count = 0;
        foreach (var record in Training(read, heldOut))
        {
            count++;
            if (settings.Deduplicate && wanted.Contains(DataSplit.Key(record)))
                seen.Add(DataSplit.Key(record));
        }

        if (count > int.MaxValue)
            throw new PerenosException($"There are {count:N0} training records.", $"At most {int.MaxValue:N0} can be numbered: divide the data.");
        int fromValidation = validation.RemoveAll(record => seen.Contains(DataSplit.Key(record)));
        if (settings.Deduplicate)
            seen.UnionWith(validation.Select(DataSplit.Key));
        int fromTest = last.RemoveAll(record => seen.Contains(DataSplit.Key(record)));
        return (new DataSplit(new StreamedRecordCollection((int)count, () => Training(read, heldOut)), validation, last, fromValidation, fromTest), heldOut);
    }

    /// <summary>The training records among all.</summary>
    public static IEnumerable<Record> Training(Func<IEnumerable<Record>> read, IReadOnlySet<string> heldOut)
    {
        ArgumentNullException.ThrowIfNull(read);
        return read().Where(record => record.IsForTraining && !heldOut.Contains(record.Group));
    }

    private static List<Record> InFileOrder(IEnumerable<Group> groups) => [.. groups.OrderBy(group => group.Place).SelectMany(group => group.Records)];

    private sealed record Group(string Name, ulong Rank, long Place)
    {
        public List<Record> Records { get; } = [];
    }

    /// <summary>Of a stream of groups those with the smallest ranks, with their records.</summary>
    private sealed class Smallest(int most, ulong seed)
    {
        private readonly PriorityQueue<Group, (ulong Rank, string Name)> _kept = new(Comparer<(ulong Rank, string Name)>.Create((left, right) => Compare(right, left)));
        private Group? _current;

        public int Groups { get; private set; }

        public void Add(Record record)
        {
            if (_current?.Name != record.Group)
            {
                _current = new Group(record.Group, DataSplit.Rank(seed, record.Group), Groups++);
                _kept.Enqueue(_current, (_current.Rank, _current.Name));
                if (_kept.Count > most)
                    _kept.Dequeue();
            }

            // One that is not among the smallest any more keeps its records only until the next begins.
            _current.Records.Add(record);
        }

        public IEnumerable<Group> InRankOrder() => _kept.UnorderedItems.OrderBy(item => item.Priority, Comparer<(ulong, string)>.Create(Compare)).Select(item => item.Element);

        private static int Compare((ulong Rank, string Name) left, (ulong Rank, string Name) right) =>
            left.Rank != right.Rank ? left.Rank.CompareTo(right.Rank) : string.CompareOrdinal(left.Name, right.Name);
    }
}
