// The experiment's data: dotnet run prepare.cs -- bulletins.jsonl output prose.txt…
// Bulletins are cut into forecast periods, paired, and split by bulletin; what also occurs in training is removed from
// validation and test, numbers aside. Their English side and as many words of each prose file make plain text for the contrast.
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.RegularExpressions;

var (source, output) = (args[0], args[1]);
var bulletins = File.ReadLines(source).Select(line => JsonDocument.Parse(line).RootElement)
    .Select(bulletin => (Id: bulletin.GetProperty("id").ToString(), Pairs: Pairs(bulletin.GetProperty("en").GetString()!, bulletin.GetProperty("fr").GetString()!)))
    .OrderBy(bulletin => bulletin.Id, StringComparer.Ordinal).ToList();
// Neighbours in time and place are alike: whole blocks of neighbours go to one split.
var test = bulletins[..15].SelectMany(bulletin => bulletin.Pairs).ToList();
var valid = bulletins[15..25].SelectMany(bulletin => bulletin.Pairs).ToList();
var train = bulletins[25..].SelectMany(bulletin => bulletin.Pairs).Distinct().ToList();
var taught = train.Select(pair => WithoutNumbers(pair.English)).ToHashSet();
(string Name, List<(string English, string French)> Pairs)[] parts = [("train", train), ("valid", Unseen(valid)), ("test", Unseen(test))];
foreach (var (name, pairs) in parts)
{
    Write("pairs", name, pairs.Select(pair => $"{{\"en\": {Quoted(pair.English)}, \"fr\": {Quoted(pair.French)}}}"));
    Write("weather", name, pairs.Select(pair => $"{{\"text\": {Quoted(pair.English)}}}"));
    Console.WriteLine($"{name}: {pairs.Count} pairs, {Words(pairs)} English words");
}

foreach (string prose in args[2..])
{
    // Whole lines in their order: first the training part, then validation, then test.
    var lines = new Queue<string>(File.ReadLines(prose).Select(line => line.Trim()).Where(line => line.Length > 0));
    foreach (var (name, pairs) in parts)
    {
        var taken = new List<string>();
        for (int words = Words(pairs); words > 0; words -= taken[^1].Split(' ').Length)
            taken.Add(lines.Dequeue());
        // As many lines together as a forecast period has words.
        Write(Path.GetFileNameWithoutExtension(prose), name, Joined(taken, 27).Select(text => $"{{\"text\": {Quoted(text)}}}"));
    }
}

Console.WriteLine($"{bulletins.Count} bulletins, {bulletins.Count(bulletin => bulletin.Pairs.Count == 0)} of them with different numbers of periods in the two languages");

List<(string English, string French)> Unseen(List<(string English, string French)> pairs) =>
    [.. pairs.Distinct().Where(pair => !taught.Contains(WithoutNumbers(pair.English)))];

void Write(string folder, string name, IEnumerable<string> records)
{
    Directory.CreateDirectory(Path.Combine(output, folder));
    File.WriteAllLines(Path.Combine(output, folder, name + ".jsonl"), records);
}

static int Words(List<(string English, string French)> pairs) => pairs.Sum(pair => pair.English.Split(' ').Length);

// Single-file programs have no reflection-based serializer.
static string Quoted(string text) => $"\"{JavaScriptEncoder.UnsafeRelaxedJsonEscaping.Encode(text)}\"";

static IEnumerable<string> Joined(IEnumerable<string> lines, int words)
{
    var text = new StringBuilder();
    foreach (string line in lines)
    {
        text.Append(text.Length > 0 ? " " : "").Append(line);
        if (text.ToString().Split(' ').Length < words)
            continue;
        yield return text.ToString();
        text.Clear();
    }
}

static List<(string English, string French)> Pairs(string english, string french)
{
    var (left, right) = (Periods(english), Periods(french));
    return left.Count == right.Count ? [.. left.Zip(right)] : [];
}

// "Today : Mainly cloudy with …": a line that begins with a blank continues the one before; the first period names the regions.
static List<string> Periods(string bulletin) =>
    [.. Regex.Replace(bulletin.Trim(), @"\n +", " ").Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).Where(line => line.Contains(" : "))];

static string WithoutNumbers(string text) => Regex.Replace(text, "[0-9]+", "#");
