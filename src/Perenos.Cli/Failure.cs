namespace Perenos.Cli;

/// <summary>A mistake of the user on the screen: what is wrong, then what to do; exit code 2.</summary>
internal static class Failure
{
    public const int ExitCode = 2;

    public static int Show(string message, string hint)
    {
        Console.Error.WriteLine($"error: {message}");
        Console.Error.WriteLine($"hint: {hint}");
        return ExitCode;
    }
}
