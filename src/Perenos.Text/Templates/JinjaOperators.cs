using System.Globalization;
using System.Numerics;
using System.Text;

namespace Perenos.Text.Templates;

/// <summary>Python's rules for truth, equality, order, arithmetic, membership, subscripts and printing.</summary>
internal static class JinjaOperators
{
    private const int MostBits = 1 << 12;

    public static string TypeName(object? value) => value switch
    {
        null => "NoneType",
        bool => "bool",
        BigInteger => "int",
        double => "float",
        string => "str",
        JinjaDict => "dict",
        JinjaUndefined => "Undefined",
        JinjaNamespace => "jinja2.utils.Namespace",
        JinjaLoop => "jinja2.runtime.LoopContext",
        JinjaFunction { IsMacro: true } => "jinja2.runtime.Macro",
        JinjaList list => list.Kind switch
        {
            JinjaListKind.Tuple or JinjaListKind.Group => "tuple",
            JinjaListKind.DictKeys => "dict_keys",
            JinjaListKind.DictValues => "dict_values",
            JinjaListKind.DictItems => "dict_items",
            JinjaListKind.Generator => "generator",
            JinjaListKind.Range => "range",
            _ => "list",
        },
        _ => "builtin_function_or_method",
    };

    public static bool IsTrue(object? value) => value switch
    {
        null or JinjaUndefined => false,
        bool truth => truth,
        BigInteger number => !number.IsZero,
        double number => number != 0,
        string text => text.Length > 0,
        JinjaDict dict => dict.Count > 0,
        JinjaList { Kind: not JinjaListKind.Generator } list => list.Take().Count > 0,
        _ => true,
    };

    /// <summary>str(value).</summary>
    public static string Print(object? value, JinjaBudget budget) => value switch
    {
        string text => text,
        JinjaUndefined => "",
        _ => Repr(value, budget),
    };

    /// <summary>repr(value).</summary>
    public static string Repr(object? value, JinjaBudget budget)
    {
        budget.Spend();
        switch (value)
        {
            case null:
                return "None";
            case bool truth:
                return truth ? "True" : "False";
            case BigInteger number:
                budget.Spend(number.GetBitLength());
                return number.ToString(CultureInfo.InvariantCulture);
            case double number:
                return PythonText.Float(number);
            case string text:
                return budget.Made(PythonText.Quote(text));
            case JinjaUndefined:
                return "Undefined";
            case JinjaFunction function:
                return function.IsMacro ? $"<Macro {PythonText.Quote(function.Name)}>" : $"<function {function.Name}>";
            case JinjaLoop:
                return "<LoopContext>";
        }

        budget.Enter();
        string result = value switch
        {
            JinjaDict dict => ReprOf(dict, budget),
            JinjaNamespace space => $"<Namespace {ReprOf(space.Attributes, budget)}>",
            JinjaList list => ReprOf(list, budget),
            _ => throw new InvalidOperationException($"{value.GetType()} is no template value"),
        };
        budget.Leave();
        return budget.Made(result);
    }

    private static string ReprOf(JinjaDict dict, JinjaBudget budget) =>
        $"{{{Join(dict.Select(item => $"{Repr(item.Key, budget)}: {Repr(item.Value, budget)}"), budget)}}}";

    private static string ReprOf(JinjaList list, JinjaBudget budget)
    {
        if (list.Kind == JinjaListKind.Generator)
            return "<generator object>";
        var all = list.Take();
        if (list.Kind == JinjaListKind.Range)
            return $"range({(all.Count == 0 ? "0, 0" : $"{all[0]}, {(BigInteger)all[^1]! + 1}")})";
        string items = Join(all.Select(item => Repr(item, budget)), budget);
        return list.Kind switch
        {
            JinjaListKind.List => $"[{items}]",
            JinjaListKind.Tuple or JinjaListKind.Group => all.Count == 1 ? $"({items},)" : $"({items})",
            _ => $"{TypeName(list)}([{items}])",
        };
    }

    private static string Join(IEnumerable<string> parts, JinjaBudget budget)
    {
        var text = new StringBuilder();
        foreach (string part in parts)
        {
            if (text.Length > 0)
                text.Append(", ");
            text.Append(part);
            budget.Spend(text.Length > 1 << 20 ? text.Length : 0);
        }

        return text.ToString();
    }

