// The second corpus, and the text that is to be kept: dotnet run prepare.cs -- staqc_sql.jsonl c4_300.jsonl genesis_french.txt output
// Questions with the SQL that answered them, one answer a question; English of the web and French prose in pieces as long.
using System.Text.Encodings.Web;
using System.Text.Json.Nodes;

const int Drawn = 500;
// Longer programs are few, and hold much that no title tells.
const int LongestProgram = 60;
const int PieceWords = 120;
var (source, web, prose, output) = (args[0], args[1], args[2], args[3]);
var questions = File.ReadLines(source).Select(line => JsonNode.Parse(line)!)
    .Where(row => (int?)row["is_solution"] == 1)
    .Select(row => (Question: ((string)row["title"]!).Trim(), Sql: Program((string)row["code_tokens"]!)))
    .Where(pair => pair.Sql.Split(' ').Length <= LongestProgram)
    .GroupBy(pair => pair.Question).OrderBy(group => group.Key, StringComparer.Ordinal).Select(group => group.First()).ToList();
// Every n-th of them all, so that no part holds one end of the alphabet.
int stride = questions.Count / Drawn;
var drawn = Enumerable.Range(0, Drawn).Select(index => questions[index * stride]).ToList();
Directory.CreateDirectory(Path.Combine(output, "sql"));
Write("test", index => index % 25 < 3);
Write("valid", index => index % 25 is 3 or 4);
Write("train", index => index % 25 > 4);

var english = File.ReadLines(web).SelectMany(line => Pieces((string)JsonNode.Parse(line)!["text"]!).Take(1));
var french = Pieces(File.ReadAllText(prose));
string[] kept = [.. english.Zip(french, (first, second) => new[] { first, second }).SelectMany(pair => pair).Select(text => $"{{\"text\": {Quoted(text)}}}")];
File.WriteAllLines(Path.Combine(output, "general.jsonl"), kept);
Console.WriteLine($"general text: {kept.Length} pieces of at most {PieceWords} words");

// "<s> select col0 from tab0 ; </s>"
static string Program(string tokens) => tokens.Replace("<s>", "", StringComparison.Ordinal).Replace("</s>", "", StringComparison.Ordinal).Trim();

static IEnumerable<string> Pieces(string text) =>
    text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries).Chunk(PieceWords).Select(words => string.Join(' ', words));

// Single-file programs have no reflection-based serializer.
static string Quoted(string text) => $"\"{JavaScriptEncoder.UnsafeRelaxedJsonEscaping.Encode(text)}\"";

void Write(string part, Func<int, bool> isPart)
{
    string[] rows = [.. drawn.Where((_, index) => isPart(index)).Select(pair => $"{{\"question\": {Quoted(pair.Question)}, \"sql\": {Quoted(pair.Sql)}}}")];
    File.WriteAllLines(Path.Combine(output, "sql", part + ".jsonl"), rows);
    Console.WriteLine($"{part}: {rows.Length} questions");
}
