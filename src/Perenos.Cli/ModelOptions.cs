using System.CommandLine;
using Perenos.Adapters;
using Perenos.Hub;
using Perenos.Models;
using Perenos.Recipes;

namespace Perenos.Cli;

/// <summary>Which model, with which adapter, in which type: what evaluating and generating share.</summary>
internal sealed class ModelOptions
{
    private readonly Option<string?> _model = new("--model") { Description = "Folder in Hugging Face's layout, a GGUF file, a name on the hub (owner/name), or \"base\".", HelpName = "path" };
    private readonly Option<string?> _adapter = new("--adapter") { Description = "Folder of an adapter (PEFT or mlx-lm), such as runs/NAME/adapter, or a name on the hub.", HelpName = "folder" };
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

    /// <summary>Opens model and adapter and verifies the adapter; the caller disposes both.</summary>
    public (Pretrained Pretrained, Adapter? Adapter) Open(ParseResult parsed, string model, string? adapter)
    {
        adapter = parsed.GetValue(_adapter) ?? adapter;
        var type = ComputeTypes.Choose(parsed.GetValue(_dtype)!).Type;
        string location = Hub.Path(parsed, model, HubKind.Model);
        var pretrained = OpeningDisplay.Follow(progress => Pretrained.Open(location, type, progress));
        try
        {
            if (adapter is null)
                return (pretrained, null);
            var opened = OpenedAdapter.Open(Hub.Path(parsed, adapter, HubKind.Model), pretrained);
            if (opened.Unverified.Count > 0)
                Console.Error.WriteLine($"{adapter} has no {AdapterPassport.FileName}; not verified: {string.Join(", ", opened.Unverified)}.");
            return (pretrained, opened.Adapter);
        }
        catch
        {
            pretrained.Dispose();
            throw;
        }
    }
}
