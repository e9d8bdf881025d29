using System.Globalization;
using System.Text;

namespace Perenos.Runs;

/// <summary>
/// A run on disk: <c>runs/NAME</c> with everything that is needed to look at it, go on with it or repeat it. The names of
/// the files inside are decided here and nowhere else.
/// </summary>
public sealed class RunFolder : IDisposable
{
    /// <summary>The folder that holds the runs, below the current one.</summary>
    public const string DefaultRoot = "runs";

    private const string StepPrefix = "step-";
    private const int LongestName = 100;
    private const int MostOfOneMinute = 1000;
    private readonly RunLock? _lock;

    private RunFolder(string path, RunLock? held) => (Path, _lock) = (System.IO.Path.GetFullPath(path), held);

    /// <summary>Full path.</summary>
    public string Path { get; }

    /// <summary>Last part of the path.</summary>
    public string Name => System.IO.Path.GetFileName(Path);

    /// <summary>The resolved configuration: what to repeat.</summary>
    public string Config => In("config.json");

    /// <summary>Machine and versions: <see cref="RunEnvironment"/>.</summary>
    public string Environment => In("environment.json");

    /// <summary>The files of streamed data as they were when the run began; absent where data are held in memory.</summary>
    public string Data => In("data.json");

    /// <summary>What happened: <see cref="EventLog"/>.</summary>
    public string Events => In("events.jsonl");

    /// <summary>Held-out examples with their answers.</summary>
    public string Samples => In("samples.jsonl");

    /// <summary>What was measured of the model before training, item by item.</summary>
    public string Before => In("before.json");

    /// <summary>What was measured of it afterwards.</summary>
    public string After => In("after.json");

    /// <summary>The run in a few values: <see cref="RunSummary"/>.</summary>
    public string Summary => In("summary.json");

    /// <summary>The report to read and print.</summary>
    public string Report => In("report.html");

    /// <summary>Folder of the trained adapter.</summary>
    public string Adapter => In("adapter");

    /// <summary>Folder of the trained model, where all weights were trained.</summary>
    public string Model => In("model");

    /// <summary>The Fisher file that the run itself estimated; absent where the recipe names one, or none is needed.</summary>
    public string Fisher => FisherIn(Path);

    /// <summary>Folder of the training checkpoints.</summary>
    public string Checkpoints => In("checkpoints");

    /// <summary>Folder of the stages' runs, where the run has stages.</summary>
    public string Stages => In("stages");

    /// <summary>Event files for TensorBoard.</summary>
    public string TensorBoard => In("tensorboard");

    /// <summary>Whether it is a run in stages.</summary>
    public bool IsStaged => ConfigFile.Has(Config, "stages");

    /// <summary>Where the run in a folder keeps the Fisher file that it estimates; there need be none yet.</summary>
    public static string FisherIn(string folder) => System.IO.Path.Combine(folder, "fisher.safetensors");

    /// <summary>Folder of one training checkpoint; write it with <see cref="AtomicFile.WriteFolder"/>.</summary>
    public string CheckpointAt(long step) =>
        System.IO.Path.Combine(Checkpoints, StepPrefix + step.ToString("D6", CultureInfo.InvariantCulture));

    /// <summary>
    /// Makes and locks a new folder. Without <paramref name="name"/> it is made of the other words and the time
    /// (<c>tune-smollm2-bulletins-20261123-2311</c>) and numbered until it is free.
    /// </summary>
    /// <exception cref="PerenosException">The name is taken or no file name, or the folder cannot be written to.</exception>
    public static RunFolder Create(string root, string? name, string recipe, string model, string data, TimeProvider clock)
    {
        if (name is not null)
        {
            return TryCreate(root, CheckName(name))
                ?? throw new PerenosException($"The run {name} exists already.", $"Choose another name, or go on with it: --resume {System.IO.Path.Combine(root, name)}.");
        }

        string made = NameFor(recipe, model, data, clock);
        for (int number = 1; number <= MostOfOneMinute; number++)
        {
            if (TryCreate(root, number == 1 ? made : $"{made}-{number}") is { } folder)
                return folder;
        }

        throw new PerenosException($"{made} and its first {MostOfOneMinute} numbers are taken.", "Give the run a name with --name.");
    }

    /// <summary>Opens a run to read it, by its path or by its name below <paramref name="root"/>; another process may be writing to it.</summary>
    /// <exception cref="PerenosException">There is no such run.</exception>
    public static RunFolder Open(string nameOrPath, string root = DefaultRoot)
    {
        foreach (string path in new[] { nameOrPath, System.IO.Path.Combine(root, nameOrPath) })
        {
            if (nameOrPath.Length > 0 && TryOpen(path) is { } found)
                return found;
        }

        string? nearest = NearestName.Of(System.IO.Path.GetFileName(nameOrPath), List(root).Select(run => run.Name));
        throw new PerenosException(
            $"There is no run {nameOrPath}.",
            nearest is null ? "perenos runs lists them." : $"Did you mean {nearest}? perenos runs lists them.");
    }

