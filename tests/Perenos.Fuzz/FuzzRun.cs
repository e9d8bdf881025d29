using Perenos.Runs;

namespace Perenos.Fuzz;

/// <summary>What a reader did that it must not do.</summary>
/// <param name="Kind">The same for the same fault.</param>
/// <param name="Input">Number of the input.</param>
/// <param name="Text">What happened.</param>
public sealed record Finding(string Kind, long Input, string Text);

/// <summary>What came of a run.</summary>
/// <param name="Target">The reader.</param>
/// <param name="Inputs">How many it was given.</param>
/// <param name="Accepted">How many it read to the end.</param>
/// <param name="Findings">One for each kind of fault.</param>
/// <param name="Slowest">The longest time for one input, in seconds of the processor.</param>
/// <param name="LargestAllocation">The most that was taken for one input, in bytes.</param>
public sealed record FuzzReport(string Target, long Inputs, long Accepted, IReadOnlyList<Finding> Findings, double Slowest, long LargestAllocation);

/// <summary>
/// Gives a reader damaged files. It may refuse them with <see cref="PerenosException"/>, in under a second, taking no memory beyond
/// the file's size class; input N follows from seed, reader and N alone.
/// </summary>
public static class FuzzRun
{
    /// <summary>Memory that any input may take, whatever its size.</summary>
    public const long AlwaysAllowedBytes = 64 << 20;

    /// <summary>Memory that an input may take for each of its own bytes.</summary>
    public const long AllowedPerByte = 64;

    private const double MostSeconds = 1;
    private const int MostFindings = 50;

    /// <summary>Runs inputs <paramref name="first"/> to <paramref name="first"/> + <paramref name="count"/> - 1.</summary>
    /// <param name="target">The reader.</param>
    /// <param name="seed">Another seed gives other inputs.</param>
    /// <param name="first">Number of the first input.</param>
    /// <param name="count">How many.</param>
    /// <param name="folder">For the files; in memory if it can be.</param>
    /// <param name="begins">Told before each input, so that one that never ends can be named.</param>
    public static FuzzReport Run(FuzzTarget target, ulong seed, long first, long count, string folder, Action<long>? begins = null)
    {
        var findings = new Dictionary<string, Finding>();
        long accepted = 0, most = 0;
        double slowest = 0;
        foreach (byte[] valid in target.Seeds)
        {
            if (Try(target, new FuzzInput(valid, folder)) is { Problem: { } problem })
                throw new InvalidOperationException($"{target.Name} does not accept one of its seeds", problem);
        }

        for (long number = first; number < first + count && findings.Count < MostFindings; number++)
        {
            begins?.Invoke(number);
            var input = new FuzzInput(Bytes(target, seed, number), folder);
            var outcome = Try(target, input);
            accepted += outcome.Problem is null ? 1 : 0;
            (slowest, most) = (Math.Max(slowest, outcome.Seconds), Math.Max(most, outcome.Allocated));
            if (Fault(outcome, input) is var (kind, text))
                findings.TryAdd(kind, new Finding(kind, number, text));
        }

        return new FuzzReport(target.Name, count, accepted, [.. findings.Values], slowest, most);
    }

    /// <summary>The content of an input.</summary>
    public static byte[] Bytes(FuzzTarget target, ulong seed, long number)
    {
        var damage = new Damage(new Random((int)Seed.Of(seed, target.Name, (ulong)number)), target.Seeds);
        return target.Mutate(damage.Pick(target.Seeds), damage);
    }

    private readonly record struct Outcome(Exception? Problem, double Seconds, long Allocated);

    private static Outcome Try(FuzzTarget target, FuzzInput input)
    {
        long before = GC.GetAllocatedBytesForCurrentThread(), tensor = 0;
        double start = ThreadTime.Seconds();
        Exception? problem = null;
        try
        {
            tensor = target.Read(input);
        }
        catch (Exception exception) // whatever it is: that is the question
        {
            problem = exception;
        }

        return new Outcome(problem, ThreadTime.Seconds() - start, Math.Max(tensor, GC.GetAllocatedBytesForCurrentThread() - before));
    }

    private static (string Kind, string Text)? Fault(Outcome outcome, FuzzInput input)
    {
        if (outcome.Problem is not (null or PerenosException))
            return ($"{outcome.Problem.GetType().Name} {Place(outcome.Problem)}", outcome.Problem.ToString());
        if (outcome.Seconds > MostSeconds)
            return ("slow", $"{outcome.Seconds:F1} s of the processor for {input.Bytes.Length:N0} bytes");
        long allowed = AlwaysAllowedBytes + AllowedPerByte * input.Bytes.Length;
        return outcome.Allocated > allowed ? ("memory", $"{outcome.Allocated:N0} bytes for a file of {input.Bytes.Length:N0}") : null;
    }

    private static string Place(Exception problem) =>
        problem.StackTrace?.Split('\n').FirstOrDefault(line => line.Contains("Perenos.", StringComparison.Ordinal))?.Trim() ?? "";
}
