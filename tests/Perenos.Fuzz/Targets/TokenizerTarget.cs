using Perenos.Text.Tokenization;

namespace Perenos.Fuzz.Targets;

/// <summary>tokenizer.json: read, and used on a text.</summary>
internal static class TokenizerTarget
{
    private const string Sample = "Hello ab abc  1234 été \u0300\u0301 日本 🙂 <s>▁a\tb\n";

    public static FuzzTarget Create() => new("tokenizer",
    [
        """
        {"version":"1.0","truncation":null,"padding":null,"added_tokens":[{"id":0,"content":"<s>","single_word":false,"lstrip":false,"rstrip":true,"normalized":false,"special":true}],
         "normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Lowercase"},{"type":"Replace","pattern":{"Regex":"\\s+"},"content":" "}]},
         "pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"\\p{N}{1,3}|[^\\s\\p{L}]+"},"behavior":"Isolated","invert":false},{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":false}]},
         "post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"pair":[{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":1}}],"special_tokens":{"<s>":{"id":"<s>","ids":[0],"tokens":["<s>"]}}},
         "decoder":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true},
         "model":{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":false,"byte_fallback":false,"ignore_merges":false,"vocab":{"<s>":0,"a":1,"b":2,"ab":3,"c":4,"abc":5,"Ġ":6},"merges":[["a","b"],["ab","c"]]}}
        """u8.ToArray(),
        """
        {"version":"1.0","added_tokens":[{"id":0,"content":"<unk>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}],
         "normalizer":{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},{"type":"Replace","pattern":{"String":" "},"content":"▁"}]},"pre_tokenizer":null,"post_processor":null,
         "decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]},
         "model":{"type":"Unigram","unk_id":0,"byte_fallback":false,"vocab":[["<unk>",0.0],["▁",-1.5],["a",-2.0],["ab",-2.5],["l",-3.0]]}}
        """u8.ToArray(),
        """
        {"version":"1.0","added_tokens":[],"normalizer":{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true},"pre_tokenizer":{"type":"BertPreTokenizer"},
         "post_processor":{"type":"BertProcessing","sep":["[SEP]",1],"cls":["[CLS]",0]},"decoder":{"type":"WordPiece","prefix":"##","cleanup":true},
         "model":{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":100,"vocab":{"[CLS]":0,"[SEP]":1,"[UNK]":2,"a":3,"##b":4,"hello":5}}}
        """u8.ToArray(),
        """
        {"version":"1.0","added_tokens":[],"normalizer":null,"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Whitespace"},{"type":"Punctuation","behavior":"Isolated"},{"type":"Digits","individual_digits":true}]},"post_processor":null,"decoder":null,
         "model":{"type":"WordLevel","unk_token":"<unk>","vocab":{"<unk>":0,"a":1,"Hello":2}}}
        """u8.ToArray(),
    ],
    TextDamage.Json, Read);

    /// <summary>Encodes and decodes.</summary>
    public static void Use(Tokenizer tokenizer)
    {
        int[] ids = tokenizer.Encode(Sample, addSpecialTokens: true);
        _ = tokenizer.EncodeWithOffsets(Sample);
        _ = tokenizer.Decode(ids, skipSpecialTokens: false);
    }

    private static long Read(FuzzInput input)
    {
        Use(Tokenizer.Parse(input.Bytes, "tokenizer.json"));
        return 0;
    }
}
