using System.Text.Encodings.Web;
using System.Text.Json;
using Perenos.Recipes.Gather;

if (args.Length != 3 || !Directory.Exists(args[0]))
{
    Console.Error.WriteLine("usage: Gather <unpacked packages> <output folder> <SOURCES.md>");
    return 2;
}

string output = args[1];
Directory.CreateDirectory(output);
var json = new JsonSerializerOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

var packages = Directory.EnumerateDirectories(args[0]).Order(StringComparer.Ordinal).Select(folder => new Package(folder)).ToList();
var corpus = new Corpus();
foreach (var package in packages)
    corpus.Add(package);

var (train, heldOut) = corpus.Split();
Write("train.jsonl", train.Select(document => new { text = document.Text }));
Write("heldout.jsonl", heldOut.Select(document => new { text = document.Text }));
Write("forgetting.jsonl", ReferenceTexts.Choose(heldOut));
Report.Write(output, args[2], packages, corpus, train, heldOut);
return 0;

void Write<T>(string name, IEnumerable<T> records)
{
    using var file = new StreamWriter(Path.Combine(output, name)) { NewLine = "\n" };
    foreach (var record in records)
        file.WriteLine(JsonSerializer.Serialize(record, json));
}
