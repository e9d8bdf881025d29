using System.Globalization;
using System.Runtime.CompilerServices;

namespace Perenos.Text.Templates;

/// <summary>Statements of a template (https://jinja.palletsprojects.com/en/stable/templates/); expressions are in the other part of the class.</summary>
internal sealed partial class JinjaParser
{
    private const int DeepestNesting = 200;

    private readonly List<JinjaToken> _tokens;
    private readonly Stack<string> _openTags = new();
    private readonly Stack<string[]> _awaited = new();
    private int _index;
    private int _depth;
    private int _loops;

    // Inside a condition an unknown filter fails only when it is reached.
    private int _conditions;

    private JinjaParser(List<JinjaToken> tokens) => _tokens = tokens;

    // The first filter or test that does not exist; reported when the rest is known to be well formed.
    private JinjaException? _unknown;

    private JinjaToken Current => _tokens[_index] is { Kind: JinjaTokenKind.Error } error ? throw JinjaException.Syntax(error.Value, error.At) : _tokens[_index];

    public static IReadOnlyList<JinjaStatement> Parse(string normalizedSource)
    {
        var parser = new JinjaParser(JinjaLexer.Tokens(normalizedSource));
        var body = parser.ParseBody([]);
        return parser._unknown is null ? body : throw parser._unknown;
    }

    private List<JinjaStatement> ParseBody(string[] endTags)
    {
        using var _ = Deeper();
        var body = new List<JinjaStatement>();
        if (endTags.Length > 0)
            _awaited.Push(endTags);
        while (Current.Kind != JinjaTokenKind.End)
        {
            var token = Current;
            switch (token.Kind)
            {
                case JinjaTokenKind.Data:
                    _index++;
                    body.Add(new DataStatement(token.Value, token.At));
                    break;
                case JinjaTokenKind.VariableBegin:
                    _index++;
                    body.Add(new PrintStatement(ParseTuple(), token.At));
                    Expect(JinjaTokenKind.VariableEnd);
                    break;
                default:
                    _index++;
                    if (Current.Kind == JinjaTokenKind.Name && endTags.Contains(Current.Value))
                    {
                        _awaited.Pop();
                        return body;
                    }

                    body.Add(ParseStatement());
                    Expect(JinjaTokenKind.BlockEnd);
                    break;
            }
        }

        if (endTags.Length > 0)
            throw UnexpectedTag(null);
        return body;
    }

    private JinjaStatement ParseStatement()
    {
        var token = Current;
        if (token.Kind != JinjaTokenKind.Name)
            throw JinjaException.Syntax("tag name expected", token.At);
        _index++;
        _openTags.Push(token.Value);
        JinjaStatement statement = token.Value switch
        {
            "for" => ParseFor(token.At),
            "if" => ParseIf(token.At),
            "set" => ParseSet(token.At),
            "with" => ParseWith(token.At),
            "macro" => ParseMacro(token.At),
            "call" => ParseCall(token.At),
            "filter" => new FilterStatement(ParseFilters(null, startsInline: true)!, ParseUntil("endfilter"), token.At),
            "generation" => new GenerationStatement(ParseUntil("endgeneration"), token.At),
            "autoescape" => ParseAutoescape(token.At),
            "print" => ParsePrint(token.At),
            "break" or "continue" => ParseLeaveLoop(token),
            "include" or "import" or "from" or "extends" or "block" => throw JinjaException.Syntax($"the tag '{token.Value}' needs other templates, but a chat template stands alone", token.At),
            _ => throw UnexpectedTag(token),
        };
        _openTags.Pop();
        return statement;
    }

    private ForStatement ParseFor(int at)
    {
        var target = ParseTarget(endsAt: "in");
        ExpectName("in");
        var items = ParseTuple(hasConditions: false, endsAt: "recursive");
        var filter = SkipName("if") ? ParseExpression() : null;
        bool isRecursive = SkipName("recursive");
        _loops++;
        var body = ParseUntilAny("endfor", "else");
        _loops--;
        var otherwise = SkipName("else") ? ParseUntil("endfor") : SkipEnd();
        return new ForStatement(target, items, filter, isRecursive, body, otherwise, at);
    }

