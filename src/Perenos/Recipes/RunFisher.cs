using Perenos.Models;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Text.Data;

namespace Perenos.Recipes;

/// <summary>The Fisher file of a run under elastic weight consolidation: the recipe's, or one estimated at the run's start of the text that it keeps.</summary>
internal sealed class RunFisher : IDisposable
{
    private readonly bool _isTemporary;

    private RunFisher(string path, bool isTemporary = false) => (Path, _isTemporary) = (path, isTemporary);

    /// <summary>The file.</summary>
    public string Path { get; }

    /// <summary>Finds or makes it; null where no penalty needs one. The model has no adapter attached, and its weights do not learn yet.</summary>
    /// <param name="config">The run.</param>
    /// <param name="pretrained">What it starts from.</param>
    /// <param name="data">What it is judged by, which is left out.</param>
    /// <param name="file">Where an estimate is kept, and found again by a run that goes on; null: nowhere.</param>
    /// <param name="opening">Told how many passes are done.</param>
    /// <param name="stop">Asks to stop.</param>
    /// <exception cref="PerenosException">The text or the file of earlier tasks cannot be used.</exception>
    public static RunFisher? Of(RunConfig config, Pretrained pretrained, RunData data, string? file, SlowOpening? opening, CancellationToken stop)
    {
        if (config.Retention.Penalty is not EwcConfig ewc)
            return null;
        if (ewc.Keep is not { } keep)
            return new RunFisher(ewc.Fisher!);
        if (File.Exists(file))
            return new RunFisher(file);
        var fisher = new RunFisher(file ?? System.IO.Path.Combine(System.IO.Path.GetTempPath(), $"perenos-fisher-{Guid.NewGuid():N}.safetensors"), isTemporary: file is null);
        try
        {
            EstimateFisher.Of(pretrained, Request(config, ewc, keep, pretrained, fisher.Path), Records(config, keep, data),
                (done, total) => opening?.ReportPiece("estimating what the kept text rests on", done, total), stop);
            return fisher;
        }
        catch
        {
            fisher.Dispose();
            throw;
        }
    }

    /// <summary>Deletes the file where nothing was to stay.</summary>
    public void Dispose()
    {
        if (_isTemporary)
            File.Delete(Path);
    }

    private static List<Record> Records(RunConfig config, KeepConfig keep, RunData data)
    {
        var source = RecordSource.Of(config.Data, keep);
        return [.. data.HeldOut.LeaveOut(source.Read(), keep.Path, [source])];
    }

    private static FisherRequest Request(RunConfig config, EwcConfig ewc, KeepConfig keep, Pretrained pretrained, string output) => new()
    {
        Model = pretrained.Location,
        Data = new DataConfig { Path = keep.Path, Template = config.Data.Template, MaximumLength = config.Data.MaximumLength },
        Output = output,
        MostTokens = keep.Tokens,
        Earlier = ewc.Fisher,
        IsOnline = true,
        Decay = keep.Decay,
        Seed = config.Seed,
    };
}
