using System.Diagnostics;
using System.Text.Json.Nodes;
using Perenos.Runs;
using Perenos.Text.Data;
using Xunit;

namespace Perenos.Text.Tests.Data;

/// <summary>Parquet files written by DuckDB 1.5.6, compared with what it wrote as JSON for the same rows.</summary>
public sealed class ParquetTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("perenos-parquet-").FullName;

    public static TheoryData<string> Files => [.. Directory.EnumerateFiles(Given).Where(path => path.EndsWith(".parquet", StringComparison.Ordinal) && !path.Contains("groups", StringComparison.Ordinal)).Select(path => Path.GetFileName(path))];

    private static string Given => Path.Combine(AppContext.BaseDirectory, "Data", "Parquet");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [MemberData(nameof(Files))]
    public void Every_codec_encoding_and_type_reads_as_the_writer_says(string file)
    {
        var records = RecordFile.Read(Path.Combine(Given, file)).ToList();
        var expected = File.ReadLines(Path.Combine(Given, "expected.jsonl")).Take(records.Count).Select(line => Ours(JsonNode.Parse(line)!.AsObject())).ToList();
        Assert.InRange(records.Count, 20, 40);
        Assert.Equal($"{file}:2", records[1].Source);
        foreach (var (record, row) in records.Zip(expected))
        {
            Assert.Equal(row.Select(field => field.Key), record.Fields.Keys);
            foreach (var (key, value) in row)
                Assert.True(JsonNode.DeepEquals(value, JsonNode.Parse(record.Fields[key].GetRawText())), $"{record.Source}, {key}: {value?.ToJsonString()} but {record.Fields[key].GetRawText()}");
        }
    }

    [Fact]
    public void Row_groups_follow_one_another()
    {
        var records = RecordFile.Read(Path.Combine(Given, "groups-v1.parquet")).ToList();
        Assert.Equal(5000, records.Count);
        Assert.All(records.Index(), pair => Assert.Equal(($"{pair.Index}", $"line {pair.Index % 10}"), (pair.Item.Text("id"), pair.Item.Text("text"))));
    }

    [Fact]
    public void Messages_are_a_conversation()
    {
        var record = RecordFile.Read(Path.Combine(Given, "snappy-v1.parquet")).ElementAt(1);
        var conversation = Assert.IsType<ConversationRecord>(Assert.Single(new MessagesSchema().Records(record)));
        Assert.Equal(["user", "assistant"], conversation.Messages.Select(message => message.Role));
        Assert.Equal("Été 1 🌦", conversation.Messages[1].Content);
    }

    [Fact]
    public void Numbered_parts_of_a_folder_are_one_part_and_none_may_be_missing()
    {
        foreach (string name in new[] { "train-00000-of-00002", "train-00001-of-00002", "validation-00000-of-00001" })
            File.Copy(Path.Combine(Given, "snappy-v1.parquet"), Path.Combine(_folder, name + ".parquet"));
        var parts = RecordFile.Read(_folder).ToLookup(record => record.Part);
        Assert.Equal((80, 40), (parts[DataPart.Train].Count(), parts[DataPart.Validation].Count()));

        File.Delete(Path.Combine(_folder, "train-00001-of-00002.parquet"));
        Assert.Contains("1 of the 2 numbered parts", Assert.Throws<PerenosException>(() => RecordFile.Read(_folder)).Message, StringComparison.Ordinal);
        File.Copy(Path.Combine(Given, "snappy-v1.parquet"), Path.Combine(_folder, "train.parquet"));
        Assert.Contains("2 files for one part", Assert.Throws<PerenosException>(() => RecordFile.Read(_folder)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_file_that_is_cut_or_none_is_refused_by_name()
    {
        byte[] whole = File.ReadAllBytes(Path.Combine(Given, "snappy-v1.parquet"));
        foreach (int length in new[] { 0, 4, 11, 100, whole.Length - 1 })
        {
            string path = Write(whole[..length]);
            var problem = Assert.Throws<PerenosException>(() => RecordFile.Read(path).ToList());
            Assert.StartsWith("x.parquet: the Parquet file cannot be read: ", problem.Message, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData(600)]
    public void Damaged_files_are_refused_or_read_but_never_hang_crash_or_take_memory(int times)
    {
        var random = new Random(20260131);
        byte[][] files = [.. Files.Select(row => File.ReadAllBytes(Path.Combine(Given, row.Data)))];
        int refused = 0;
        for (int i = 0; i < times; i++)
        {
            byte[] bytes = [.. files[i % files.Length]];
            for (int change = random.Next(1, 4); change > 0; change--)
                bytes[random.Next(bytes.Length)] = random.Next(3) switch { 0 => 0xFF, 1 => 0, _ => (byte)random.Next(256) };
            string path = Write(bytes);
            long before = GC.GetAllocatedBytesForCurrentThread();
            var watch = Stopwatch.StartNew();
            try
            {
                _ = RecordFile.Read(path).Count();
            }
            catch (PerenosException)
            {
                refused++;
            }

            Assert.True(watch.Elapsed.TotalSeconds < 5, $"file {i} took {watch.Elapsed}");
            Assert.True(GC.GetAllocatedBytesForCurrentThread() - before < 64 << 20, $"file {i} took {GC.GetAllocatedBytesForCurrentThread() - before:N0} bytes");
        }

        Assert.InRange(refused, times / 10, times);
    }

    private string Write(byte[] bytes)
    {
        string path = Path.Combine(_folder, "x.parquet");
        File.WriteAllBytes(path, bytes);
        return path;
    }

    // Where this reader writes a value otherwise: a T in times, and maps as lists of pairs, whose keys need not be text.
    private static JsonObject Ours(JsonObject row)
    {
        row["at"] = row["at"]!.GetValue<string>().Replace(' ', 'T');
        row["m"] = new JsonArray([.. row["m"]!.AsObject().Select(pair => new JsonObject { ["key"] = pair.Key, ["value"] = pair.Value?.DeepClone() })]);
        return row;
    }
}