    private IfStatement ParseIf(int at)
    {
        var branches = new List<(JinjaExpression?, IReadOnlyList<JinjaStatement>)>();
        _conditions++;
        do
        {
            var test = ParseTuple(hasConditions: false);
            branches.Add((test, ParseUntilAny("elif", "else", "endif")));
        }
        while (SkipName("elif"));

        if (SkipName("else"))
            branches.Add((null, ParseUntil("endif")));
        else
            SkipEnd();
        _conditions--;
        return new IfStatement(branches, at);
    }

    private JinjaStatement ParseSet(int at)
    {
        JinjaTarget target;
        if (Current.Kind == JinjaTokenKind.Name && _tokens[_index + 1] is { Kind: JinjaTokenKind.Operator, Value: "." })
        {
            string name = ExpectKind(JinjaTokenKind.Name).Value;
            _index++;
            target = new AttributeTarget(name, ExpectKind(JinjaTokenKind.Name).Value);
        }
        else
        {
            target = ParseTarget();
        }

        if (Skip("="))
            return new SetStatement(target, ParseTuple(), at);
        var filter = ParseFilters(null, startsInline: false);
        return new SetBlockStatement(target, filter, ParseUntil("endset"), at);
    }

    private WithStatement ParseWith(int at)
    {
        var values = new List<(JinjaTarget, JinjaExpression)>();
        while (Current.Kind != JinjaTokenKind.BlockEnd)
        {
            if (values.Count > 0)
                ExpectOperator(",");
            var target = ParseTarget(isSingle: true);
            ExpectOperator("=");
            values.Add((target, ParseExpression()));
        }

        return new WithStatement(values, ParseUntil("endwith"), at);
    }

    private MacroStatement ParseMacro(int at)
    {
        string name = ExpectKind(JinjaTokenKind.Name).Value;
        var parameters = ParseSignature();
        return new MacroStatement(ParseShape(name, parameters, "endmacro"), at);
    }

    private CallStatement ParseCall(int at)
    {
        var parameters = Current is { Kind: JinjaTokenKind.Operator, Value: "(" } ? ParseSignature() : [];
        if (ParseExpression() is not CallExpression call)
            throw JinjaException.Syntax("expected call", at);
        return new CallStatement(call, ParseShape("caller", parameters, "endcall"), at);
    }

    private PrintStatement ParsePrint(int at)
    {
        var parts = new List<JinjaExpression> { ParseExpression() };
        while (Skip(","))
            parts.Add(ParseExpression());
        return new PrintStatement(new ConcatExpression(parts, at), at);
    }

    private ScopeStatement ParseAutoescape(int at)
    {
        if (ParseExpression() is not ConstantExpression { Value: false })
            throw JinjaException.Syntax("a chat template makes plain text, so autoescape can only be false", at);
        return new ScopeStatement(ParseUntil("endautoescape"), at);
    }

    private LeaveLoopStatement ParseLeaveLoop(JinjaToken token)
    {
        if (_loops == 0)
            throw JinjaException.Syntax($"'{token.Value}' outside loop", token.At);
        return new LeaveLoopStatement(token.Value == "break", token.At);
    }

    private List<(string, JinjaExpression?)> ParseSignature()
    {
        var parameters = new List<(string, JinjaExpression?)>();
        ExpectOperator("(");
        while (!Is(")"))
        {
            if (parameters.Count > 0)
                ExpectOperator(",");
            var name = ExpectKind(JinjaTokenKind.Name);
            JinjaExpression? value = null;
            if (Skip("="))
                value = ParseExpression();
            else if (parameters.Count > 0 && parameters[^1].Item2 is not null)
                throw JinjaException.Syntax("non-default argument follows default argument", name.At);
            parameters.Add((name.Value, value));
        }

        ExpectOperator(")");
        return parameters;
    }

    private JinjaMacroShape ParseShape(string name, List<(string, JinjaExpression?)> parameters, string endTag)
    {
        // A loop outside a macro cannot be left from inside it.
        int loops = _loops, start = _index;
        _loops = 0;
        var body = ParseUntil(endTag);
        _loops = loops;
        bool Mentions(string word) => _tokens.GetRange(start, _index - start).Exists(token => token.Kind == JinjaTokenKind.Name && token.Value == word);
        return new JinjaMacroShape(name, parameters, body, Mentions("varargs"), Mentions("kwargs"), Mentions("caller"));
    }

    private List<JinjaStatement> ParseUntil(string endTag)
    {
        var body = ParseUntilAny(endTag);
        _index++;
        return body;
    }

