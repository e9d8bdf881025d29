namespace Perenos.Testing;

/// <summary>
/// Where reference values and real data lie. <c>PERENOS_PARITY</c> names the folder of fixtures; without it, and for data and
/// models, the folder <c>shared</c> beside the checkout is used. A test that finds nothing skips and says so.
/// </summary>
public static class Shared
{
    /// <summary>The checkout's root: the folder that holds Perenos.slnx.</summary>
    public static string Checkout { get; } = FindCheckout();

    /// <summary>Root of the parity fixtures; may not exist.</summary>
    public static string Parity { get; } = Path.GetFullPath(
        Environment.GetEnvironmentVariable("PERENOS_PARITY") ?? Path.Combine(Checkout, "..", "shared", "parity"));

    /// <summary>A path under the shared folder (data, models, tokenizers); may not exist.</summary>
    public static string PathOf(params string[] parts) =>
        Path.GetFullPath(Path.Combine([Checkout, "..", "shared", .. parts]));

    /// <summary>A path under the parity fixtures, or a skipped test where it is missing.</summary>
    public static string ParityOrSkip(params string[] parts)
    {
        string path = Path.Combine([Parity, .. parts]);
        Xunit.Assert.SkipUnless(Path.Exists(path), $"no fixtures at {path} (set PERENOS_PARITY)");
        return path;
    }

    /// <summary>A path under the shared folder, or a skipped test where it is missing.</summary>
    public static string SharedOrSkip(params string[] parts)
    {
        string path = PathOf(parts);
        Xunit.Assert.SkipUnless(Path.Exists(path), $"no shared data at {path}");
        return path;
    }

    private static string FindCheckout()
    {
        for (var folder = new DirectoryInfo(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "Perenos.slnx")))
                return folder.FullName;
        }

        throw new InvalidOperationException("Tests must run from inside the checkout.");
    }
}
