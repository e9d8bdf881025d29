using System.Runtime.InteropServices;
using Perenos.Cli;
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
catch (Exception problem) when (problem is OutOfMemoryException or ExternalException && Failure.IsOutOfMemory(problem))
{
    return Failure.Show("The memory does not suffice.", "Lower training.micro_batch_size or data.maximum_length; what was saved so far is kept (tune --resume).");
}
catch (IOException problem)
{
    return Failure.Show(problem.Message, "Check the path, its permissions and the space on the disk; what was saved so far is kept.");
}
