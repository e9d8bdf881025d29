using Perenos.Evaluation;
using Perenos.Runs;
using Xunit;

namespace Perenos.Tests.Evaluation;

public sealed class JudgementTests : IDisposable
{
    private const int Resamples = 200;

    private readonly string _folder = Directory.CreateTempSubdirectory().FullName;

    private static readonly Judgement Poor = new()
    {
        Answers = ["a cold wind", "rain"],
        Expected = ["a cold north wind", "rain this morning"],
        Losses = [new RecordLoss(6, 3), new RecordLoss(4, 2)],
        Reference = [new DocumentLikelihood(30, 10, 40, 8), new DocumentLikelihood(60, 20, 80, 16)],
    };

    private static readonly Judgement Good = Poor with
    {
        Answers = ["a cold north wind", "rain this morning"],
        Losses = [new RecordLoss(3, 3), new RecordLoss(2, 2)],
        Reference = [new DocumentLikelihood(32, 10, 40, 8), new DocumentLikelihood(64, 20, 80, 16)],
    };

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public void Changes_are_taken_item_by_item()
    {
        var changes = Poor.ChangesTo(Good, Resamples).ToDictionary(change => change.Name);
        // Every record loses one nat a token, every document gains 0.2: no resample differs.
        Assert.Equal((-1, -1, -1), (changes[Judgement.Names.TestLoss].Value, changes[Judgement.Names.TestLoss].Low, changes[Judgement.Names.TestLoss].High));
        Assert.Equal(0.2, changes[Judgement.Names.GeneralLoss].Low!.Value, 1e-12);
        Assert.Equal(0.2, changes[Judgement.Names.GeneralLoss].High!.Value, 1e-12);
        Assert.Equal(100, changes[Judgement.Names.ExactMatch].Value);
    }

    [Fact]
    public void What_was_written_is_read_again()
    {
        string path = Path.Combine(_folder, "after.json");
        Good.Write(path);
        Assert.Equal(Good.Scores(Resamples), Judgement.Read(path).Scores(Resamples));
        Assert.True(Judgement.Read(path).HasSameTest(Poor));
    }

    [Fact]
    public void Other_records_or_other_tokens_are_another_test()
    {
        Assert.False(Good.HasSameTest(Good with { Expected = ["a cold north wind", "snow"] }));
        Assert.False(Good.HasSameTest(Good with { Losses = [new RecordLoss(3, 4), new RecordLoss(2, 2)] }));
        Assert.False(Good.HasSameTest(Good with { Reference = [new DocumentLikelihood(32, 11, 40, 8), new DocumentLikelihood(64, 20, 80, 16)] }));
    }

    [Fact]
    public void A_damaged_file_is_refused_by_name()
    {
        string path = Path.Combine(_folder, "after.json");
        File.WriteAllText(path, """{"answers": ["a"]}""");
        Assert.Contains("after.json", Assert.Throws<PerenosException>(() => Judgement.Read(path)).Message, StringComparison.Ordinal);
    }
}
