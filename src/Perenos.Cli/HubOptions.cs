using System.CommandLine;
using Perenos.Hub;
using Perenos.Models;
using Perenos.Runs.Config;

namespace Perenos.Cli;

/// <summary>Names on the hub where a path may be given: what is missing is loaded first, and a run keeps the commit.</summary>
internal sealed class HubOptions
{
    private readonly Option<bool> _offline = new("--offline") { Description = "Ask nothing of the network: names on the hub are looked up in the cache only." };

    public HubOptions(Command command) => command.Add(_offline);

    /// <summary>The hub as the environment and the option describe it.</summary>
    public HubSettings Settings(ParseResult parsed)
    {
        var settings = HubSettings.FromEnvironment();
        return settings with { IsOffline = settings.IsOffline || parsed.GetValue(_offline) };
    }

    /// <summary>The path that a location stands for: itself, or where its files now lie in the cache.</summary>
    public string Path(ParseResult parsed, string location, HubKind kind) => Fetch(parsed, location, kind)?.Path ?? location;

    /// <summary>The same for a model, which may also be the embedded one.</summary>
    public string Model(ParseResult parsed, string location) => Path(parsed, Pretrained.Resolve(location), HubKind.Model);

    /// <summary>The same run with every name on the hub pinned to its commit, and all of them in the cache.</summary>
    public RunConfig Pin(ParseResult parsed, RunConfig config) => config with { Start = Pin(parsed, config.Start), Data = Pin(parsed, config.Data) };

    /// <summary>The same for stages.</summary>
    public StagedConfig Pin(ParseResult parsed, StagedConfig config) => config with
    {
        Start = Pin(parsed, config.Start),
        Data = Pin(parsed, config.Data),
        Stages = [.. config.Stages.Select(stage => stage with
        {
            Data = stage.Data is { } data ? Pin(parsed, data) : null,
            SelfTraining = stage.SelfTraining is { } labels ? labels with { Path = PinData(parsed, labels.Path) } : null,
        })],
    };

    private StartConfig Pin(ParseResult parsed, StartConfig start) =>
        start is PretrainedStart pretrained && Fetch(parsed, pretrained.Model, HubKind.Model) is { } fetched ? pretrained with { Model = fetched.Pinned.ToString() } : start;

    private DataConfig Pin(ParseResult parsed, DataConfig data) => data with
    {
        Path = PinData(parsed, data.Path),
        Validation = data.Validation is { } validation ? PinData(parsed, validation) : null,
        Test = data.Test is { } test ? PinData(parsed, test) : null,
        Mix = data.Mix?.Select(mix => mix with { Path = PinData(parsed, mix.Path) }).ToList(),
    };

    private string PinData(ParseResult parsed, string path) => Fetch(parsed, path, HubKind.Dataset)?.Pinned.ToString() ?? path;

    private HubFetch? Fetch(ParseResult parsed, string location, HubKind kind)
    {
        if (System.IO.Path.Exists(location))
            return null;
        var settings = Settings(parsed);
        return HubLocation.NameIn(location, kind, settings) is { } name ? HubDisplay.Fetch(settings, name) : null;
    }
}
