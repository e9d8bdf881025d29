using System.Text;
using Perenos.Runs;

namespace Perenos.Text.Data;

/// <summary>How records are set apart for validation and test.</summary>
public sealed record SplitSettings
{
    /// <summary>Share of the groups that is watched during training.</summary>
    public double Validation { get; init; } = 0.05;

    /// <summary>Share of the groups that is looked at once, at the end.</summary>
    public double Test { get; init; } = 0.05;

    /// <summary>Seed of the choice; the same seed and groups give the same split whatever the order of the records.</summary>
    public ulong Seed { get; init; }

    /// <summary>Whether validation and test lose the records whose prompt also stands in training (and test those of validation).</summary>
    public bool Deduplicate { get; init; } = true;
}

/// <summary>Records in three parts; those of one group stand in one part.</summary>
/// <param name="Train">Learnt from.</param>
/// <param name="Validation">Watched during training.</param>
/// <param name="Test">Looked at once.</param>
/// <param name="DroppedFromValidation">Records left out of validation because their prompt stands in training.</param>
/// <param name="DroppedFromTest">Records left out of test because their prompt stands in training or validation.</param>
public sealed record DataSplit(IReadOnlyCollection<Record> Train, IReadOnlyList<Record> Validation, IReadOnlyList<Record> Test, int DroppedFromValidation, int DroppedFromTest)
{
    /// <summary>
    /// Splits by group. Groups are ranked by a hash of seed and name, and the first of them are set apart: exact shares, at least one group for each share above zero.
    /// A part that the files themselves name (valid.jsonl, test.jsonl) is taken as it is, and no share of the rest is set apart for it.
    /// </summary>
    /// <exception cref="PerenosException">The shares leave nothing to train on.</exception>
    public static DataSplit Of(IReadOnlyList<Record> records, SplitSettings settings)
    {
        ArgumentNullException.ThrowIfNull(records);
        ArgumentNullException.ThrowIfNull(settings);
        Check(settings);
        bool hasValidation = records.Any(record => record.Part == DataPart.Validation);
        bool hasTest = records.Any(record => record.Part == DataPart.Test);
        string[] groups = [.. records.Where(record => record.IsForTraining).Select(record => record.Group).Distinct().OrderBy(group => Rank(settings.Seed, group)).ThenBy(group => group, StringComparer.Ordinal)];
        var (validationGroups, testGroups) = Groups(settings, groups.Length, hasValidation, hasTest);
        var partOf = groups.Select((group, index) => (group, Part: index < testGroups ? DataPart.Test : index < testGroups + validationGroups ? DataPart.Validation : DataPart.Train))
            .ToDictionary(pair => pair.group, pair => pair.Part, StringComparer.Ordinal);
        var parts = records.ToLookup(record => record.IsForTraining ? partOf[record.Group] : record.Part!.Value);
        List<Record> train = [.. parts[DataPart.Train]], validation = [.. parts[DataPart.Validation]], test = [.. parts[DataPart.Test]];
        if (!settings.Deduplicate)
            return new DataSplit(train, validation, test, 0, 0);

        var seen = train.Select(Key).ToHashSet(StringComparer.Ordinal);
        int fromValidation = validation.RemoveAll(record => seen.Contains(Key(record)));
        seen.UnionWith(validation.Select(Key));
        int fromTest = test.RemoveAll(record => seen.Contains(Key(record)));
        return new DataSplit(train, validation, test, fromValidation, fromTest);
    }

    internal static void Check(SplitSettings settings)
    {
        if (!(settings.Validation >= 0 && settings.Test >= 0 && settings.Validation + settings.Test < 1))
            throw new PerenosException($"The shares for validation ({settings.Validation}) and test ({settings.Test}) leave nothing to train on.", "Both are at least 0, and together less than 1.");
    }

    /// <summary>How many groups are set apart.</summary>
    internal static (int Validation, int Test) Groups(SplitSettings settings, int groups, bool hasValidation, bool hasTest)
    {
        int test = hasTest ? 0 : GroupCount(settings.Test, groups), validation = hasValidation ? 0 : GroupCount(settings.Validation, groups);
        return test + validation == 0 || test + validation < groups
            ? (validation, test)
            : throw new PerenosException($"{groups} groups cannot be split: {validation} for validation and {test} for test leave none to train on.", "Give more data, or set the shares for validation and test to 0.");
    }

    internal static string Key(Record record) => Record.KeyOf(record.PromptText);

    private static int GroupCount(double share, int groups) =>
        share == 0 ? 0 : Math.Max(1, (int)Math.Round(share * groups, MidpointRounding.AwayFromZero));

    /// <summary>FNV-1a over the name, then the finalizer of SplitMix64 (Steele et al. 2014, https://doi.org/10.1145/2660193.2660195) with the seed.</summary>
    internal static ulong Rank(ulong seed, string group)
    {
        ulong hash = 14695981039346656037;
        foreach (byte value in Encoding.UTF8.GetBytes(group))
            hash = (hash ^ value) * 1099511628211;

        ulong mixed = hash ^ Finalize(seed + 0x9E3779B97F4A7C15);
        return Finalize(mixed);
    }

    private static ulong Finalize(ulong value)
    {
        value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9;
        value = (value ^ (value >> 27)) * 0x94D049BB133111EB;
        return value ^ (value >> 31);
    }
}
