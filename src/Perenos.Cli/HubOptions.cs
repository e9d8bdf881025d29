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
    public RunConfig Pin(ParseResult parsed, RunConfig config)
    {
        string Data(string path) => Fetch(parsed, path, HubKind.Dataset)?.Pinned.ToString() ?? path;
        var data = config.Data with
        {
            Path = Data(config.Data.Path),
            Validation = config.Data.Validation is { } validation ? Data(validation) : null,
            Test = config.Data.Test is { } test ? Data(test) : null,
        };
        return config with
        {
            Start = config.Start is PretrainedStart start && Fetch(parsed, start.Model, HubKind.Model) is { } fetched
                ? start with { Model = fetched.Pinned.ToString() }
                : config.Start,
            Data = data,
        };
    }

    private HubFetch? Fetch(ParseResult parsed, string location, HubKind kind)
    {
        if (System.IO.Path.Exists(location))
            return null;
        var settings = Settings(parsed);
        return HubLocation.NameIn(location, kind, settings) is { } name ? HubDisplay.Fetch(settings, name) : null;
    }
}
