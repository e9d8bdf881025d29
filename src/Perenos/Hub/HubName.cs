using System.Text.RegularExpressions;
using Perenos.Runs;

namespace Perenos.Hub;

/// <summary>What a repository of the hub holds.</summary>
public enum HubKind
{
    /// <summary>A model, or an adapter.</summary>
    Model,

    /// <summary>Records.</summary>
    Dataset,
}

/// <summary>
/// A repository of the Hugging Face hub, as people write it: <c>owner/name</c>, with <c>@revision</c> (branch, tag or commit) and
/// <c>:file</c> behind it where wanted. Exactly one slash: a path with more, or one that begins with a dot or a slash, is a path.
/// </summary>
/// <param name="Kind">What the repository holds.</param>
/// <param name="Repository"><c>owner/name</c>.</param>
public sealed partial record HubName(HubKind Kind, string Repository)
{
    /// <summary>The revision where none is named.</summary>
    public const string DefaultRevision = "main";

    private const int LongestRepository = 96;

    // Endings of files: "data/pairs.jsonl" is a path that is not there, never a repository.
    private static readonly string[] FileEndings =
        [".gguf", ".safetensors", ".bin", ".pt", ".pth", ".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".txt", ".parquet", ".gz", ".zip", ".yaml", ".yml", ".md"];

    /// <summary>Branch, tag or commit.</summary>
    public string Revision { get; init; } = DefaultRevision;

    /// <summary>One file (a GGUF file, a data file) or folder of the repository; null stands for what a model or data set needs.</summary>
    public string? Path { get; init; }

    /// <summary>Whether the revision is a commit, under which files never change.</summary>
    public bool IsPinned => IsCommit(Revision);

    /// <summary>The name that a text has the form of, or null: then it can only be a path.</summary>
    public static HubName? TryParse(string text, HubKind kind)
    {
        ArgumentNullException.ThrowIfNull(text);
        var match = Form().Match(text);
        if (!match.Success)
            return null;
        string repository = match.Groups["repository"].Value;
        string? file = match.Groups["file"] is { Success: true } group ? group.Value : null;
        if (repository.Length > LongestRepository || repository.Contains("--", StringComparison.Ordinal) || repository.Contains("..", StringComparison.Ordinal)
            || FileEndings.Contains(System.IO.Path.GetExtension(repository).ToLowerInvariant()))
        {
            return null;
        }

        // "owner/name/file" without a colon: only a file whose ending says what it is.
        if (match.Groups["colon"].Value == "/" && !FileEndings.Contains(System.IO.Path.GetExtension(file!).ToLowerInvariant()))
            return null;
        string revision = match.Groups["revision"] is { Success: true } named ? named.Value : DefaultRevision;
        return IsInside(revision) && (file is null || IsInside(file)) ? new HubName(kind, repository) { Revision = revision, Path = file } : null;
    }

    /// <summary>As <see cref="TryParse"/>, where nothing but a name is possible; <c>datasets/owner/name</c> is a data set.</summary>
    /// <exception cref="PerenosException">The text has not the form of a name.</exception>
    public static HubName Parse(string text)
    {
        const string datasets = "datasets/";
        ArgumentNullException.ThrowIfNull(text);
        var name = text.StartsWith(datasets, StringComparison.Ordinal) ? TryParse(text[datasets.Length..], HubKind.Dataset) : TryParse(text, HubKind.Model);
        return name ?? throw new PerenosException($"\"{text}\" is not the name of a repository on the hub.",
            "Names are owner/name, such as EleutherAI/gpt-j-6b; with @revision or :file.gguf behind it where wanted, and datasets/owner/name for data.");
    }

    /// <summary>As it was written: <c>owner/name@revision:file</c>.</summary>
    public override string ToString() => $"{Repository}{(Revision == DefaultRevision ? "" : "@" + Revision)}{(Path is null ? "" : ":" + Path)}";

    internal static bool IsCommit(string revision) => revision.Length == 40 && revision.All(char.IsAsciiHexDigitLower);

    /// <summary>Whether a name from outside stays inside the folder it is put into.</summary>
    internal static bool IsInside(string path) =>
        path.Length is > 0 and <= 1024 && !path.Any(c => char.IsControl(c) || c is '\\' or ':')
        && path.Split('/').All(part => part.Length is > 0 and <= 255 && part is not ("." or ".."));

    [GeneratedRegex(@"\A(?<repository>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(@(?<revision>[^:@]+))?((?<colon>[:/])(?<file>[^:]+))?\z", RegexOptions.ECMAScript)]
    private static partial Regex Form();
}
