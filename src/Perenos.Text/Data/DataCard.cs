using System.Text;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Perenos.Runs;

namespace Perenos.Text.Data;

/// <summary>
/// What the card of a data set, the front matter of its <c>README.md</c>, says of its files under <c>configs:</c>
/// (https://huggingface.co/docs/hub/datasets-manual-configuration): named configurations, each with files for each split.
/// </summary>
/// <param name="Configurations">In the card's order; empty where the card names none.</param>
public sealed record DataCard(IReadOnlyList<DataConfiguration> Configurations)
{
    /// <summary>Name of the file.</summary>
    public const string FileName = "README.md";

    // Class names of a data set may fill hundreds of kilobytes before the section.
    private const int MostBytes = 1 << 20;

    /// <summary>The card of a folder; without configurations where it has none.</summary>
    /// <exception cref="PerenosException">The section is malformed.</exception>
    public static DataCard Of(string folder)
    {
        string path = Path.Combine(folder, FileName);
        if (!File.Exists(path))
            return new DataCard([]);
        using var stream = File.OpenRead(path);
        byte[] head = new byte[(int)Math.Min(stream.Length, MostBytes)];
        stream.ReadExactly(head);
        return Parse(Encoding.UTF8.GetString(head), path);
    }

    /// <summary>Reads the section from the text of a card.</summary>
    /// <exception cref="PerenosException">The section is malformed.</exception>
    public static DataCard Parse(string text, string location)
    {
        ArgumentNullException.ThrowIfNull(text);
        string[] lines = text.ReplaceLineEndings("\n").Split('\n');
        if (lines[0].Trim() != "---")
            return new DataCard([]);
        // Only this section: what else a card says need not be valid YAML.
        string[] section = [.. lines.Skip(1).TakeWhile(line => line.TrimEnd() != "---").SkipWhile(line => !line.StartsWith("configs:", StringComparison.Ordinal))
            .TakeWhile((line, place) => place == 0 || line.Length == 0 || line[0] is ' ' or '-' or '#')];
        if (section.Length == 0)
            return new DataCard([]);
        return (ConfigFile.ParseYaml(string.Join('\n', section), location) as JsonObject)?["configs"] switch
        {
            null => new DataCard([]),
            JsonArray list => new DataCard([.. list.Select(entry => DataConfiguration.Read(entry as JsonObject ?? throw Malformed(location, "an entry is no mapping"), location))]),
            _ => throw Malformed(location, "it is no list"),
        };
    }

    /// <summary>The configuration of a name; without a name the only one, or the one that the card calls the default. None where the card has none.</summary>
    /// <param name="wanted">Its name, or null.</param>
    /// <param name="location">Where the data are, for messages.</param>
    /// <exception cref="PerenosException">There is none of that name, or a name is needed; the message lists them.</exception>
    public DataConfiguration? Choose(string? wanted, string location)
    {
        if (wanted is null && Configurations.Count < 2)
            return Configurations.SingleOrDefault();
        var chosen = Configurations.FirstOrDefault(configuration => wanted is null ? configuration.IsDefault : configuration.Name == wanted);
        string names = string.Join(", ", Configurations.Take(20).Select(configuration => configuration.Name)) + (Configurations.Count > 20 ? $" and {Configurations.Count - 20} more" : "");
        return chosen ?? throw (wanted is null
            ? new PerenosException($"{location} has {Configurations.Count} configurations and no default: {names}.", $"Say which: {location}:{Configurations[0].Name}.")
            : new PerenosException($"{location} has no configuration \"{wanted}\"; it has {(names.Length == 0 ? "none" : names)}.",
                NearestName.Of(wanted, Configurations.Select(configuration => configuration.Name)) is { } nearest ? $"Did you mean {location}:{nearest}?" : $"They stand under \"configs:\" in {FileName}."));
    }

    internal static PerenosException Malformed(string location, string what) =>
        new($"{location}: \"configs:\" is malformed: {what}.", "Name the file or folder instead of the data set.");
}

/// <summary>One configuration of a data set.</summary>
/// <param name="Name">Its name.</param>
/// <param name="IsDefault">Whether it is meant where none is named.</param>
/// <param name="Splits">Names of splits, each with the patterns of its files.</param>
public sealed record DataConfiguration(string Name, bool IsDefault, IReadOnlyList<(string Split, IReadOnlyList<string> Patterns)> Splits)
{
    /// <summary>The files of each split, out of those that there are (paths with slashes), in their order.</summary>
    /// <exception cref="PerenosException">A pattern matches none.</exception>
    public IReadOnlyList<(string Split, IReadOnlyList<string> Files)> Files(IReadOnlyList<string> all, string location) =>
        [.. Splits.Select(split => (split.Split, (IReadOnlyList<string>)[.. split.Patterns.SelectMany(pattern => Matches(pattern, all, location)).Distinct()]))];

    internal static DataConfiguration Read(JsonObject entry, string location)
    {
        string name = Text(entry, "config_name", location) ?? throw DataCard.Malformed(location, "an entry has no config_name");
        string folder = Text(entry, "data_dir", location) is { } inside ? inside.TrimEnd('/') + "/" : "";
        var splits = entry["data_files"] switch
        {
            null => throw DataCard.Malformed(location, $"{name} has no data_files"),
            JsonArray list when list.Any(item => item is JsonObject) => list.Select(item => item as JsonObject ?? throw DataCard.Malformed(location, $"{name} mixes splits and files"))
                .Select(item => (Text(item, "split", location) ?? throw DataCard.Malformed(location, $"{name} has files without a split"), Patterns(item["path"]))).ToList(),
            JsonObject bySplit => [.. bySplit.Select(split => (split.Key, Patterns(split.Value)))],
            var files => [("train", Patterns(files))],
        };
        return new DataConfiguration(name, name == "default" || entry["default"]?.ToString() == "true", splits);

        IReadOnlyList<string> Patterns(JsonNode? node)
        {
            IEnumerable<JsonNode?> paths = node as JsonArray ?? (IEnumerable<JsonNode?>)[node];
            return [.. paths.Select(item => item?.ToString() is { Length: > 0 } path ? folder + path : throw DataCard.Malformed(location, $"{name} has a split without a path"))];
        }
    }

    private static string? Text(JsonObject entry, string key, string location) => entry[key] switch
    {
        null => null,
        JsonValue value => value.ToString(), // a number too: names such as 2024
        _ => throw DataCard.Malformed(location, $"{key} is no text"),
    };

    private string[] Matches(string pattern, IReadOnlyList<string> all, string location)
    {
        // Linear: the pattern comes from a stranger.
        var glob = new Regex(Expression(pattern), RegexOptions.NonBacktracking | RegexOptions.CultureInvariant);
        string[] files = [.. all.Where(file => glob.IsMatch(file)).Order(StringComparer.Ordinal)];
        return files.Length > 0
            ? files
            : throw new PerenosException($"{location}: no file is {pattern}, of which its configuration \"{Name}\" is made.", "Choose another configuration or revision, or name a file.");
    }

    // As the hub reads them: * and ? stay inside a folder, ** does not; any other sign stands for itself.
    private static string Expression(string pattern) => @"\A" + Regex.Escape(pattern.StartsWith("./", StringComparison.Ordinal) ? pattern[2..] : pattern)
        .Replace(@"\*\*/", "(?:.*/)?", StringComparison.Ordinal).Replace(@"\*\*", ".*", StringComparison.Ordinal)
        .Replace(@"\*", "[^/]*", StringComparison.Ordinal).Replace(@"\?", "[^/]", StringComparison.Ordinal) + @"\z";
}
