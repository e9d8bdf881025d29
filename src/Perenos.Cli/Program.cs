using Perenos.Cli;
using Perenos.Recipes;
using Perenos.Runs;

try
{
    return CommandLine.Run(args);
}
catch (PerenosException problem)
{
    return Failure.Show(problem.Message, problem.Hint);
}
catch (OperationCanceledException)
{
    Console.Error.WriteLine("Interrupted.");
    return RunDisplay.InterruptedCode;
}
catch (Exception problem) when (OutOfMemory.Caused(problem))
{
    return Failure.Show(OutOfMemory.Explain(problem).Message, OutOfMemory.Explain(problem).Hint);
}
catch (IOException problem)
{
    return Failure.Show(problem.Message, "Check the path, its permissions and the space on the disk; what was saved so far is kept.");
}
