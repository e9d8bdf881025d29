using System.Text.Json;
using Perenos.Runs;

namespace Perenos.Text.Tokenization;

/// <summary>The two files that GPT-2's tokenizer came as: encoder.json (or vocab.json) and vocab.bpe (or merges.txt).</summary>
internal static class Gpt2Files
{
    private const string EndOfText = "<|endoftext|>";

    public static Tokenizer Load(string vocabularyPath, string mergesPath)
    {
        foreach (string path in (string[])[vocabularyPath, mergesPath])
        {
            if (!File.Exists(path))
                throw new PerenosException($"There is no file {path}.", "GPT-2's tokenizer needs a vocabulary and a list of merges.");
        }

        Dictionary<string, int> vocabulary;
        try
        {
            vocabulary = JsonSerializer.Deserialize<Dictionary<string, int>>(File.ReadAllBytes(vocabularyPath)) ?? [];
        }
        catch (JsonException error)
        {
            throw new PerenosException($"{vocabularyPath} is no list of tokens with ids.", "Download the file again.", error);
        }

        var merges = new List<(string, string)>();
        foreach (string line in File.ReadLines(mergesPath))
        {
            if (line.Length == 0 || line.StartsWith("#version", StringComparison.Ordinal))
                continue;
            string[] parts = line.Split(' ');
            if (parts.Length != 2)
                throw new PerenosException($"{mergesPath}: merge {merges.Count} is not two tokens.", "Download the file again.");
            merges.Add((parts[0], parts[1]));
        }

        var sections = new TokenizerSections
        {
            PreTokenizers = [TokenizerSections.ByteLevel],
            PostProcessor = new { type = "ByteLevel", add_prefix_space = true, trim_offsets = false, use_regex = true },
            Decoder = TokenizerSections.ByteLevel,
            Options = new BpeOptions(),
        };
        return sections.Build(
            vocabularyPath,
            vocabulary.TryGetValue(EndOfText, out int id) ? [TokenizerSections.Added(id, EndOfText, special: true, normalized: true)] : [],
            vocabulary,
            merges);
    }
}
