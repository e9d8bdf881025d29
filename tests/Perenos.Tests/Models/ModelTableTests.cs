using System.Globalization;
using System.Text.RegularExpressions;
using Perenos.Models;
using Perenos.Testing;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Models;

/// <summary>
/// The table of docs/models.md: how far each family is from transformers. <c>PERENOS_GOLDEN=update</c> measures anew; otherwise rows
/// are compared by family and fixture, since the last digits of a difference change with the processor.
/// </summary>
public sealed partial class ModelTableTests
{
    private const string Page = "docs/models.md";
    private const string Start = "<!-- differences: written by ModelTableTests -->";
    private const string End = "<!-- end of differences -->";

    [Fact]
    public void The_table_has_a_row_for_each_fixture_of_a_known_family_within_its_tolerance()
    {
        var names = Fixtures.Folders("models", "expected.safetensors").ToList();
        Fixtures.FolderOrSkip("models", names[0]);
        var committed = Rows(File.ReadAllText(PathOfPage));
        Assert.SkipWhen(!Golden.IsUpdating && committed.Any(row => !names.Contains(row.Fixture)), "these are other fixtures than the page's");
        List<Row> measured = [.. names.Where(ModelFixture.IsOfKnownFamily).Select(Measure).OrderBy(row => row.Family, StringComparer.Ordinal).ThenBy(row => row.Fixture, StringComparer.Ordinal)];
        Assert.NotEmpty(measured);
        if (Golden.IsUpdating)
        {
            string page = File.ReadAllText(PathOfPage);
            File.WriteAllText(PathOfPage, page[..(page.IndexOf(Start, StringComparison.Ordinal) + Start.Length)] + "\n" + Table(measured) + page[page.IndexOf(End, StringComparison.Ordinal)..]);
            return;
        }

        Assert.Equal(measured.Select(row => (row.Family, row.Fixture)), committed.Select(row => (row.Family, row.Fixture)));
        Assert.All(measured, row => Assert.True(row.IsWithin, row.ToString()));
    }

    [Fact]
    public void The_page_states_no_difference_beyond_its_tolerance_and_leaves_no_family_out()
    {
        var rows = Rows(File.ReadAllText(PathOfPage));
        Assert.All(rows, row => Assert.True(row.IsWithin, row.ToString()));
        Assert.Equal(ModelCatalogue.Families.Select(family => family.ModelType).Order(StringComparer.Ordinal), rows.Select(row => row.Family).Distinct());
    }

    private static string PathOfPage => Path.Combine(Shared.Checkout, Page);

    private static Row Measure(string name)
    {
        using var fixture = ModelFixture.OpenOrSkip(name);
        using var scope = NewDisposeScope();
        fixture.LossWithGradients();
        using var quiet = no_grad();
        double logits = Near.Largest(fixture["logits"], fixture.Logits(fixture["input_ids"]));
        double gradients = 0;
        foreach (var (weightName, weight) in fixture.Model.Parts.Weights)
        {
            string expected = $"grad.{fixture.NameOnDisk(weightName)}";
            using var gradient = weight.grad;
            if (fixture.Has(expected))
                gradients = Math.Max(gradients, Near.Largest(fixture[expected], gradient!));
        }

        return new Row(fixture.Model.Config.ModelType, name, logits, fixture.Tolerance("logits"), gradients, fixture.Tolerance("grad"));
    }

    private static string Table(IEnumerable<Row> rows) =>
        "| family | fixture | logits differ by | allowed | gradients differ by | allowed |\n|---|---|---|---|---|---|\n"
        + string.Concat(rows.Select(row => FormattableString.Invariant(
            $"| {row.Family} | {row.Fixture} | {row.Logits:0e-0} | {row.LogitsAllowed:0e-0} | {row.Gradients:0e-0} | {row.GradientsAllowed:0e-0} |\n")));

    private static List<Row> Rows(string page)
    {
        static double Number(Group group) => double.Parse(group.Value, CultureInfo.InvariantCulture);
        string table = page[page.IndexOf(Start, StringComparison.Ordinal)..page.IndexOf(End, StringComparison.Ordinal)];
        return [.. TableRow().Matches(table).Select(match => new Row(
            match.Groups[1].Value, match.Groups[2].Value, Number(match.Groups[3]), Number(match.Groups[4]), Number(match.Groups[5]), Number(match.Groups[6])))];
    }

    [GeneratedRegex(@"^\| (\S+) \| (\S+) \| (\d+e-?\d+) \| (\d+e-?\d+) \| (\d+e-?\d+) \| (\d+e-?\d+) \|$", RegexOptions.Multiline)]
    private static partial Regex TableRow();

    private sealed record Row(string Family, string Fixture, double Logits, double LogitsAllowed, double Gradients, double GradientsAllowed)
    {
        public bool IsWithin => Logits <= LogitsAllowed && Gradients <= GradientsAllowed;
    }
}