    /// <summary>The run in a folder; null where none has begun there.</summary>
    public static RunFolder? TryOpen(string path) => IsRun(path) ? new RunFolder(System.IO.Path.TrimEndingDirectorySeparator(path), held: null) : null;

    /// <summary>Opens a run to go on with it: locked, and cleared of what a killed process left half written.</summary>
    /// <exception cref="PerenosException">There is no such run, or another process is training in it.</exception>
    public static RunFolder Resume(string nameOrPath, string root = DefaultRoot)
    {
        var found = Open(nameOrPath, root);
        var held = RunLock.TryTake(found.Path)
            ?? throw new PerenosException($"{found.Name} is in use by {RunLock.Owner(found.Path)}.", "Wait until it ends, or stop it first.");
        AtomicFile.RemoveLeftovers(found.Path);
        AtomicFile.RemoveLeftovers(found.Checkpoints);
        return new RunFolder(found.Path, held);
    }

    /// <summary>All runs below <paramref name="root"/>, the newest first; none if the folder does not exist.</summary>
    public static IReadOnlyList<RunFolder> List(string root = DefaultRoot)
    {
        if (!Directory.Exists(root))
            return [];
        return [.. Directory.EnumerateDirectories(root)
            .Where(IsRun)
            .Select(path => new RunFolder(path, held: null))
            .OrderByDescending(run => File.GetLastWriteTimeUtc(run.Config))
            .ThenByDescending(run => run.Name, StringComparer.Ordinal)];
    }

    /// <summary>Complete training checkpoints, oldest first.</summary>
    public IReadOnlyList<(long Step, string Path)> SavedCheckpoints()
    {
        if (!Directory.Exists(Checkpoints))
            return [];
        var found = new List<(long Step, string Path)>();
        foreach (string path in Directory.EnumerateDirectories(Checkpoints, StepPrefix + "*"))
        {
            string digits = System.IO.Path.GetFileName(path)[StepPrefix.Length..];
            if (long.TryParse(digits, NumberStyles.None, CultureInfo.InvariantCulture, out long step))
                found.Add((step, path));
        }

        return [.. found.OrderBy(checkpoint => checkpoint.Step)];
    }

    /// <summary>Lets go of the folder, if this process had locked it; one in which no run began is removed.</summary>
    public void Dispose()
    {
        if (_lock is null)
            return;
        bool isEmpty = !HasContent(Path);
        _lock.Dispose();
        if (isEmpty)
            AtomicFile.TryDelete(Path);
    }

    internal static string NameFor(string recipe, string model, string data, TimeProvider clock)
    {
        // "smollm2-135m-instruct" is smollm2 to everybody; a data set is known by its whole name.
        string family = Word(model).Split('-')[0];
        string time = clock.GetLocalNow().ToString("yyyyMMdd-HHmm", CultureInfo.InvariantCulture);
        return string.Join('-', new[] { Word(recipe), family, Word(data), time }.Where(part => part.Length > 0));
    }

    // The last part of a path without its extension, in small letters and digits.
    private static string Word(string text)
    {
        const int longest = 24;
        string last = text.TrimEnd('/', '\\');
        last = System.IO.Path.GetFileNameWithoutExtension(last[(last.LastIndexOfAny(['/', '\\']) + 1)..]);
        var word = new StringBuilder();
        foreach (char c in last.ToLowerInvariant())
        {
            if (char.IsAsciiLetterOrDigit(c))
                word.Append(c);
            else if (word.Length > 0 && word[^1] != '-')
                word.Append('-');
        }

        return word.ToString(0, Math.Min(word.Length, longest)).Trim('-');
    }

    private static string CheckName(string name)
    {
        bool sound = name.Length is > 0 and <= LongestName
            && name[0] is not ('.' or '-')
            && name.All(c => char.IsLetterOrDigit(c) || c is '-' or '_' or '.');
        return sound ? name : throw new PerenosException(
            $"\"{name}\" cannot name a run.",
            $"Use up to {LongestName} letters, digits, dashes, dots and underscores; no path.");
    }

    // Null if the name is taken. Two processes that make the same name at once meet at the lock.
    private static RunFolder? TryCreate(string root, string name)
    {
        string path = System.IO.Path.Combine(root, name);
        if (File.Exists(path) || (Directory.Exists(path) && HasContent(path)))
            return null;
        try
        {
            Directory.CreateDirectory(path);
        }
        catch (Exception exception) when (exception is IOException or UnauthorizedAccessException)
        {
            throw StorageProblem.Writing(path, exception);
        }

        if (RunLock.TryTake(path) is not { } held)
            return null;
        if (!HasContent(path))
            return new RunFolder(path, held);
        held.Dispose();
        return null;
    }

    private static bool HasContent(string path) => Directory.EnumerateFileSystemEntries(path).Any(entry => !RunLock.IsOwnFile(entry));

    private static bool IsRun(string path) => File.Exists(System.IO.Path.Combine(path, "config.json"));

    private string In(string name) => System.IO.Path.Combine(Path, name);
}
