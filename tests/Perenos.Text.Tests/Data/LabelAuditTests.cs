using Perenos.Runs;
using Perenos.Text.Data;
using Xunit;

namespace Perenos.Text.Tests.Data;

public sealed class LabelAuditTests
{
    private static readonly HashSet<int> Stops = [9];

    private static Example Of(int row, int[] ids, string learnt, bool isText = false) =>
        new(ids, [.. learnt.Select(mark => mark == 'x')], $"f:{row}") { IsText = isText };

    private static string Refused(params Example[] examples) =>
        Assert.Throws<PerenosException>(() => LabelAudit.Check(examples, Stops, maximumLength: 4)).Message;

    [Fact]
    public void Good_examples_are_counted()
    {
        var report = LabelAudit.Check([Of(1, [1, 2, 9], ".xx"), Of(2, [1, 2, 3, 9], "...x") with { IsTruncated = true }], Stops, 4, dropped: 3);
        Assert.Equal(new LabelReport(2, 7, 3, 1, 3, 4), report);
        Assert.Equal(3.0 / 7, report.LearntShare);
    }

    [Fact]
    public void Examples_without_labels_are_refused_naming_five_rows()
    {
        var examples = Enumerable.Range(1, 7).Select(row => Of(row, [1, 9], "..")).Append(Of(8, [1, 9], ".x")).ToArray();
        Assert.Equal("7 of 8 examples have nothing to learn: no token is a label: f:1, f:2, f:3, f:4, f:5, ….", Refused(examples));
    }

    [Fact]
    public void Cut_and_endless_replies_are_refused()
    {
        Assert.Contains("1 of 2 examples have a reply that does not end in a stop token", Refused(Of(1, [1, 2, 3], ".xx"), Of(2, [1, 9], ".x")));
        Assert.Contains("f:1", Refused(Of(1, [1, 2, 3, 9], ".x.x")));
        Assert.Contains("longer than 4 tokens", Refused(Of(1, [1, 2, 3, 4, 9], ".xxxx")));
        Assert.Contains("never have a stop token", Refused(Of(1, [1, 2, 3], ".xx", isText: true)));
    }

    [Fact]
    public void A_text_may_end_in_a_later_window()
    {
        Assert.Equal(2, LabelAudit.Check([Of(1, [1, 2, 3, 4], ".xxx", isText: true), Of(1, [4, 9], ".x", isText: true)], Stops, 4).Examples);
    }

    [Fact]
    public void No_examples_at_all_are_refused_with_the_reason()
    {
        Assert.Contains("There are no examples.", Refused());
        Assert.Contains("all 3 completions are longer", Assert.Throws<PerenosException>(() => LabelAudit.Check([], Stops, 4, dropped: 3)).Message);
    }

    [Fact]
    public void A_preview_shows_each_token_with_its_mark()
    {
        Assert.Equal([new PreviewToken(1, "<1>", false), new PreviewToken(9, "<9>", true)], LabelAudit.Preview(Of(1, [1, 9], ".x"), id => $"<{id}>"));
    }
}
