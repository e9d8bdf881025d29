using System.Text;
using Perenos.Text.Tokenization;

namespace Perenos.Fuzz.Targets;

/// <summary>A folder with tokenizer.model: the SentencePiece model, and the tokenizer_config.json beside it.</summary>
internal static class SentencePieceTargets
{
    private static readonly byte[] Bpe = Model(isBpe: true), Unigram = Model(isBpe: false);
    private static readonly byte[] Settings = """
        {"tokenizer_class":"LlamaTokenizer","add_bos_token":true,"add_eos_token":false,"legacy":false,"bos_token":"<s>","eos_token":{"content":"</s>","lstrip":false,"normalized":false,"rstrip":false,"single_word":false},
         "unk_token":"<unk>","added_tokens_decoder":{"7":{"content":"<x>","lstrip":false,"normalized":false,"rstrip":false,"single_word":false,"special":true}},"model_max_length":1000000000000000019884624838656}
        """u8.ToArray();

    public static IEnumerable<FuzzTarget> Create() =>
    [
        new("sentencepiece", [Bpe, Unigram], (valid, damage) => damage.Bytes(valid), input => Read(input.FileNamed("tokenizer.model"), input, "{}"u8.ToArray())),
        new("settings", [Settings], TextDamage.Json, input =>
        {
            File.WriteAllBytes(input.FileBeside("tokenizer.model"), Bpe);
            return Read(input.FileBeside("tokenizer.model"), input, input.Bytes);
        }),
    ];

    private static long Read(string model, FuzzInput input, byte[] settings)
    {
        File.WriteAllBytes(input.FileBeside("tokenizer_config.json"), settings);
        TokenizerTarget.Use(Tokenizer.OpenFolder(Path.GetDirectoryName(model)!)!);
        return 0;
    }

    // https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto
    private static byte[] Model(bool isBpe)
    {
        (string Text, float Score, byte Kind)[] pieces = [("<unk>", 0, 2), ("<s>", 0, 3), ("</s>", 0, 3), ("\u2581a", -1, 1), ("\u2581", -2, 1), ("a", -3, 1), ("b", -4, 4)];
        return
        [
            .. pieces.SelectMany(piece => Block(1, [.. Block(1, Encoding.UTF8.GetBytes(piece.Text)), 0x15, .. BitConverter.GetBytes(piece.Score), 0x18, piece.Kind])),
            .. Block(2, [0x18, (byte)(isBpe ? 2 : 1), 0xC0, 2, 0]), // model_type, unk_id
            .. Block(3, [0x18, 1, 0x20, 1, 0x28, 1]), // add_dummy_prefix, remove_extra_whitespaces, escape_whitespaces
        ];
    }

    private static byte[] Block(int field, byte[] content) => [(byte)(field << 3 | 2), (byte)content.Length, .. content];
}