    /// <summary>The items that a for statement would run through.</summary>
    public static IReadOnlyList<object?> Items(object? value, JinjaBudget budget)
    {
        IReadOnlyList<object?> items = value switch
        {
            JinjaList list => list.Take(),
            JinjaDict dict => [.. dict.Keys],
            string text => PythonText.CodePoints(text),
            JinjaUndefined => [],
            _ => throw JinjaException.Type($"'{TypeName(value)}' object is not iterable"),
        };
        budget.Spend(items.Count);
        return items;
    }

    public static BigInteger Length(object? value) => value switch
    {
        string text => PythonText.Length(text),
        JinjaDict dict => dict.Count,
        JinjaList { Kind: not JinjaListKind.Generator } list => list.Take().Count,
        JinjaUndefined => 0,
        JinjaLoop loop => (BigInteger)loop.Attribute("length", new JinjaBudget())!,
        _ => throw JinjaException.Type($"object of type '{TypeName(value)}' has no len()"),
    };

    public static bool AreEqual(object? left, object? right, JinjaBudget budget)
    {
        budget.Spend();
        if (IsNumber(left) && IsNumber(right))
            return left is double || right is double ? CompareMixed(left!, right!) == 0 : ToInteger(left!) == ToInteger(right!);
        switch (left, right)
        {
            case (null, null):
            case (JinjaUndefined, JinjaUndefined):
                return true;
            case (string a, string b):
                budget.Spend(Math.Min(a.Length, b.Length));
                return string.Equals(a, b, StringComparison.Ordinal);
            case (JinjaList a, JinjaList b) when a.IsTuple == b.IsTuple && a.Kind != JinjaListKind.Generator && b.Kind != JinjaListKind.Generator:
                budget.Enter();
                var (first, second) = (a.Take(), b.Take());
                bool areEqual = first.Count == second.Count && first.Zip(second).All(pair => AreEqual(pair.First, pair.Second, budget));
                budget.Leave();
                return areEqual;
            case (JinjaDict a, JinjaDict b):
                budget.Enter();
                bool areSame = a.Count == b.Count && a.All(item => b.TryGet(item.Key, out object? other) && AreEqual(item.Value, other, budget));
                budget.Leave();
                return areSame;
            default:
                return ReferenceEquals(left, right);
        }
    }

    /// <summary>The order of two values; an error where Python has none.</summary>
    public static int Compare(object? left, object? right, string symbol, JinjaBudget budget)
    {
        budget.Spend();
        if (IsNumber(left) && IsNumber(right))
            return CompareMixed(left!, right!);
        if (left is string a && right is string b)
        {
            budget.Spend(Math.Min(a.Length, b.Length));
            return PythonText.Compare(a, b);
        }

        if (left is JinjaList first && right is JinjaList second && first.IsTuple == second.IsTuple)
        {
            budget.Enter();
            var (x, y) = (first.Take(), second.Take());
            int at = Enumerable.Range(0, Math.Min(x.Count, y.Count)).FirstOrDefault(i => !AreEqual(x[i], y[i], budget), -1);
            int order = at < 0 ? x.Count.CompareTo(y.Count) : Compare(x[at], y[at], symbol, budget);
            budget.Leave();
            return order;
        }

        throw UndefinedOr(left, right, JinjaException.Type($"'{symbol}' not supported between instances of '{TypeName(left)}' and '{TypeName(right)}'"));
    }

    /// <summary>Whether a comparison holds; NaN is neither less nor greater.</summary>
    public static bool Holds(string symbol, object? left, object? right, JinjaBudget budget)
    {
        switch (symbol)
        {
            case "==":
                return AreEqual(left, right, budget);
            case "!=":
                return !AreEqual(left, right, budget);
            case "in":
                return Contains(right, left, budget);
            case "not in":
                return !Contains(right, left, budget);
        }

        if ((left is double a && double.IsNaN(a) && IsNumber(right)) || (right is double b && double.IsNaN(b) && IsNumber(left)))
            return false;
        int order = Compare(left, right, symbol, budget);
        return symbol switch
        {
            "<" => order < 0,
            "<=" => order <= 0,
            ">" => order > 0,
            _ => order >= 0,
        };
    }

