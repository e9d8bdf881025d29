namespace Perenos.Testing;

/// <summary>
/// Texts that are compared with a committed file, so that a change is seen in review. <c>PERENOS_GOLDEN=update</c> writes the
/// files instead of comparing.
/// </summary>
public static class Golden
{
    private const string Variable = "PERENOS_GOLDEN";

    /// <summary>Whether files are to be written instead of compared.</summary>
    public static bool IsUpdating => Environment.GetEnvironmentVariable(Variable) == "update";

    /// <summary>Compares <paramref name="text"/> with the file at <paramref name="path"/>, counted from the checkout's root.</summary>
    public static void Equal(string path, string text)
    {
        string file = Path.Combine(Shared.Checkout, path);
        if (IsUpdating)
        {
            Directory.CreateDirectory(Path.GetDirectoryName(file)!);
            File.WriteAllText(file, text);
            return;
        }

        Xunit.Assert.True(File.Exists(file), $"{path} does not exist; {Variable}=update writes it.");
        string[] expected = File.ReadAllText(file).Split('\n'), actual = text.Split('\n');
        int place = expected.Zip(actual).TakeWhile(pair => pair.First == pair.Second).Count();
        if (place < Math.Max(expected.Length, actual.Length))
        {
            Xunit.Assert.Fail($"{path}, line {place + 1}:\n  committed: {LineAt(expected, place)}\n  now:       {LineAt(actual, place)}\n" +
                $"If the change is meant, run the test with {Variable}=update and commit the file.");
        }
    }

    private static string LineAt(string[] lines, int place) => place < lines.Length ? lines[place] : "(end)";
}
