using System.CommandLine;
using Perenos.Hub;
using Perenos.Recipes;

namespace Perenos.Cli;

/// <summary>Which model, with which adapter, in which type: what evaluating and generating share.</summary>
internal sealed class ModelOptions
{
    private readonly Option<string?> _model = new("--model") { Description = "Folder in Hugging Face's layout, a GGUF file, a name on the hub (owner/name), or \"base\".", HelpName = "path" };
    private readonly Option<string[]> _adapter = new("--adapter") { Description = "Folder of an adapter (PEFT or mlx-lm), such as runs/NAME/adapter, or a name on the hub; again for one on top of it.", HelpName = "folder" };
    private readonly Option<string> _dtype = new("--dtype") { Description = "auto (measured), float32 or bfloat16.", DefaultValueFactory = _ => "auto" };

    public ModelOptions(Command command)
    {
        Hub = new HubOptions(command);
        command.Add(_model);
        command.Add(_adapter);
        command.Add(_dtype);
    }

    /// <summary>Names on the hub.</summary>
    public HubOptions Hub { get; }

    /// <summary>The model that was asked for, if one was.</summary>
    public string? Model(ParseResult parsed) => parsed.GetValue(_model);

    /// <summary>Opens model and adapters and verifies the adapters; the caller disposes it.</summary>
    public OpenedModel Open(ParseResult parsed, TrainedModel model)
    {
        string[] adapters = parsed.GetValue(_adapter) is { Length: > 0 } given ? given : [.. model.Adapters];
        var type = ComputeTypes.Choose(parsed.GetValue(_dtype)!).Type;
        var located = new TrainedModel(Hub.Path(parsed, model.Model, HubKind.Model), [.. adapters.Select(adapter => Hub.Path(parsed, adapter, HubKind.Model))]);
        var opened = OpeningDisplay.Follow(progress => located.Open(type, progress));
        foreach (var (name, adapter) in adapters.Zip(opened.Adapters).Where(pair => pair.Second.Unverified.Count > 0))
            Console.Error.WriteLine($"{name} has no {AdapterPassport.FileName}; not verified: {string.Join(", ", adapter.Unverified)}.");
        return opened;
    }
}
