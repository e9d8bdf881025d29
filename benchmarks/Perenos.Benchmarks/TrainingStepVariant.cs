using System.Diagnostics;
using System.Globalization;
using static TorchSharp.torch;

namespace Perenos.Benchmarks;

/// <summary>A worker process and what it answered.</summary>
internal sealed class TrainingStepVariant : IDisposable
{
    private readonly Process _process;
    private readonly List<double> _milliseconds = [];

    internal TrainingStepVariant(string name, Shape shape, string method, ScalarType type)
    {
        Name = name;
        _process = Process.Start(new ProcessStartInfo(
            Environment.ProcessPath!,
            [TrainingStepWorker.Name, "--variant", name, "--shape", shape.Name, "--method", method, "--type", type.ToString()])
        { RedirectStandardInput = true, RedirectStandardOutput = true })!;
        if (Answer() != "ready")
            throw new InvalidOperationException($"The worker {name} did not start.");
    }

    internal string Name { get; }

    internal double Median => Result.Median(_milliseconds);

    internal double Least => _milliseconds.Min();

    internal long PeakMemory { get; private set; }

    internal double FirstLoss { get; private set; } = double.NaN;

    internal double LastLoss { get; private set; }

    internal void TakeStep(bool isCounted)
    {
        _process.StandardInput.WriteLine("step");
        double[] answer = [.. Answer().Split(' ').Select(text => double.Parse(text, CultureInfo.InvariantCulture))];
        if (isCounted)
            _milliseconds.Add(answer[0]);
        if (double.IsNaN(FirstLoss))
            FirstLoss = answer[1];
        (LastLoss, PeakMemory) = (answer[1], (long)answer[2]);
    }

    public void Dispose()
    {
        _process.StandardInput.Close();
        _process.WaitForExit();
        _process.Dispose();
    }

    private string Answer() => _process.StandardOutput.ReadLine() ?? throw new InvalidOperationException($"The worker {Name} ended.");
}
