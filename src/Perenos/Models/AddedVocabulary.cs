using Perenos.Runs;
using Perenos.Text.Tokenization;

namespace Perenos.Models;

/// <summary>What a model's vocabulary was extended by, kept beside the model: the rows that an adapter trains by default, and that the model before lacks.</summary>
public sealed record AddedVocabulary
{
    /// <summary>Name of the file in the model's folder.</summary>
    public const string FileName = "perenos_vocabulary.json";

    /// <summary>The tokens by id. Each one's row started as the mean, in float32, of the rows of its pieces.</summary>
    public required IReadOnlyList<ExtensionToken> Tokens { get; init; }

    /// <summary>Whether decoding leaves them out with the special tokens.</summary>
    public required bool AreSpecial { get; init; }

    /// <summary>Whether they are found only as words of their own.</summary>
    public required bool AreWholeWords { get; init; }

    /// <summary>The command that extends a model in the same way.</summary>
    public string Command(string model) =>
        $"perenos tokenizer extend {model} {string.Join(' ', Tokens.Select(token => $"--token \"{token.Content}\""))}{(AreSpecial ? " --special" : "")}{(AreWholeWords ? " --whole-words" : "")} --output FOLDER";

    /// <summary>Whether a tokenizer has these tokens under these numbers.</summary>
    public bool IsIn(Tokenizer tokenizer)
    {
        ArgumentNullException.ThrowIfNull(tokenizer);
        return Tokens.All(token => tokenizer.IdOf(token.Content) == token.Id);
    }

    internal static AddedVocabulary? Read(string folder, Tokenizer tokenizer)
    {
        string path = Path.Combine(folder, FileName);
        if (!File.Exists(path))
            return null;
        var added = ConfigFile.Read<AddedVocabulary>(path);
        return added.IsIn(tokenizer)
            ? added
            : throw new PerenosException($"{path} names tokens that the tokenizer beside it does not have.", "Extend the model again, or remove the file: no rows are then trained by default.");
    }

    internal void Write(string folder) => ConfigFile.Write(Path.Combine(folder, FileName), this);
}