    private static bool Contains(object? container, object? item, JinjaBudget budget)
    {
        switch (container)
        {
            case string text when item is string part:
                budget.Spend(text.Length);
                return text.Contains(part, StringComparison.Ordinal);
            case string:
                throw UndefinedOr(item, null, JinjaException.Type($"'in <string>' requires string as left operand, not {TypeName(item)}"));
            case JinjaDict dict:
                budget.Spend((item as string)?.Length ?? 0);
                return dict.TryGet(item, out _);
            case JinjaList or JinjaUndefined:
                return Items(container, budget).Any(other => AreEqual(other, item, budget));
            default:
                throw JinjaException.Type($"argument of type '{TypeName(container)}' is not iterable");
        }
    }

    public static object Binary(string symbol, object? left, object? right, JinjaBudget budget)
    {
        if (symbol == "%" && left is string format)
            return PythonFormat.Percent(format, right is JinjaList { IsTuple: true } tuple ? tuple.Take() : [right], right as JinjaDict, budget);
        if (left is JinjaUndefined || right is JinjaUndefined)
            throw UndefinedOr(left, right, JinjaException.Type(""));
        if (IsNumber(left) && IsNumber(right))
            return left is double || right is double || symbol == "/" ? (object)Float(symbol, left!, right!) : Integer(symbol, ToInteger(left!), ToInteger(right!));
        switch (symbol)
        {
            case "+" when left is string a && right is string b:
                budget.Spend(a.Length + b.Length);
                return a + b;
            case "+" when left is JinjaList a && right is JinjaList b && a.IsTuple == b.IsTuple && a.Kind <= JinjaListKind.Tuple && b.Kind <= JinjaListKind.Tuple:
                budget.Spend(a.Take().Count + b.Take().Count);
                return new JinjaList([.. a.Take(), .. b.Take()], a.Kind);
            case "*" when IsSequence(left) && right is BigInteger or bool:
                return Repeat(left!, ToInteger(right!), budget);
            case "*" when IsSequence(right) && left is BigInteger or bool:
                return Repeat(right!, ToInteger(left!), budget);
            case "+" when left is string:
                throw JinjaException.Type($"can only concatenate str (not \"{TypeName(right)}\") to str");
            case "+" when left is JinjaList { Kind: JinjaListKind.List }:
                throw JinjaException.Type($"can only concatenate list (not \"{TypeName(right)}\") to list");
            default:
                throw JinjaException.Type($"unsupported operand type(s) for {(symbol == "**" ? "** or pow()" : symbol)}: '{TypeName(left)}' and '{TypeName(right)}'");
        }
    }

    private static bool IsSequence(object? value) => value is string or JinjaList { Kind: JinjaListKind.List or JinjaListKind.Tuple };

    private static object Repeat(object value, BigInteger times, JinjaBudget budget)
    {
        var size = Length(value) * BigInteger.Max(times, 0);
        budget.Spend(size > int.MaxValue ? int.MaxValue : (long)size);
        int count = size.IsZero ? 0 : (int)times;
        return value is string text
            ? string.Concat(Enumerable.Repeat(text, count))
            : new JinjaList([.. Enumerable.Repeat(((JinjaList)value).Take(), count).SelectMany(items => items)], ((JinjaList)value).Kind);
    }

    private static object Integer(string symbol, BigInteger left, BigInteger right)
    {
        if (symbol is "//" or "%" && right.IsZero)
            throw new JinjaException("ZeroDivisionError", "integer division or modulo by zero");
        switch (symbol)
        {
            case "+":
                return Bounded(left + right);
            case "-":
                return Bounded(left - right);
            case "*":
                return Bounded(left * right);
            case "//":
                return FloorDivide(left, right);
            case "%":
                return left - (FloorDivide(left, right) * right);
            default:
                if (right.Sign < 0)
                    return Float(symbol, left, right);
                if (right > MostBits || left.GetBitLength() * (long)right > MostBits)
                    throw JinjaException.Limit("the number is too large");
                return BigInteger.Pow(left, (int)right);
        }
    }

