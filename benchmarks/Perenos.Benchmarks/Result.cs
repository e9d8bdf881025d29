using System.Globalization;

namespace Perenos.Benchmarks;

/// <summary>A benchmark's page: machine, table, bars. Printed, and kept as Markdown where <c>--save FOLDER</c> asks for it.</summary>
internal sealed class Result(string name)
{
    private readonly List<string> _lines = [$"# {name}", "", .. Machine.Describe()];
    private bool _isMet = true;

    internal void Fact(string text) => _lines.Add($"- {text}");

    internal void Table(IReadOnlyList<string> header, IEnumerable<IReadOnlyList<string>> rows)
    {
        static string Row(IEnumerable<string> cells) => $"| {string.Join(" | ", cells)} |";
        _lines.AddRange(["", Row(header), Row(header.Select((_, column) => column == 0 ? "---" : "---:")), .. rows.Select(Row), ""]);
    }

    /// <summary>What must hold, and whether it does.</summary>
    internal void Bar(string statement, bool isMet)
    {
        _lines.Add($"- {(isMet ? "met" : "**missed**")}: {statement}");
        _isMet &= isMet;
    }

    /// <summary>Prints the page, keeps it, and gives the exit status: 1 where a bar was missed.</summary>
    internal int Finish(Options options)
    {
        string page = string.Join('\n', _lines) + "\n";
        Console.Write(page);
        string folder = options.Text("save", "");
        if (folder.Length > 0)
        {
            Directory.CreateDirectory(folder);
            string date = TimeProvider.System.GetUtcNow().ToString("yyyy-MM-dd", CultureInfo.InvariantCulture);
            File.WriteAllText(Path.Combine(folder, $"{date}-{name}.md"), page);
        }

        return _isMet ? 0 : 1;
    }

    internal static double Median(IEnumerable<double> values)
    {
        var sorted = values.Order().ToList();
        int middle = sorted.Count / 2;
        return sorted.Count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
    }
}
