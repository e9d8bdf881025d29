using System.Buffers.Binary;
using System.Text;
using System.Text.Json;
using Perenos.Runs;
using Perenos.Text.Tokenization;
using Xunit;

namespace Perenos.Text.Tests.Tokenization;

/// <summary>
/// SentencePiece models. The fixtures hold no .model file, but tokenizer.json files that were made from such, and what SentencePiece gives
/// for their texts: the files are put together here from the pieces.
/// </summary>
public sealed class SentencePieceTests
{
    /// <summary>Folders whose goldens hold ids of SentencePiece itself.</summary>
    public static TheoryData<string> Folders => TokenizerFixtures.FoldersWith("goldens.jsonl", mentioning: "\"sentencepiece_");

    [Theory]
    [MemberData(nameof(Folders))]
    public void Ids_are_those_of_SentencePiece(string folder)
    {
        var reference = TokenizerFixtures.Load(folder);
        var tokenizer = Open(ModelOf(reference));
        var wrong = new List<string>();
        foreach (var record in TokenizerFixtures.Records(folder, "goldens.jsonl"))
        {
            string text = record.GetProperty("text").GetString()!;
            int[] expected = record.Ints(record.TryGetProperty("sentencepiece_ids", out _) ? "sentencepiece_ids" : "ids");
            int[] ids = tokenizer.Encode(text, specialsAsText: true);
            if (!ids.AsSpan().SequenceEqual(expected))
                wrong.Add($"{record.GetProperty("id")} {record.GetProperty("tag")}: expected {string.Join(' ', expected.Take(40))}, got {string.Join(' ', ids.Take(40))}");
            int[] known = record.Ints("ids");
            if (tokenizer.Decode(known, skipSpecialTokens: false) != record.GetProperty("decoded").GetString())
                wrong.Add($"{record.GetProperty("id")}: decoded as {tokenizer.Decode(known, skipSpecialTokens: false)}");
        }

        Assert.True(wrong.Count == 0, $"{wrong.Count} differences\n{string.Join('\n', wrong.Take(12))}");
    }

    [Theory]
    [MemberData(nameof(Folders))]
    public void Its_tokenizer_json_is_the_one_that_the_reference_made(string folder)
    {
        var reference = TokenizerFixtures.Load(folder);
        var written = Tokenizer.Parse(Open(ModelOf(reference)).ToJson(), folder);
        foreach (var record in TokenizerFixtures.Records(folder, "goldens.jsonl"))
            Assert.Equal(record.Ints("ids"), written.Encode(record.GetProperty("text").GetString()!));
    }

