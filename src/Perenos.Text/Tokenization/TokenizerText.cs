using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Perenos.Runs;

namespace Perenos.Text.Tokenization;

/// <summary>The plain files of older tokenizers: lists of tokens and of merges.</summary>
internal static class TokenizerText
{
    private static readonly JsonSerializerOptions Relaxed = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>A JSON object of tokens and their ids.</summary>
    /// <exception cref="PerenosException">The file is missing or malformed.</exception>
    public static Dictionary<string, int> Vocabulary(string path)
    {
        Dictionary<string, int> vocabulary;
        try
        {
            vocabulary = JsonSerializer.Deserialize<Dictionary<string, int>>(File.ReadAllBytes(Present(path))) ?? [];
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            throw new PerenosException($"{path} is no list of tokens with ids.", "Download the file again.", error);
        }

        if (vocabulary.FirstOrDefault(static entry => entry.Value < 0) is { Key: { } token })
            throw new PerenosException($"{path}: the id of \"{token}\" is negative.", "Download the file again.");
        return vocabulary;
    }

    /// <summary>Lines of two symbols, best first; a count behind them and a "#version" line are passed over.</summary>
    /// <exception cref="PerenosException">The file is missing or malformed.</exception>
    public static List<(string Left, string Right)> Merges(string path)
    {
        var merges = new List<(string, string)>();
        int number = 0;
        foreach (string line in Lines(path))
        {
            number++;
            if (line.Length == 0 || (number == 1 && line.StartsWith("#version", StringComparison.Ordinal)))
                continue;
            string[] parts = line.Split(' ');
            if (parts.Length is not (2 or 3) || parts[0].Length == 0 || parts[1].Length == 0 || (parts.Length == 3 && !long.TryParse(parts[2], out _)))
                throw new PerenosException($"{path}, line {number} is not two symbols.", "Download the file again.");
            merges.Add((parts[0], parts[1]));
        }

        return merges;
    }

    /// <summary>The lines of a file; only a line feed ends one, with or without a carriage return before it.</summary>
    public static IEnumerable<string> Lines(string path) =>
        File.ReadAllText(Present(path)).TrimEnd('\n').Split('\n').Select(static line => line.TrimEnd('\r'));

    /// <summary>A vocab.json.</summary>
    public static byte[] Json(Vocabulary vocabulary) =>
        JsonSerializer.SerializeToUtf8Bytes(vocabulary.InOrder.ToDictionary(static entry => entry.Key, static entry => entry.Value), Relaxed);

    /// <summary>A merges.txt.</summary>
    public static byte[] Lines(IEnumerable<(string Left, string Right)> merges) =>
        Encoding.UTF8.GetBytes(string.Concat(merges.Select(static merge => $"{merge.Left} {merge.Right}\n")));

    private static string Present(string path) =>
        File.Exists(path) ? path : throw new PerenosException($"There is no file {path}.", "A tokenizer of this kind needs a vocabulary and a list of merges.");
}
