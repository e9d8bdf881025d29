using Perenos.Fuzz;
using Xunit;

namespace Perenos.Tests;

/// <summary>A short run of the fuzzing program; the long one is run by hand.</summary>
public sealed class FuzzTests
{
    private const int Inputs = 2000;

    public static TheoryData<string> Readers => [.. FuzzTarget.All.Select(target => target.Name)];

    [Theory]
    [MemberData(nameof(Readers))]
    public void Damaged_files_are_read_or_refused_quickly_and_within_their_size_class(string reader)
    {
        string folder = Directory.CreateTempSubdirectory("perenos-fuzz-").FullName;
        try
        {
            var target = FuzzTarget.All.Single(target => target.Name == reader);
            var report = FuzzRun.Run(target, seed: 5, first: 0, Inputs, folder);
            Assert.True(report.Findings.Count == 0, string.Join("\n\n", report.Findings.Select(finding => $"input {finding.Input} of seed 5: {finding.Text}")));
            Assert.InRange(report.Accepted, 1, Inputs - 1);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    [Fact]
    public void The_same_numbers_give_the_same_input()
    {
        var target = FuzzTarget.All[0];
        Assert.Equal(FuzzRun.Bytes(target, 7, 12), FuzzRun.Bytes(target, 7, 12));
        Assert.NotEqual(FuzzRun.Bytes(target, 7, 12), FuzzRun.Bytes(target, 8, 12));
    }

    [Fact]
    public void A_reader_that_throws_swells_or_takes_too_long_is_found()
    {
        var faults = new (string Kind, Action Fault)[]
        {
            ("InvalidOperationException", () => throw new InvalidOperationException()),
            ("memory", () => GC.KeepAlive(new byte[FuzzRun.AlwaysAllowedBytes * 2])),
            ("slow", () =>
            {
                for (double start = ThreadTime.Seconds(); ThreadTime.Seconds() - start < 1.1;)
                    Thread.SpinWait(1000);
            }),
        };
        foreach (var (kind, fault) in faults)
        {
            bool isSeed = true;
            var target = new FuzzTarget("broken", [[1, 2, 3]], (valid, damage) => damage.Bytes(valid), _ =>
            {
                if (!isSeed)
                    fault();
                isSeed = false;
                return 0;
            });
            Assert.StartsWith(kind, Assert.Single(FuzzRun.Run(target, 1, 0, 1, Path.GetTempPath()).Findings).Kind, StringComparison.Ordinal);
        }
    }
}
