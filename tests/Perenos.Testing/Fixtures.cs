namespace Perenos.Testing;

/// <summary>Fixture folders and files found by looking, never by a written list, so that another set is judged by the same tests.</summary>
public static class Fixtures
{
    /// <summary>Stands for a missing set: the test that gets it skips.</summary>
    public const string None = "(no fixtures)";

    /// <summary>Names of the folders below a set that hold a file of the given name; one row <see cref="None"/> where the set is missing.</summary>
    public static IEnumerable<string> Folders(string set, string holding)
    {
        string root = Path.Combine(Shared.Parity, set);
        if (!Directory.Exists(root))
            return [None];
        var names = Directory.EnumerateDirectories(root)
            .Where(folder => File.Exists(Path.Combine(folder, holding)))
            .Select(folder => Path.GetFileName(folder)!)
            .Order(StringComparer.Ordinal)
            .ToList();
        return names.Count > 0 ? names : throw new InvalidOperationException($"{root} holds no folder with {holding}.");
    }

    /// <summary>The folder of a fixture, or a skipped test for the row that stands for none.</summary>
    public static string FolderOrSkip(string set, string name)
    {
        Xunit.Assert.SkipWhen(name == None, $"no fixtures at {Path.Combine(Shared.Parity, set)} (set PERENOS_PARITY)");
        return Path.Combine(Shared.Parity, set, name);
    }
}
