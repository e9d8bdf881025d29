using System.IO.Compression;
using System.Text;
using CsCheck;
using Perenos.Runs;
using Perenos.Testing;
using Perenos.Text.Data;
using Xunit;

namespace Perenos.Text.Tests.Data;

public sealed class RecordFileTests : IDisposable
{
    private readonly Scratch _scratch = new();

    public void Dispose() => _scratch.Dispose();

    private List<string> Texts(string path, string key) => [.. RecordFile.Read(path).Select(record => record.Text(key))];

    private static PerenosException Refused(string path, PlainTextUnit unit = PlainTextUnit.Document) =>
        Assert.Throws<PerenosException>(() => RecordFile.Read(path, unit).ToList());

    [Theory]
    [InlineData("a.jsonl")]
    [InlineData("a.jsonl.gz")]
    public void Lines_of_json_keep_their_numbers_through_blank_lines_bom_and_crlf(string name)
    {
        string path = _scratch.Write(name, "\uFEFF{\"t\": \"é\"}\r\n\r\n{\"t\": 2.50}\n  \n{\"t\": true}");
        var records = RecordFile.Read(path).ToList();
        Assert.Equal([1, 3, 5], records.Select(record => record.Row));
        Assert.Equal(["é", "2.50", "true"], records.Select(record => record.Text("t")));
        Assert.Equal($"{name}:3", records[1].Source);
    }

    [Theory]
    [InlineData("[{\"t\": \"a\"}, {\"t\": \"b\"}]")]
    [InlineData("{\"version\": 1, \"data\": [{\"t\": \"a\"}, {\"t\": \"b\"}]}")]
    public void An_array_is_found_alone_or_as_the_one_array_of_an_object(string json)
    {
        Assert.Equal(["a", "b"], Texts(_scratch.Write("a.json", json), "t"));
    }

    [Theory]
    [InlineData("{\"a\": [], \"b\": []}", "2 arrays (a, b)")]
    [InlineData("{\"a\": 1}", "without an array")]
    [InlineData("3", "a number")]
    [InlineData("[1]", "a.json:1: the record is a number")]
    [InlineData("[{]", "a.json:1: not valid JSON")]
    [InlineData("", "not valid JSON")]
    [InlineData("[{\"a\": 1, \"a\": 2}]", "\"a\" stands twice")]
    public void Json_of_another_shape_is_refused_by_name(string json, string expected)
    {
        Assert.Contains(expected, Refused(_scratch.Write("a.json", json)).Message);
    }

    [Fact]
    public void A_broken_line_is_named_by_file_and_row()
    {
        var error = Refused(_scratch.Write("a.jsonl", "{\"t\": 1}\n{\"t\": \n"));
        Assert.StartsWith("a.jsonl:2: not valid JSON", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Quoted_fields_hold_commas_quotes_and_line_ends()
    {
        string path = _scratch.Write("a.csv", "\uFEFFid,text\r\n1,\"a, \"\"b\"\"\r\nc\"\r\n\r\n2,plain \"inside\"\r\n3,\"\"\r\n4,");
        var records = RecordFile.Read(path).ToList();
        Assert.Equal(["a, \"b\"\r\nc", "plain \"inside\"", "", ""], records.Select(record => record.Text("text")));
        Assert.Equal([2, 5, 6, 7], records.Select(record => record.Row));
        Assert.Equal(["id", "text"], records[0].Fields.Keys);
    }

    [Theory]
    [InlineData("a,b\n1,2,3\n", "a.csv:2: the row has 3 fields, but the header names 2 (a, b)")]
    [InlineData("a,b\n1,\"2\n3\n", "a.csv:2: the quote that opens here is never closed")]
    [InlineData("a,b\n1,\"2\"x\n", "a.csv:2: text after the closing quote of field 2")]
    [InlineData("a,a\n1,2\n", "names \"a\" twice")]
    public void Malformed_delimited_rows_are_named(string content, string expected)
    {
        Assert.Contains(expected, Refused(_scratch.Write("a.csv", content)).Message);
    }

    [Fact]
    public void Whatever_is_written_by_rfc_4180_is_read_back()
    {
        string path = Path.Combine(_scratch.Folder, "a.csv");
        Gen.Char["ab,\"\n\r é\t"].Array[0, 6].Select(chars => new string(chars)).Array[2].Array[1, 5].Sample(rows =>
        {
            static string Quote(string field) => $"\"{field.Replace("\"", "\"\"", StringComparison.Ordinal)}\"";
            File.WriteAllText(path, "x,y\r\n" + string.Concat(rows.Select(row => string.Join(',', row.Select(Quote)) + "\r\n")));
            var read = RecordFile.Read(path).Select(record => new[] { record.Text("x"), record.Text("y") });
            Assert.Equal(rows, read);
        }, iter: 100, threads: 1);
    }

