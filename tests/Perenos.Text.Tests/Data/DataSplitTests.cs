using CsCheck;
using Perenos.Runs;
using Perenos.Text.Data;
using Xunit;

namespace Perenos.Text.Tests.Data;

public sealed class DataSplitTests
{
    private static PromptRecord Pair(int row, string group, string? prompt = null) =>
        new(prompt ?? $"prompt {row}", "c") { Source = $"f:{row}", Group = group };

    private static List<Text.Data.Record> Pairs(int rows, int perGroup) => [.. Enumerable.Range(0, rows).Select(row => Pair(row, $"g{row / perGroup}"))];

    [Fact]
    public void Every_record_stands_in_one_part_and_no_group_in_two()
    {
        Gen.Select(Gen.Int[3, 200], Gen.Int[1, 5], Gen.ULong).Sample((rows, perGroup, seed) =>
        {
            if (rows / perGroup < 3)
                return;
            var split = DataSplit.Of(Pairs(rows, perGroup), new SplitSettings { Seed = seed, Validation = 0.1, Test = 0.2 });
            Assert.Equal(rows, split.Train.Count + split.Validation.Count + split.Test.Count);
            string[][] groups = [.. new[] { split.Train, split.Validation, split.Test }.Select(part => part.Select(record => record.Group).Distinct().ToArray())];
            Assert.Equal(groups.Sum(part => part.Length), groups.SelectMany(part => part).Distinct().Count());
            Assert.All(groups, part => Assert.NotEmpty(part));
        }, iter: 100);
    }

    [Fact]
    public void The_split_is_that_of_its_seed_whatever_the_order_of_the_records()
    {
        var records = Pairs(100, 2);
        var settings = new SplitSettings { Seed = 7, Validation = 0.1, Test = 0.1 };
        var split = DataSplit.Of(records, settings);
        Assert.Equal((80, 10, 10), (split.Train.Count, split.Validation.Count, split.Test.Count));

        records.Reverse();
        Assert.Equal(split.Test.Select(record => record.Source).Order(), DataSplit.Of(records, settings).Test.Select(record => record.Source).Order());
        Assert.NotEqual(split.Test.Select(record => record.Source).Order(), DataSplit.Of(records, settings with { Seed = 8 }).Test.Select(record => record.Source).Order());
    }

    [Fact]
    public void The_rank_of_a_group_stays_what_it_is()
    {
        // A change here would silently move test records into training of runs that are repeated.
        Assert.Equal(0x38277249338EDDBDUL, DataSplit.Rank(42, "weather.jsonl:17"));
    }

    [Fact]
    public void Prompts_that_stand_in_training_leave_validation_and_test_and_are_counted()
    {
        List<Text.Data.Record> records =
        [
            Pair(1, "a", "same  words") with { Part = DataPart.Train },
            Pair(2, "b", " same\nwords") with { Part = DataPart.Test },
            Pair(3, "c", "other") with { Part = DataPart.Validation },
            Pair(4, "d", "other") with { Part = DataPart.Test },
            Pair(5, "e", "new") with { Part = DataPart.Test },
        ];
        var split = DataSplit.Of(records, new SplitSettings());
        Assert.Equal((1, 1, 1, 0, 2), (split.Train.Count, split.Validation.Count, split.Test.Count, split.DroppedFromValidation, split.DroppedFromTest));
        Assert.Equal(3, DataSplit.Of(records, new SplitSettings { Deduplicate = false }).Test.Count);
    }

    [Fact]
    public void Shares_that_leave_nothing_are_refused()
    {
        Assert.Throws<PerenosException>(() => DataSplit.Of(Pairs(10, 1), new SplitSettings { Validation = 0.5, Test = 0.5 }));
        Assert.Throws<PerenosException>(() => DataSplit.Of(Pairs(10, 1), new SplitSettings { Validation = double.NaN }));
        Assert.Contains("2 groups", Assert.Throws<PerenosException>(() => DataSplit.Of(Pairs(2, 1), new SplitSettings())).Message);
        Assert.Equal(2, DataSplit.Of(Pairs(2, 1), new SplitSettings { Validation = 0, Test = 0 }).Train.Count);
    }
}
