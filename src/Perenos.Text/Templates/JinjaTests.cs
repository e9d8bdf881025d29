using System.Numerics;

namespace Perenos.Text.Templates;

/// <summary>The tests after "is" (https://jinja.palletsprojects.com/en/stable/templates/#list-of-builtin-tests).</summary>
internal static class JinjaTests
{
    private delegate bool Test(object? value, JinjaArguments arguments, JinjaBudget budget);

    private static readonly Dictionary<string, Test> All = Build();

    public static bool Exists(string name) => All.ContainsKey(name);

    public static bool Run(string name, object? value, JinjaArguments arguments, JinjaBudget budget)
    {
        if (!All.TryGetValue(name, out var test))
            throw new JinjaException("TemplateRuntimeError", $"No test named '{name}'.");
        budget.Touch(value);
        budget.Touch(arguments);
        bool result = test(value, arguments, budget);
        arguments.CheckAllTaken(name);
        return result;
    }

    private static Dictionary<string, Test> Build()
    {
        var tests = new Dictionary<string, Test>(StringComparer.Ordinal)
        {
            ["defined"] = (value, _, _) => value is not JinjaUndefined,
            ["undefined"] = (value, _, _) => value is JinjaUndefined,
            ["none"] = (value, _, _) => value is null,
            ["boolean"] = (value, _, _) => value is bool,
            ["true"] = (value, _, _) => value is true,
            ["false"] = (value, _, _) => value is false,
            ["integer"] = (value, _, _) => value is BigInteger,
            ["float"] = (value, _, _) => value is double,
            ["number"] = (value, _, _) => JinjaOperators.IsNumber(value),
            ["string"] = (value, _, _) => value is string,
            ["mapping"] = (value, _, _) => value is JinjaDict,
            ["sequence"] = (value, _, _) => value is string or JinjaDict or JinjaUndefined or JinjaList { Kind: JinjaListKind.List or JinjaListKind.Tuple or JinjaListKind.Group or JinjaListKind.Range },
            ["iterable"] = (value, _, _) => value is string or JinjaDict or JinjaList or JinjaUndefined or JinjaLoop,
            ["callable"] = (value, _, _) => value is JinjaFunction or JinjaLoop,
            ["escaped"] = (_, _, _) => false,
            ["lower"] = (value, _, budget) => PythonStringMethods.HasOneCase(JinjaOperators.Print(value, budget), isUpper: false),
            ["upper"] = (value, _, budget) => PythonStringMethods.HasOneCase(JinjaOperators.Print(value, budget), isUpper: true),
            ["odd"] = (value, _, budget) => !IsMultiple(value, new BigInteger(2), budget),
            ["even"] = (value, _, budget) => IsMultiple(value, new BigInteger(2), budget),
            ["divisibleby"] = (value, arguments, budget) => IsMultiple(value, arguments.Need(0, "num"), budget),
            ["sameas"] = (value, arguments, _) => IsSame(value, arguments.Need(0, "other")),
            ["in"] = (value, arguments, budget) => JinjaOperators.Holds("in", value, arguments.Need(0, "seq"), budget),
            ["filter"] = (value, _, _) => value is string name && JinjaFilters.Exists(name),
            ["test"] = (value, _, _) => value is string name && Exists(name),
        };
        foreach (var (symbol, names) in new[] { ("==", "eq equalto"), ("!=", "ne"), (">", "gt greaterthan"), (">=", "ge"), ("<", "lt lessthan"), ("<=", "le") })
        {
            foreach (string name in names.Split(' ').Append(symbol))
                tests[name] = (value, arguments, budget) => JinjaOperators.Holds(symbol, value, arguments.Need(0, "other"), budget);
        }

        return tests;
    }

    private static bool IsMultiple(object? value, object? of, JinjaBudget budget) =>
        JinjaOperators.AreEqual(JinjaOperators.Binary("%", value, of, budget), BigInteger.Zero, budget);

    private static bool IsSame(object? left, object? right) => (left, right) switch
    {
        (bool a, bool b) => a == b,
        (BigInteger a, BigInteger b) => a == b,
        (string a, string b) => a == b,
        _ => ReferenceEquals(left, right),
    };
}