    [Fact]
    public void A_quote_in_a_tab_separated_file_is_an_ordinary_character_unless_it_encloses_the_field()
    {
        string path = _scratch.Write("a.tsv", "text\tlabel\n\" half\tx\n\"whole \"\"q\"\"\"\ty\n\"a\" and \"b\"\tz\n");
        Assert.Equal(["\" half", "whole \"q\"", "\"a\" and \"b\""], Texts(path, "text"));
    }

    [Theory]
    [InlineData(PlainTextUnit.Document, new[] { "a\nb", "c" }, new long[] { 2, 6 })]
    [InlineData(PlainTextUnit.Line, new[] { "a", "b", "c" }, new long[] { 2, 3, 6 })]
    [InlineData(PlainTextUnit.File, new[] { "\na\nb\n \n\nc" }, new long[] { 1 })]
    public void Plain_text_is_read_by_documents_lines_or_whole(PlainTextUnit unit, string[] texts, long[] rows)
    {
        var records = RecordFile.Read(_scratch.Write("a.txt", "\na\r\nb\n \n\nc\n"), unit).ToList();
        Assert.Equal(texts, records.Select(record => record.Text("text")));
        Assert.Equal(rows, records.Select(record => record.Row));
    }

    [Theory]
    [InlineData("a.jsonl")]
    [InlineData("a.csv")]
    [InlineData("a.tsv")]
    [InlineData("a.txt")]
    public void An_empty_file_has_no_records(string name)
    {
        Assert.Empty(RecordFile.Read(_scratch.Write(name, "")));
    }

    [Fact]
    public void Aligned_files_are_found_by_their_stem_or_named_one_by_one()
    {
        string english = _scratch.Write("a.en", "one\u2028same line\ntwo\n");
        string french = _scratch.Write("a.fr.gz", "un\ndeux");
        _scratch.Write("a.txt", "not a language");
        foreach (string path in new[] { Path.Combine(_scratch.Folder, "a"), $"{english}, {french}" })
        {
            var records = RecordFile.Read(path).ToList();
            Assert.Equal(["one\u2028same line", "two"], records.Select(record => record.Text("en")));
            Assert.Equal(["un", "deux"], records.Select(record => record.Text("fr")));
            Assert.Equal("a.en+a.fr.gz:2", records[1].Source);
        }
    }

    [Fact]
    public void Aligned_files_of_unequal_length_are_refused_with_both_counts_before_the_first_record()
    {
        _scratch.Write("a.en", "1\n2\n3\n");
        _scratch.Write("a.fr", "1\n2\n");
        var error = Assert.Throws<PerenosException>(() => RecordFile.Read(Path.Combine(_scratch.Folder, "a")).First());
        Assert.Contains("a.en has 3 lines, a.fr has 2 lines", error.Message);
    }

    [Fact]
    public void A_stem_with_one_language_and_a_missing_file_are_refused()
    {
        string one = _scratch.Write("b.en", "1\n");
        Assert.Contains("no second language", Refused(Path.Combine(_scratch.Folder, "b")).Message);
        Assert.Contains("b.frr", Refused($"{one},{Path.Combine(_scratch.Folder, "b.frr")}").Message);
        Assert.Equal("Did you mean b.en?", Refused(Path.Combine(_scratch.Folder, "b.em")).Hint);
        Assert.Contains("does not exist either", Refused("/nowhere/at/all.jsonl").Hint);
        Assert.Contains(".xyz", Refused(_scratch.Write("a.xyz", "")).Message);
    }

