using System.Globalization;

namespace Perenos.Benchmarks;

/// <summary><c>--name value</c> pairs.</summary>
internal sealed class Options
{
    private readonly Dictionary<string, string> _values = [];

    internal Options(string[] arguments)
    {
        if (arguments.Length % 2 != 0)
            throw new ArgumentException("Options come as --name value.");
        foreach (string[] pair in arguments.Chunk(2))
            _values.Add(pair[0], pair[1]);
    }

    internal string Text(string name, string absent) => _values.GetValueOrDefault("--" + name, absent);

    internal int Number(string name, int absent) =>
        _values.TryGetValue("--" + name, out string? text) ? int.Parse(text, CultureInfo.InvariantCulture) : absent;
}
