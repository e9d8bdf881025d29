using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Perenos.Runs;

/// <summary>JSON to a tree with line numbers; unlike <see cref="JsonNode"/>'s own parser it refuses duplicate keys by name.</summary>
internal ref struct JsonTree
{
    private readonly string _name;
    private readonly ReadOnlySpan<byte> _bytes;
    private readonly Dictionary<string, int> _lines = [];
    private Utf8JsonReader _reader;
    private int _line = 1;
    private int _counted;

    private JsonTree(byte[] bytes, string name)
    {
        _name = name;
        _bytes = bytes;
        _reader = new Utf8JsonReader(bytes, new JsonReaderOptions { MaxDepth = ConfigDocument.DeepestNesting });
    }

    public static ConfigDocument Parse(string text, string name)
    {
        var tree = new JsonTree(Encoding.UTF8.GetBytes(text), name);
        try
        {
            tree._reader.Read();
            var root = tree.ReadNode("");
            tree._reader.Read();   // anything after the root throws
            return new ConfigDocument(name, root, tree._lines);
        }
        catch (JsonException exception)
        {
            throw new PerenosException(
                $"{name}, line {(exception.LineNumber ?? 0) + 1}: this is not valid JSON ({Reason(exception)}).",
                "Look for a missing comma, quote or bracket there; comments are only possible in YAML.",
                exception);
        }
        catch (InvalidOperationException exception)
        {
            // The reader says so of a string with half a surrogate pair.
            throw new PerenosException($"{name}, line {tree.Line()}: a string here is not valid text.", "Remove the broken escape.", exception);
        }
    }

    private JsonNode? ReadNode(string path)
    {
        _lines[path] = Line();
        switch (_reader.TokenType)
        {
            case JsonTokenType.StartObject:
                return ReadObject(path);
            case JsonTokenType.StartArray:
                var array = new JsonArray();
                while (_reader.Read() && _reader.TokenType != JsonTokenType.EndArray)
                    array.Add(ReadNode($"{path}[{array.Count}]"));
                return array;
            case JsonTokenType.String:
                return JsonValue.Create(_reader.GetString());
            case JsonTokenType.Number:
                return JsonNode.Parse(_reader.ValueSpan);
            case JsonTokenType.True or JsonTokenType.False:
                return JsonValue.Create(_reader.GetBoolean());
            default:
                return null;
        }
    }

    private JsonObject ReadObject(string path)
    {
        var result = new JsonObject();
        while (_reader.Read() && _reader.TokenType != JsonTokenType.EndObject)
        {
            string key = _reader.GetString()!;
            string keyPath = ConfigDocument.Join(path, key);
            int keyLine = Line();
            if (result.ContainsKey(key))
                throw new PerenosException($"{_name}, line {keyLine}: the key \"{keyPath}\" stands here a second time.", "Keep one of the two.");
            _reader.Read();
            result.Add(key, ReadNode(keyPath));
            _lines[keyPath] = keyLine;
        }

        return result;
    }

    private int Line()
    {
        int position = (int)_reader.TokenStartIndex;
        _line += _bytes[_counted..position].Count((byte)'\n');
        _counted = position;
        return _line;
    }

    private static string Reason(JsonException exception)
    {
        string message = exception.Message;
        int end = message.IndexOf(" LineNumber:", StringComparison.Ordinal);
        return (end < 0 ? message : message[..end]).TrimEnd('.', ' ');
    }
}