    [Fact]
    public void Special_tokens_are_found_in_the_text_and_put_around_it_as_the_settings_say()
    {
        byte[] model = Model(isBpe: true, addDummyPrefix: true, ("<unk>", 0, 2), ("<s>", 0, 3), ("</s>", 0, 3), ("\u2581a", -1, 1), ("\u2581", -2, 1), ("a", -3, 1));
        Assert.Equal([1, 3], Open(model).Encode("a", addSpecialTokens: true));
        Assert.Equal([3, 2, 3], Open(model).Encode("a</s>a"));
        Assert.Equal([3, 2, 5], Open(model, """{"legacy": false}""").Encode("a</s>a"));
        Assert.Equal([3, 2], Open(model, """{"add_bos_token": false, "add_eos_token": true}""").Encode("a", addSpecialTokens: true));
        Assert.Equal(7, Open(model, """{"added_tokens_decoder": {"6": {"content": "<x>", "special": true}}}""").VocabularySize);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Pieces_of_the_user_win_and_never_merge(bool isBpe)
    {
        var tokenizer = Open(Model(isBpe, addDummyPrefix: false, ("<unk>", 0, 2), ("<s>", 0, 3), ("</s>", 0, 3), ("ab", -1, 1), ("a", -2, 1), ("b", -3, 1), ("bc", -9, 4), ("c", -4, 1)));
        Assert.Equal([4, 6, 7], tokenizer.Encode("abcc"));
        Assert.Equal("abcc", tokenizer.Decode([4, 6, 7]));
    }

    [Fact]
    public void Equal_scores_merge_from_the_left()
    {
        var tokenizer = Open(Model(isBpe: true, addDummyPrefix: false, ("<unk>", 0, 2), ("<s>", 0, 3), ("</s>", 0, 3), ("bc", -1, 1), ("ab", -1, 1), ("a", -2, 1), ("b", -3, 1), ("c", -4, 1)));
        Assert.Equal([4, 7], tokenizer.Encode("abc"));
    }

    [Fact]
    public void Broken_and_foreign_files_are_refused_by_name()
    {
        byte[] good = Model(isBpe: true, addDummyPrefix: true, ("<unk>", 0, 2), ("<s>", 0, 3), ("</s>", 0, 3), ("a", -1, 1));
        Assert.Contains("is no SentencePiece model", Refused("version https://git-lfs.github.com/spec/v1"u8.ToArray()));
        Assert.Contains("no pieces", Refused([]));
        for (int length = 1; length < good.Length; length++)
            Open(good[..length], mayFail: true);
        var random = new Random(1);
        for (int turn = 0; turn < 5_000; turn++)
        {
            byte[] bytes = [.. good];
            for (int change = 0; change < 3; change++)
                bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
            Open(bytes, mayFail: true);
        }

        static string Refused(byte[] model) => Assert.Throws<PerenosException>(() => Open(model)).Message;
    }

    private static void Open(byte[] model, bool mayFail)
    {
        try
        {
            SentencePieceFile.Read(model, "m");
        }
        catch (PerenosException error) when (mayFail)
        {
            Assert.NotNull(error.Hint);
        }
    }

    private static Tokenizer Open(byte[] model, string? config = null)
    {
        string folder = Directory.CreateTempSubdirectory().FullName;
        try
        {
            File.WriteAllBytes(Path.Combine(folder, "tokenizer.model"), model);
            if (config is not null)
                File.WriteAllText(Path.Combine(folder, "tokenizer_config.json"), config);
            return Tokenizer.OpenFolder(folder)!;
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    // The .model that a tokenizer.json of the fixtures was made from.
    private static byte[] ModelOf(Tokenizer tokenizer)
    {
        using var json = JsonDocument.Parse(tokenizer.ToJson());
        var model = json.RootElement.GetProperty("model");
        bool isBpe = model.GetProperty("type").GetString() == "BPE";
        var specials = json.RootElement.GetProperty("added_tokens").EnumerateArray().Select(token => token.GetProperty("content").GetString()).ToHashSet();
        (string Text, float Score)[] pieces = isBpe
            ? [.. model.GetProperty("vocab").EnumerateObject().OrderBy(piece => piece.Value.GetInt32()).Select(piece => (piece.Name, (float)Math.Min(0, 259 - piece.Value.GetInt32())))]
            : [.. model.GetProperty("vocab").EnumerateArray().Select(piece => (piece[0].GetString()!, (float)piece[1].GetDouble()))];
        bool fallsBack = model.GetProperty("byte_fallback").GetBoolean();
        byte[] map = json.RootElement.GetProperty("normalizer").GetProperty("normalizers")[0] is var first && first.TryGetProperty("precompiled_charsmap", out var text)
            ? text.GetBytesFromBase64() : [];
        return [
            .. pieces.SelectMany(piece => Field(1, Piece(piece.Text, piece.Score,
                piece.Text == "<unk>" ? 2 : specials.Contains(piece.Text) ? 3 : fallsBack && piece.Text.Length == 6 && piece.Text.StartsWith("<0x", StringComparison.Ordinal) ? 6 : 1))),
            .. Field(2, [.. Number(3, isBpe ? 2 : 1), .. Number(35, fallsBack ? 1 : 0)]),
            .. Field(3, [.. Field(2, map), .. Number(4, isBpe ? 0 : 1)]),
        ];
    }

    private static byte[] Model(bool isBpe, bool addDummyPrefix, params (string Text, float Score, int Kind)[] pieces) =>
    [
        .. pieces.SelectMany(piece => Field(1, Piece(piece.Text, piece.Score, piece.Kind))),
        .. Field(2, Number(3, isBpe ? 2 : 1)),
        .. Field(3, [.. Number(3, addDummyPrefix ? 1 : 0), .. Number(4, 0)]),
    ];

    private static byte[] Piece(string text, float score, int kind)
    {
        byte[] bits = new byte[4];
        BinaryPrimitives.WriteSingleLittleEndian(bits, score);
        return [.. Field(1, Encoding.UTF8.GetBytes(text)), .. Varint(2 << 3 | 5), .. bits, .. Number(3, kind)];
    }

    private static byte[] Field(int field, byte[] content) => [.. Varint((uint)field << 3 | 2), .. Varint((uint)content.Length), .. content];

    private static byte[] Number(int field, int value) => [.. Varint((uint)field << 3), .. Varint((uint)value)];

    private static IEnumerable<byte> Varint(uint value)
    {
        for (; value >= 0x80; value >>= 7)
            yield return (byte)(value | 0x80);
        yield return (byte)value;
    }
}