    private List<JinjaStatement> ParseUntilAny(params string[] endTags)
    {
        Skip(":");
        Expect(JinjaTokenKind.BlockEnd);
        return ParseBody(endTags);
    }

    private List<JinjaStatement> SkipEnd()
    {
        _index++;
        return [];
    }

    private JinjaTarget ParseTarget(string? endsAt = null, bool isSingle = false)
    {
        var targets = new List<JinjaTarget>();
        bool isTuple = false;
        while (true)
        {
            if (Is("("))
            {
                using var _ = Deeper();
                _index++;
                targets.Add(ParseTarget());
                ExpectOperator(")");
            }
            else
            {
                var token = Current;
                if (token.Kind == JinjaTokenKind.BlockEnd && targets.Count == 0)
                    throw JinjaException.Syntax($"Expected an expression, got '{token.Describe()}'", token.At);
                if (token.Kind != JinjaTokenKind.Name)
                    throw JinjaException.Syntax(token.Kind is JinjaTokenKind.Integer or JinjaTokenKind.Float or JinjaTokenKind.String ? "can't assign to 'const'" : $"expected token 'name', got '{token.Describe()}'", token.At);
                if (token.Value is "true" or "false" or "none" or "True" or "False" or "None")
                    throw JinjaException.Syntax("can't assign to 'const'", token.At);
                _index++;
                targets.Add(new NameTarget(token.Value));
            }

            if (isSingle || !Skip(","))
                break;
            isTuple = true;
            if (Is("=") || Is(")") || Current.Kind == JinjaTokenKind.BlockEnd || IsName(endsAt))
                break;
        }

        return isTuple ? new TupleTarget(targets) : targets[0];
    }

    private JinjaException UnexpectedTag(JinjaToken? tag)
    {
        var parts = new List<string> { tag is { } token ? $"Encountered unknown tag '{token.Value}'." : "Unexpected end of template." };
        if (tag is not null)
            _openTags.Pop();
        if (_awaited.TryPeek(out string[]? awaited))
        {
            string looking = string.Join(" or ", awaited.Select(name => $"'{name}'"));
            parts.Add(tag is { } known && _awaited.Any(tags => tags.Contains(known.Value))
                ? $"You probably made a nesting mistake. Jinja is expecting this tag, but currently looking for {looking}."
                : $"Jinja was looking for the following tags: {looking}.");
        }

        if (_openTags.TryPeek(out string? open))
            parts.Add($"The innermost block that needs to be closed is '{open}'.");
        return JinjaException.Syntax(string.Join(' ', parts), tag?.At ?? Current.At);
    }

    private void Expect(JinjaTokenKind kind) => ExpectKind(kind);

    private JinjaToken ExpectKind(JinjaTokenKind kind)
    {
        string name = kind == JinjaTokenKind.Name ? "name" : new JinjaToken(kind, "", 0).Describe();
        if (Current.Kind != kind)
            throw Unexpected(name);
        return _tokens[_index++];
    }

    private void ExpectOperator(string symbol)
    {
        if (!Skip(symbol))
            throw Unexpected(symbol);
    }

    private void ExpectName(string name)
    {
        if (!SkipName(name))
            throw Unexpected(name);
    }

    private JinjaException Unexpected(string expected) => JinjaException.Syntax(
        Current.Kind == JinjaTokenKind.End ? $"unexpected end of template, expected '{expected}'." : $"expected token '{expected}', got '{Current.Describe()}'", Current.At);

    private bool Is(string symbol) => Current.Kind == JinjaTokenKind.Operator && Current.Value == symbol;

    private bool IsName(string? name) => Current.Kind == JinjaTokenKind.Name && Current.Value == name;

    private bool Skip(string symbol)
    {
        bool found = Is(symbol);
        _index += found ? 1 : 0;
        return found;
    }

    private bool SkipName(string name)
    {
        bool found = IsName(name);
        _index += found ? 1 : 0;
        return found;
    }

    private Nesting Deeper()
    {
        if (++_depth > DeepestNesting || !RuntimeHelpers.TryEnsureSufficientExecutionStack())
            throw JinjaException.Syntax("the template is nested too deeply", Current.At);
        return new Nesting(this);
    }

    private readonly ref struct Nesting(JinjaParser parser)
    {
        public void Dispose() => parser._depth--;
    }

    private static double ParseFloat(string text) => double.Parse(text, NumberStyles.Float, CultureInfo.InvariantCulture);
}
