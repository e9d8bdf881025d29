using System.Security.Cryptography;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Perenos.Recipes.Gather;

/// <summary>Writes report.json and SOURCES.md: where the text comes from, what was left out, and the sums of the files.</summary>
internal static class Report
{
    private static readonly string[] Kinds = ["pairs", "en", "fr"];
    private static readonly string[] Outputs = ["train.jsonl", "heldout.jsonl", "forgetting.jsonl"];
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true, NewLine = "\n", Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    public static void Write(string output, string sources, IReadOnlyList<Package> packages, Corpus corpus, List<Document> train, List<Document> heldOut)
    {
        var report = new
        {
            packages = packages.Select(package => new
            {
                name = package.Name,
                version = package.Version,
                licences = package.Licences,
                kept = Kinds.Where(kind => corpus.Kept.ContainsKey((package.Name, kind)))
                    .ToDictionary(kind => kind, kind => new { records = corpus.Kept[(package.Name, kind)].Records, bytes = corpus.Kept[(package.Name, kind)].Bytes }),
            }),
            totals = Kinds.ToDictionary(kind => kind, kind => new
            {
                records = corpus.Kept.Where(k => k.Key.Kind == kind).Sum(k => k.Value.Records),
                bytes = corpus.Kept.Where(k => k.Key.Kind == kind).Sum(k => k.Value.Bytes),
            }),
            removed_by_weather_filter = corpus.Refused.Where(r => r.Key.EndsWith(": weather", StringComparison.Ordinal)).Sum(r => r.Value),
            removed = corpus.Refused,
            train = Summary(train),
            heldout = Summary(heldOut),
            sha256 = Outputs.ToDictionary(name => name, name => Sum(Path.Combine(output, name))),
        };
        File.WriteAllText(Path.Combine(output, "report.json"), JsonSerializer.Serialize(report, Indented) + "\n");
        File.WriteAllText(sources, Table(packages, corpus));
    }

    private static object Summary(List<Document> documents) => new
    {
        documents = documents.Count,
        text_bytes = documents.Sum(document => (long)Encoding.UTF8.GetByteCount(document.Text)),
        by_kind = Kinds.ToDictionary(kind => kind, kind => new
        {
            documents = documents.Count(document => document.Kind == kind),
            bytes = documents.Where(document => document.Kind == kind).Sum(document => (long)Encoding.UTF8.GetByteCount(document.Text)),
        }),
        single_pair_documents = documents.Count(document => document.Kind == "pairs" && !document.Text.Contains("\n\n", StringComparison.Ordinal)),
    };

    private static string Sum(string file)
    {
        using var stream = File.OpenRead(file);
        return Convert.ToHexStringLower(SHA256.HashData(stream));
    }

    private static string Table(IReadOnlyList<Package> packages, Corpus corpus)
    {
        const int NamedLicences = 6;
        var table = new StringBuilder();
        table.Append("# Sources of the base model's text\n\n");
        table.Append("Written by `gather.sh`. Everything comes from Debian 12 packages; the licences are those named in each package's\n");
        table.Append("copyright file (the first six), which also names the authors. Text that speaks of the weather was left out.\n\n");
        table.Append("| package | version | licences | pairs | English kB | French kB |\n|---|---|---|---:|---:|---:|\n");
        foreach (var package in packages)
        {
            string licences = string.Join(", ", package.Licences.Take(NamedLicences)) + (package.Licences.Count > NamedLicences ? ", …" : "");
            var kept = corpus.Kept;
            table.Append($"| {package.Name} | {package.Version} | {licences} | {kept.GetValueOrDefault((package.Name, "pairs")).Records} ");
            table.Append($"| {kept.GetValueOrDefault((package.Name, "en")).Bytes / 1000} | {kept.GetValueOrDefault((package.Name, "fr")).Bytes / 1000} |\n");
        }

        return table.ToString();
    }
}
