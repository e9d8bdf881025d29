namespace Perenos.Text.Templates;

// The tree of a template. At is the offset of the node's first token.

internal abstract record JinjaExpression(int At);

internal sealed record ConstantExpression(object? Value, int At) : JinjaExpression(At);

internal sealed record NameExpression(string Name, int At) : JinjaExpression(At);

internal sealed record ListExpression(IReadOnlyList<JinjaExpression> Items, bool IsTuple, int At) : JinjaExpression(At);

internal sealed record DictExpression(IReadOnlyList<(JinjaExpression Key, JinjaExpression Value)> Items, int At) : JinjaExpression(At);

internal sealed record UnaryExpression(string Operator, JinjaExpression Operand, int At) : JinjaExpression(At);

internal sealed record BinaryExpression(string Operator, JinjaExpression Left, JinjaExpression Right, int At) : JinjaExpression(At);

internal sealed record ConcatExpression(IReadOnlyList<JinjaExpression> Parts, int At) : JinjaExpression(At);

/// <summary>A chain such as 1 &lt; x &lt;= 3.</summary>
internal sealed record CompareExpression(JinjaExpression First, IReadOnlyList<(string Operator, JinjaExpression Operand)> Rest, int At) : JinjaExpression(At);

internal sealed record ConditionExpression(JinjaExpression Test, JinjaExpression Then, JinjaExpression? Else, int At) : JinjaExpression(At);

internal sealed record AttributeExpression(JinjaExpression Target, string Name, int At) : JinjaExpression(At);

internal sealed record ItemExpression(JinjaExpression Target, JinjaExpression Key, int At) : JinjaExpression(At);

internal sealed record SliceExpression(JinjaExpression? Start, JinjaExpression? Stop, JinjaExpression? Step, int At) : JinjaExpression(At);

internal sealed record CallExpression(JinjaExpression Target, JinjaCallArguments Arguments, int At) : JinjaExpression(At);

/// <summary>value | name(arguments); the value is null in a filter block, which supplies it.</summary>
internal sealed record FilterExpression(JinjaExpression? Value, string Name, JinjaCallArguments Arguments, int At) : JinjaExpression(At);

internal sealed record TestExpression(JinjaExpression Value, string Name, JinjaCallArguments Arguments, bool IsNegated, int At) : JinjaExpression(At);

internal sealed record JinjaCallArguments(
    IReadOnlyList<JinjaExpression> Positional, IReadOnlyList<(string Name, JinjaExpression Value)> Keywords, JinjaExpression? Star, JinjaExpression? DoubleStar)
{
    public static JinjaCallArguments None { get; } = new([], [], null, null);
}

internal abstract record JinjaStatement(int At);

internal sealed record DataStatement(string Text, int At) : JinjaStatement(At);

internal sealed record PrintStatement(JinjaExpression Value, int At) : JinjaStatement(At);

internal sealed record ForStatement(
    JinjaTarget Target, JinjaExpression Items, JinjaExpression? Filter, bool IsRecursive, IReadOnlyList<JinjaStatement> Body, IReadOnlyList<JinjaStatement> Else, int At) : JinjaStatement(At);

/// <summary>if and its elif branches; the last branch's test is null for else.</summary>
internal sealed record IfStatement(IReadOnlyList<(JinjaExpression? Test, IReadOnlyList<JinjaStatement> Body)> Branches, int At) : JinjaStatement(At);

internal sealed record SetStatement(JinjaTarget Target, JinjaExpression Value, int At) : JinjaStatement(At);

internal sealed record SetBlockStatement(JinjaTarget Target, FilterExpression? Filter, IReadOnlyList<JinjaStatement> Body, int At) : JinjaStatement(At);

internal sealed record WithStatement(IReadOnlyList<(JinjaTarget Target, JinjaExpression Value)> Values, IReadOnlyList<JinjaStatement> Body, int At) : JinjaStatement(At);

internal sealed record FilterStatement(FilterExpression Filter, IReadOnlyList<JinjaStatement> Body, int At) : JinjaStatement(At);

internal sealed record MacroStatement(JinjaMacroShape Shape, int At) : JinjaStatement(At);

internal sealed record CallStatement(CallExpression Call, JinjaMacroShape Caller, int At) : JinjaStatement(At);

/// <summary>The text of an assistant's reply, marked by the template's author.</summary>
internal sealed record GenerationStatement(IReadOnlyList<JinjaStatement> Body, int At) : JinjaStatement(At);

internal sealed record ScopeStatement(IReadOnlyList<JinjaStatement> Body, int At) : JinjaStatement(At);

internal sealed record LeaveLoopStatement(bool IsBreak, int At) : JinjaStatement(At);

/// <summary>A macro; it takes surplus arguments, or a caller, only where its body speaks of varargs, kwargs or caller.</summary>
internal sealed record JinjaMacroShape(
    string Name, IReadOnlyList<(string Name, JinjaExpression? Default)> Parameters, IReadOnlyList<JinjaStatement> Body, bool UsesVarargs, bool UsesKwargs, bool UsesCaller);

/// <summary>Where a value goes: a name, an attribute of a namespace, or several targets at once.</summary>
internal abstract record JinjaTarget;

internal sealed record NameTarget(string Name) : JinjaTarget;

internal sealed record AttributeTarget(string Name, string Attribute) : JinjaTarget;

internal sealed record TupleTarget(IReadOnlyList<JinjaTarget> Items) : JinjaTarget;
