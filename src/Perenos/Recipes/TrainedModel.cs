using Perenos.Hub;
using Perenos.Models;
using Perenos.Runs;
using Perenos.Runs.Config;
using static TorchSharp.torch;

namespace Perenos.Recipes;

/// <summary>What a run made: a model, and the adapters on it in the order in which they are attached.</summary>
/// <param name="Model">Folder, file or name of the model.</param>
/// <param name="Adapters">Folders of the adapters; none, one, or one that learnt on top of a frozen one.</param>
public sealed record TrainedModel(string Model, IReadOnlyList<string> Adapters)
{
    /// <summary>The command that uses it.</summary>
    public string Command => $"perenos generate --model {Model} {string.Concat(Adapters.Select(adapter => $"--adapter {adapter} "))}\"…\"";

    /// <summary>The result of a finished run.</summary>
    /// <exception cref="PerenosException">The run has stages, or no result yet.</exception>
    public static TrainedModel Of(RunFolder folder)
    {
        if (folder.IsStaged)
            throw new PerenosException($"{folder.Name} has stages.", $"Give one of them: {string.Join(", ", Directory.Exists(folder.Stages) ? Directory.EnumerateDirectories(folder.Stages).Order(StringComparer.Ordinal) : [])}.");
        if (!Directory.Exists(folder.Model) && !Directory.Exists(folder.Adapter))
            throw new PerenosException($"{folder.Name} has no result yet.", $"perenos tune --resume {folder.Path} goes on with it.");
        return Of(ConfigFile.Read<RunConfig>(folder.Config), folder.Path);
    }

    /// <summary>The result that a configuration leaves in a run's folder.</summary>
    internal static TrainedModel Of(RunConfig config, string folder)
    {
        string model = Path.Combine(folder, "model"), adapter = Path.Combine(folder, "adapter");
        var start = config.Start as PretrainedStart;
        if (config.Method.ChangesBase)
            return new TrainedModel(model, start?.Adapter is null ? [] : [adapter]);
        if (start is null)
            throw new PerenosException($"{folder} holds an adapter of random weights, which are not kept.", "Train an adapter on a pretrained model.");
        return new TrainedModel(start.Model, start.Adapter is { } frozen ? [frozen, adapter] : [adapter]);
    }

    /// <summary>Opens the model with its adapters attached and verified; the caller disposes it.</summary>
    /// <param name="type">Type to hold the weights in.</param>
    /// <param name="opening">Told how far the opening of the model has come.</param>
    /// <exception cref="PerenosException">Something is missing, or an adapter belongs to another model.</exception>
    public OpenedModel Open(ScalarType type, IProgress<OpenProgress>? opening = null)
    {
        var pretrained = Pretrained.Open(HubLocation.InCache(Model, HubKind.Model), type, opening);
        List<OpenedAdapter> attached = [];
        var opened = new OpenedModel(pretrained, attached);
        try
        {
            foreach (string folder in Adapters)
                attached.Add(OpenedAdapter.Open(folder, pretrained));
            return opened;
        }
        catch
        {
            opened.Dispose();
            throw;
        }
    }
}

/// <summary>A model with its adapters attached.</summary>
/// <param name="Pretrained">The model.</param>
/// <param name="Adapters">What is attached, in order.</param>
public sealed record OpenedModel(Pretrained Pretrained, IReadOnlyList<OpenedAdapter> Adapters) : IDisposable
{
    /// <summary>Takes the adapters off and frees everything.</summary>
    public void Dispose()
    {
        foreach (var opened in Adapters.Reverse())
            opened.Adapter.Dispose();
        Pretrained.Dispose();
    }
}
