using Perenos.Runs;
using Perenos.Text.Data;

namespace Perenos.Fuzz.Targets;

/// <summary>Data files: JSON lines, a JSON array, tables.</summary>
internal static class RecordsTargets
{
    private static readonly string[] AwkwardCells = ["\"", "\"\"", "\",\"", ",", "\t", "\n", "\r\n", "\r", "\0", "\uFEFF", "en", " "];

    public static IEnumerable<FuzzTarget> Create() =>
    [
        new("jsonl",
            ["{\"en\":\"Sunny.\",\"fr\":\"Ensoleillé.\"}\n{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}\n\n"u8.ToArray()],
            TextDamage.Json, input => Read(input, "train.jsonl")),
        new("json",
            ["""[{"en":"Sunny.","fr":"Ensoleillé."},{"id":1,"tags":["a",null,2.5],"more":{"deep":[[[]]]}}]"""u8.ToArray()],
            TextDamage.Json, input => Read(input, "train.json")),
        new("csv",
            ["en,fr\nSunny.,Ensoleillé.\n\"a, \"\"b\"\"\nc\",d\n"u8.ToArray()],
            (valid, damage) => TextDamage.Words(valid, damage, AwkwardCells), input => Read(input, "train.csv")),
    ];

    private static readonly Schema[] Schemas = [new MessagesSchema(), new ShareGptSchema()];

    private static long Read(FuzzInput input, string name)
    {
        foreach (var record in RecordFile.Read(input.FileNamed(name)))
            Use(record);
        return 0;
    }

    /// <summary>What a run does with a record.</summary>
    public static void Use(RawRecord record)
    {
        foreach (string field in record.Fields.Keys)
            Refusable(() => record.Text(field));
        foreach (var schema in Schemas)
            Refusable(() => schema.Records(record).Count());
    }

    // A field that is refused does not end the file.
    private static void Refusable(Func<object> read)
    {
        try
        {
            _ = read();
        }
        catch (PerenosException)
        {
        }
    }
}
