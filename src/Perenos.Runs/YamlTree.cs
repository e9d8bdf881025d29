using System.Globalization;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using YamlDotNet.Core;
using YamlDotNet.Core.Events;

namespace Perenos.Runs;

/// <summary>
/// YAML to a tree with line numbers, by the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema):
/// <c>no</c> and <c>on</c> are text, quoted scalars are text. Built from parser events so that nesting and aliases stay bounded.
/// </summary>
internal sealed partial class YamlTree
{
    // Aliases repeat what they name: ten lines can ask for billions of nodes.
    private const int MostNodes = 200_000;

    private readonly string _name;
    private readonly Parser _parser;
    private readonly Dictionary<string, JsonNode?> _anchors = [];
    private readonly Dictionary<string, int> _lines = [];
    private int _nodes;

    private YamlTree(string text, string name)
    {
        _name = name;
        _parser = new Parser(new StringReader(text));
    }

    public static ConfigDocument Parse(string text, string name)
    {
        var tree = new YamlTree(text, name);
        try
        {
            return tree.ReadDocument();
        }
        catch (YamlException exception)
        {
            throw new PerenosException(
                $"{name}, line {exception.Start.Line}: this is not valid YAML ({exception.Message.TrimEnd('.')}).",
                "Look at indentation (spaces, no tabs) and at values with a colon or brace in them, which need quotes.",
                exception);
        }
        catch (InvalidOperationException exception)
        {
            // The scanner throws it for some plain scalars that break off inside braces.
            throw new PerenosException(
                $"{name}, line {tree._parser.Current?.End.Line ?? 1}: this is not valid YAML.",
                "Look at braces, brackets and quotes from there on.",
                exception);
        }
    }

    private ConfigDocument ReadDocument()
    {
        _parser.Consume<StreamStart>();
        JsonNode? root = null;
        if (_parser.Accept<DocumentStart>(out _))
        {
            _parser.Consume<DocumentStart>();
            root = ReadNode("", depth: 0);
            _parser.Consume<DocumentEnd>();
            if (_parser.Accept<DocumentStart>(out var second))
                throw Problem(second, "a second document begins here", "Put it into a file of its own.");
        }

        return new ConfigDocument(_name, root, _lines);
    }

    private JsonNode? ReadNode(string path, int depth)
    {
        var start = _parser.Current is null && !_parser.MoveNext() ? throw new YamlException("it ends too early") : _parser.Current!;
        _lines[path] = (int)start.Start.Line;
        Count(start);
        if (depth > ConfigDocument.DeepestNesting)
            throw Problem(start, $"more than {ConfigDocument.DeepestNesting} levels of nesting", "A configuration is flatter than that.");

        if (_parser.TryConsume<AnchorAlias>(out var alias))
        {
            if (!_anchors.TryGetValue(alias.Value.Value, out var named))
                throw Problem(alias, $"the alias *{alias.Value.Value} names nothing above it", $"Mark the value with &{alias.Value.Value} first.");
            Count(alias, Size(named) - 1);
            return named?.DeepClone();
        }

        var node = _parser.TryConsume<Scalar>(out var scalar) ? ReadScalar(scalar)
            : _parser.TryConsume<SequenceStart>(out _) ? ReadSequence(path, depth)
            : ReadMapping(path, depth);
        if (start is NodeEvent { Anchor.IsEmpty: false } anchored)
            _anchors[anchored.Anchor.Value] = node?.DeepClone();
        return node;
    }

    private JsonArray ReadSequence(string path, int depth)
    {
        var array = new JsonArray();
        while (!_parser.TryConsume<SequenceEnd>(out _))
            array.Add(ReadNode($"{path}[{array.Count}]", depth + 1));
        return array;
    }

    private JsonObject ReadMapping(string path, int depth)
    {
        _parser.Consume<MappingStart>();
        var mapping = new JsonObject();
        while (!_parser.TryConsume<MappingEnd>(out _))
        {
            if (!_parser.TryConsume<Scalar>(out var key))
                throw Problem(_parser.Current!, "a key is not plain text", "Put quotes around the key.");
            string keyPath = ConfigDocument.Join(path, key.Value);
            if (mapping.ContainsKey(key.Value))
                throw Problem(key, $"the key \"{keyPath}\" stands here a second time", "Keep one of the two.");
            mapping.Add(key.Value, ReadNode(keyPath, depth + 1));
            _lines[keyPath] = (int)key.Start.Line;
        }

        return mapping;
    }

    private JsonNode? ReadScalar(Scalar scalar)
    {
        string tag = scalar.Tag.IsEmpty ? "" : scalar.Tag.Value;
        if (tag is "tag:yaml.org,2002:str" or "!" || scalar.Style != ScalarStyle.Plain)
            return JsonValue.Create(scalar.Value);
        if (tag.Length > 0)
            throw Problem(scalar, $"the tag {tag} is not known here", "Remove it; the record decides the type.");

        string text = scalar.Value;
        return text switch
        {
            "" or "~" or "null" or "Null" or "NULL" => null,
            "true" or "True" or "TRUE" => JsonValue.Create(true),
            "false" or "False" or "FALSE" => JsonValue.Create(false),
            _ when HexOrOctal().IsMatch(text) => Based(scalar),
            _ when Number().Match(text) is { Success: true } match => JsonNode.Parse(ToJsonNumber(match)),
            _ => JsonValue.Create(text),
        };
    }

    private JsonValue Based(Scalar scalar)
    {
        try
        {
            return JsonValue.Create(Convert.ToInt64(scalar.Value[2..], scalar.Value[1] == 'x' ? 16 : 8));
        }
        catch (OverflowException)
        {
            throw Problem(scalar, $"{scalar.Value} does not fit into 64 bits", "Use a smaller number.");
        }
    }

    // JSON knows neither "+1" nor ".5", "1." or "007".
    private static string ToJsonNumber(Match match)
    {
        string whole = match.Groups["whole"].Value.TrimStart('0');
        string fraction = match.Groups["fraction"].Value;
        return string.Create(CultureInfo.InvariantCulture,
            $"{(match.Groups["sign"].Value == "-" ? "-" : "")}{(whole.Length == 0 ? "0" : whole)}{(fraction.Length == 0 ? "" : "." + fraction)}{match.Groups["exponent"].Value}");
    }

    private void Count(ParsingEvent at, int nodes = 1)
    {
        _nodes += nodes;
        if (_nodes > MostNodes)
            throw Problem(at, $"more than {MostNodes:N0} values, aliases included", "Write less, or repeat less by alias.");
    }

    private static int Size(JsonNode? node) => node switch
    {
        JsonObject mapping => 1 + mapping.Sum(pair => Size(pair.Value)),
        JsonArray array => 1 + array.Sum(Size),
        _ => 1,
    };

    private PerenosException Problem(ParsingEvent at, string what, string hint) => new($"{_name}, line {at.Start.Line}: {what}.", hint);

    [GeneratedRegex(@"^(0x[0-9a-fA-F]+|0o[0-7]+)\z")]
    private static partial Regex HexOrOctal();

    [GeneratedRegex(@"^(?<sign>[-+]?)(?=\.?[0-9])(?<whole>[0-9]*)(\.(?<fraction>[0-9]*))?(?<exponent>[eE][-+]?[0-9]+)?\z")]
    private static partial Regex Number();
}