    [Fact]
    public void A_folder_gives_its_parts_in_order()
    {
        _scratch.Write("test.jsonl", "{\"t\": 3}");
        _scratch.Write("train.jsonl", "{\"t\": 1}");
        _scratch.Write("valid.jsonl.gz", "{\"t\": 2}");
        var records = RecordFile.Read(_scratch.Folder).ToList();
        Assert.Equal(["1", "2", "3"], records.Select(record => record.Text("t")));
        Assert.Equal([DataPart.Train, DataPart.Validation, DataPart.Test], records.Select(record => record.Part!.Value));

        _scratch.Write("val.csv", "t\n2\n");
        Assert.Contains("2 files for one part: val.csv, valid.jsonl.gz", Refused(_scratch.Folder).Message);
        File.Delete(Path.Combine(_scratch.Folder, "train.jsonl"));
        Assert.Contains("no train file", Refused(_scratch.Folder).Message);
    }

    [Fact]
    public void Other_encodings_are_named_and_not_replaced()
    {
        Assert.Contains("a.txt:2: the line is not valid UTF-8", Refused(_scratch.Write("a.txt", [.. "ok\n"u8, 0xE9, 10])).Message);
        Assert.Contains("UTF-16", Refused(_scratch.Write("b.csv", [.. Encoding.Unicode.GetPreamble(), .. Encoding.Unicode.GetBytes("a,b\n")])).Message);
        Assert.Contains("not valid Unicode", Assert.Throws<PerenosException>(() => Texts(_scratch.Write("a.jsonl", "{\"t\": \"\\ud83d\"}"), "t")).Message);
    }

    [Fact]
    public void A_small_compressed_file_that_claims_a_huge_line_is_refused_before_the_memory_is_taken()
    {
        string path = Path.Combine(_scratch.Folder, "a.jsonl.gz");
        using (var zip = new GZipStream(File.Create(path), CompressionLevel.Fastest))
        {
            byte[] block = new byte[1 << 20];
            block.AsSpan().Fill((byte)' ');
            for (int i = 0; i < 140; i++)
                zip.Write(block);
        }

        Assert.Contains("longer than 64 MiB", Refused(path).Message);
    }

    [Fact]
    public void Damaged_compression_is_refused()
    {
        byte[] noise = new byte[4000];
        new Random(1).NextBytes(noise);
        string path = _scratch.Write("a.jsonl.gz", noise);
        byte[] whole = File.ReadAllBytes(path);
        File.WriteAllBytes(path, [.. whole[..10], .. whole[500..]]);
        Refused(path);
    }

    [Fact]
    public void Arbitrary_bytes_are_read_or_refused_but_never_crash()
    {
        string[] names = ["a.jsonl", "a.json", "a.csv", "a.tsv", "a.txt"];
        Gen.Select(Gen.Int[0, names.Length - 1], Gen.Byte.Array[0, 60]).Sample(pair =>
        {
            try
            {
                foreach (var record in RecordFile.Read(_scratch.Write(names[pair.Item1], pair.Item2)))
                    Assert.NotNull(record.Source);
            }
            catch (PerenosException error)
            {
                Assert.NotEmpty(error.Hint);
            }
        }, iter: 300, threads: 1);
    }

    [Fact]
    public void A_missing_field_is_named_with_those_that_exist_and_the_nearest()
    {
        var record = RecordFile.Read(_scratch.Write("a.jsonl", "{\"en\": \"x\", \"french\": null}")).Single();
        var error = Assert.Throws<PerenosException>(() => record.Text("frensh"));
        Assert.Equal("a.jsonl:1: there is no field \"frensh\".", error.Message);
        Assert.Equal("The fields are: en, french. Nearest: \"french\".", error.Hint);
        Assert.Contains("\"french\" is null", Assert.Throws<PerenosException>(() => record.Text("french")).Message);
    }

    [Fact]
    public void The_real_data_are_read_whole()
    {
        Assert.Equal(100, RecordFile.Read(Shared.SharedOrSkip("data", "weather", "bulletins.jsonl")).Count(record => record.Text("en").Length > 0 && record.Text("fr").Length > 0));
        Assert.Equal(1000, RecordFile.Read(Shared.PathOf("data", "mt", "multi30k_test_2016_flickr")).Count(record => record.Fields.Count == 4));
        Assert.Equal(30, RecordFile.Read(Shared.PathOf("data", "text", "wikipedia_30.txt"), PlainTextUnit.Line).Count());
        Assert.Equal(300, RecordFile.Read(Shared.PathOf("data", "text", "c4_300.jsonl")).Count());
    }
}
