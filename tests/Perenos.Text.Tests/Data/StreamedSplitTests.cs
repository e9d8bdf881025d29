using CsCheck;
using Perenos.Runs;
using Perenos.Text.Data;
using Xunit;

namespace Perenos.Text.Tests.Data;

public sealed class StreamedSplitTests
{
    private static PromptRecord Pair(int row, string group, DataPart? part = null) => new($"prompt {row % 37}", "c") { Source = $"f:{row}", Group = group, Part = part };

    [Fact]
    public void It_is_the_split_in_memory_where_that_holds_out_no_more_groups_than_are_kept()
    {
        Gen.Select(Gen.Int[3, 200], Gen.Int[1, 5], Gen.ULong, Gen.Int[0, 2]).Sample((rows, perGroup, seed, named) =>
        {
            if (rows / perGroup < 4)
                return;
            List<Text.Data.Record> records = [.. Enumerable.Range(0, rows).Select(row => Pair(row, $"g{row / perGroup}"))];
            if (named > 0)
                records.AddRange(Enumerable.Range(rows, 5).Select(row => Pair(row, $"valid:{row}", DataPart.Validation)));
            if (named > 1)
                records.AddRange(Enumerable.Range(rows + 5, 5).Select(row => Pair(row, $"test:{row}", DataPart.Test)));
            var settings = new SplitSettings { Seed = seed, Validation = 0.1, Test = 0.2 };
            var (expected, (actual, _)) = (DataSplit.Of(records, settings), StreamedSplit.Of(() => records, settings));
            Assert.Equal(expected.Train, actual.Train);
            Assert.Equal(expected.Train.Count, actual.Train.Count);
            Assert.Equal(expected.Validation, actual.Validation);
            Assert.Equal(expected.Test, actual.Test);
            Assert.Equal((expected.DroppedFromValidation, expected.DroppedFromTest), (actual.DroppedFromValidation, actual.DroppedFromTest));
        }, iter: 200);
    }

    [Fact]
    public void Of_many_records_a_bounded_number_is_held_out_and_held_in_memory()
    {
        const int rows = 150_000;
        List<WeakReference> read = [];
        IEnumerable<Text.Data.Record> Records()
        {
            for (int row = 0; row < rows; row++)
            {
                var record = new TextRecord($"text {row}") { Source = $"f:{row}", Group = $"f:{row}" };
                read.Add(new WeakReference(record));
                yield return record;
            }
        }

        var (split, heldOut) = StreamedSplit.Of(Records, new SplitSettings { Seed = 3 });
        Assert.Equal((rows - 2 * StreamedSplit.MostGroups, StreamedSplit.MostGroups, StreamedSplit.MostGroups), (split.Train.Count, split.Validation.Count, split.Test.Count));
        GC.Collect();
        Assert.Equal(2 * rows, read.Count);
        Assert.InRange(read.Count(record => record.IsAlive), split.Validation.Count + split.Test.Count, 2 * StreamedSplit.MostGroups + 10);
        Assert.DoesNotContain(split.Train.Take(1000), record => heldOut.Contains(record.Group));
    }

    [Fact]
    public void Shares_that_leave_nothing_are_refused()
    {
        List<Text.Data.Record> two = [Pair(0, "a"), Pair(1, "b")];
        Assert.Contains("2 groups", Assert.Throws<PerenosException>(() => StreamedSplit.Of(() => two, new SplitSettings())).Message);
        Assert.Throws<PerenosException>(() => StreamedSplit.Of(() => two, new SplitSettings { Validation = 0.5, Test = 0.5 }));
    }
}