    private static BigInteger Bounded(BigInteger value) => value.GetBitLength() > MostBits ? throw JinjaException.Limit("the number is too large") : value;

    // Rounds towards minus infinity, where .NET rounds towards zero.
    private static BigInteger FloorDivide(BigInteger left, BigInteger right)
    {
        var quotient = BigInteger.DivRem(left, right, out var remainder);
        return !remainder.IsZero && (remainder.Sign < 0) != (right.Sign < 0) ? quotient - 1 : quotient;
    }

    private static double Float(string symbol, object leftValue, object rightValue)
    {
        double left = ToFloat(leftValue), right = ToFloat(rightValue);
        if (symbol is "/" or "//" or "%" && right == 0)
            throw new JinjaException("ZeroDivisionError", symbol == "/" ? "division by zero" : "float floor division by zero");
        return symbol switch
        {
            "+" => left + right,
            "-" => left - right,
            "*" => left * right,
            "/" => left / right,
            "//" => Math.Floor(left / right),
            "%" => left - (Math.Floor(left / right) * right),
            _ when left == 0 && right < 0 => throw new JinjaException("ZeroDivisionError", "0.0 cannot be raised to a negative power"),
            _ => Math.Pow(left, right),
        };
    }

    public static object Unary(string symbol, object? value) => value switch
    {
        JinjaUndefined undefined => throw undefined.Error(),
        double number => symbol == "-" ? -number : number,
        BigInteger or bool => symbol == "-" ? -ToInteger(value) : ToInteger(value),
        _ => throw JinjaException.Type($"bad operand type for unary {symbol}: '{TypeName(value)}'"),
    };

    public static bool IsNumber(object? value) => value is BigInteger or double or bool;

    public static BigInteger ToInteger(object value) => value is bool truth ? (truth ? 1 : 0) : (BigInteger)value;

    public static double ToFloat(object value) => value is double number ? number : (double)ToInteger(value);

    /// <summary>An integer argument, kept within the range of int: a larger one means "all" everywhere it is used.</summary>
    public static int ToIndex(object? value) => value switch
    {
        BigInteger or bool => (int)BigInteger.Clamp(ToInteger(value), -int.MaxValue, int.MaxValue),
        JinjaUndefined undefined => throw undefined.Error(),
        _ => throw JinjaException.Type($"'{TypeName(value)}' object cannot be interpreted as an integer"),
    };

    private static int CompareMixed(object left, object right)
    {
        if (left is not double && right is not double)
            return ToInteger(left).CompareTo(ToInteger(right));
        return ToFloat(left).CompareTo(ToFloat(right));
    }

    private static JinjaException UndefinedOr(object? left, object? right, JinjaException otherwise) =>
        left is JinjaUndefined first ? first.Error() : right is JinjaUndefined second ? second.Error() : otherwise;

    /// <summary>value[start:stop:step].</summary>
    public static object Slice(object? value, object? start, object? stop, object? step, JinjaBudget budget)
    {
        if (value is not string and not JinjaList { Kind: JinjaListKind.List or JinjaListKind.Tuple or JinjaListKind.Group or JinjaListKind.Range })
            return value is JinjaUndefined undefined ? throw undefined.Error() : JinjaUndefined.Missing(value, "slice");
        int by = step is null ? 1 : ToIndex(step);
        if (by == 0)
            throw JinjaException.Value("slice step cannot be zero");
        var items = Items(value, budget);
        int count = items.Count;
        int first = Bound(start, by > 0 ? 0 : count - 1, count, by);
        int end = Bound(stop, by > 0 ? count : -1, count, by);
        var taken = new List<object?>();
        for (long i = first; by > 0 ? i < end : i > end; i += by)
            taken.Add(items[(int)i]);
        return value is string ? string.Concat(taken) : new JinjaList(taken, value is JinjaList { IsTuple: true } ? JinjaListKind.Tuple : JinjaListKind.List);
    }

    private static int Bound(object? value, int otherwise, int count, int step)
    {
        if (value is null)
            return otherwise;
        int index = ToIndex(value);
        if (index < 0)
            index += count;
        return step > 0 ? Math.Clamp(index, 0, count) : Math.Clamp(index, -1, count - 1);
    }
}
