using System.Globalization;
using System.Numerics;
using System.Text;
using System.Text.Json;

namespace Perenos.Text.Templates;

/// <summary>JSON in both directions: what a record holds becomes template values, and tojson writes as json.dumps does.</summary>
internal static class JinjaJson
{
    private const int LongestNumber = 1000;

    /// <summary>A JSON value as a template sees it; 1 is an int and 1.0 a float.</summary>
    public static object? Value(JsonElement element)
    {
        switch (element.ValueKind)
        {
            case JsonValueKind.String:
                return Text(element);
            case JsonValueKind.True:
            case JsonValueKind.False:
                return element.ValueKind == JsonValueKind.True;
            case JsonValueKind.Number:
                string digits = element.GetRawText();
                if (digits.AsSpan().IndexOfAny(".eE") >= 0)
                    return element.GetDouble();
                return digits.Length > LongestNumber ? throw JinjaException.Limit("a number in the conversation is too long") : BigInteger.Parse(digits, CultureInfo.InvariantCulture);
            case JsonValueKind.Array:
                return new JinjaList([.. element.EnumerateArray().Select(Value)]);
            case JsonValueKind.Object:
                var dict = new JinjaDict();
                foreach (var property in element.EnumerateObject())
                    dict[property.Name] = Value(property.Value);
                return dict;
            default:
                return null;
        }
    }

    private static string Text(JsonElement element)
    {
        try
        {
            return element.GetString()!;
        }
        catch (InvalidOperationException)
        {
            throw JinjaException.Value("a text in the conversation is not valid Unicode");
        }
    }

    /// <summary>tojson(value, ensure_ascii=false, indent=none, separators=none, sort_keys=false), as chat templates know it: nothing is escaped for HTML.</summary>
    public static string Write(object? value, JinjaArguments arguments, JinjaBudget budget)
    {
        bool isAscii = JinjaOperators.IsTrue(arguments.Take(0, "ensure_ascii", false));
        object? indent = arguments.Take(1, "indent");
        object? separators = arguments.Take(2, "separators");
        bool isSorted = JinjaOperators.IsTrue(arguments.Take(3, "sort_keys", false));
        string? step = indent switch
        {
            null => null,
            string text => text,
            _ => new string(' ', Math.Clamp(JinjaOperators.ToIndex(indent), 0, 100)),
        };
        string between = step is null ? ", " : ",", afterKey = ": ";
        if (separators is JinjaList given && given.Take() is [string item, string key])
            (between, afterKey) = (item, key);
        else if (separators is not null)
            throw JinjaException.Value("separators must be two strings");
        return new Writer(isAscii, step, between, afterKey, isSorted, budget).Run(value);
    }

    private sealed class Writer(bool isAscii, string? step, string between, string afterKey, bool isSorted, JinjaBudget budget)
    {
        private readonly StringBuilder _text = new();
        private int _depth;

        public string Run(object? value)
        {
            Append(value);
            return budget.Made(_text.ToString());
        }

        private void Append(object? value)
        {
            budget.Spend(_text.Length > JinjaBudget.LongestText ? _text.Length : 0);
            switch (value)
            {
                case null:
                    _text.Append("null");
                    break;
                case bool truth:
                    _text.Append(truth ? "true" : "false");
                    break;
                case BigInteger number:
                    _text.Append(number.ToString(CultureInfo.InvariantCulture));
                    break;
                case double number:
                    _text.Append(Number(number));
                    break;
                case string text:
                    AppendString(text);
                    break;
                case JinjaList { Kind: JinjaListKind.List or JinjaListKind.Tuple or JinjaListKind.Group } list:
                    AppendItems('[', ']', [.. list.Take()], Append);
                    break;
                case JinjaDict dict:
                    AppendItems('{', '}', isSorted ? JinjaFilters.Sorted(dict, item => item.Key, isReversed: false, budget) : [.. dict], item =>
                    {
                        AppendString(Key(item.Key));
                        _text.Append(afterKey);
                        Append(item.Value);
                    });
                    break;
                default:
                    throw JinjaException.Type($"Object of type {JinjaOperators.TypeName(value)} is not JSON serializable");
            }
        }

        private void AppendItems<T>(char open, char close, List<T> items, Action<T> append)
        {
            _text.Append(open);
            if (items.Count > 0)
            {
                budget.Enter();
                _depth++;
                for (int i = 0; i < items.Count; i++)
                {
                    _text.Append(i > 0 ? between : "");
                    AppendLine();
                    append(items[i]);
                }

                _depth--;
                AppendLine();
                budget.Leave();
            }

            _text.Append(close);
        }

        private void AppendLine()
        {
            if (step is null)
                return;
            _text.Append('\n');
            for (int i = 0; i < _depth; i++)
                _text.Append(step);
        }

        private static string Key(object? key) => key switch
        {
            string text => text,
            null => "null",
            bool truth => truth ? "true" : "false",
            BigInteger number => number.ToString(CultureInfo.InvariantCulture),
            double number => Number(number),
            _ => throw JinjaException.Type($"keys must be str, int, float, bool or None, not {JinjaOperators.TypeName(key)}"),
        };

        private static string Number(double number) =>
            double.IsNaN(number) ? "NaN" : double.IsInfinity(number) ? (number > 0 ? "Infinity" : "-Infinity") : PythonText.Float(number);

        private void AppendString(string text)
        {
            _text.Append('"');
            foreach (char c in text)
            {
                _ = c switch
                {
                    '"' or '\\' => _text.Append('\\').Append(c),
                    '\n' => _text.Append("\\n"),
                    '\r' => _text.Append("\\r"),
                    '\t' => _text.Append("\\t"),
                    '\b' => _text.Append("\\b"),
                    '\f' => _text.Append("\\f"),
                    < ' ' => _text.Append($"\\u{(int)c:x4}"),
                    > '~' when isAscii => _text.Append($"\\u{(int)c:x4}"),
                    _ => _text.Append(c),
                };
            }

            _text.Append('"');
        }
    }
}
