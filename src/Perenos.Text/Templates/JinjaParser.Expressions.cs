using System.Text;

namespace Perenos.Text.Templates;

/// <summary>Expressions, from the loosest binding to the tightest.</summary>
internal sealed partial class JinjaParser
{
    private JinjaExpression ParseExpression(bool hasConditions = true)
    {
        using var _ = Deeper();
        return hasConditions ? ParseCondition() : ParseOr();
    }

    private JinjaExpression ParseTuple(bool hasConditions = true, string? endsAt = null, bool isParenthesized = false)
    {
        int at = Current.At;
        var items = new List<JinjaExpression>();
        bool isTuple = false;
        while (!IsTupleEnd(endsAt))
        {
            items.Add(ParseExpression(hasConditions));
            if (!Skip(","))
                break;
            isTuple = true;
        }

        if (isTuple)
            return new ListExpression(items, true, at);
        if (items.Count == 1)
            return items[0];
        if (isParenthesized)
            return new ListExpression([], true, at);
        throw JinjaException.Syntax($"Expected an expression, got '{Current.Describe()}'", at);
    }

    private bool IsTupleEnd(string? endsAt) =>
        Current.Kind is JinjaTokenKind.VariableEnd or JinjaTokenKind.BlockEnd || Is(")") || IsName(endsAt);

    private JinjaExpression ParseCondition()
    {
        var unknown = _unknown;
        var value = ParseOr();
        while (IsName("if"))
        {
            int at = Current.At;
            _index++;
            _conditions++;
            _unknown = unknown; // the value is reached only under the condition
            var test = ParseOr();
            var otherwise = SkipName("else") ? ParseExpression() : null;
            _conditions--;
            value = new ConditionExpression(test, value, otherwise, at);
        }

        return value;
    }

    private JinjaExpression ParseOr()
    {
        var left = ParseAnd();
        while (IsName("or"))
            left = new BinaryExpression("or", left, Next(ParseAnd), left.At);
        return left;
    }

    private JinjaExpression ParseAnd()
    {
        var left = ParseNot();
        while (IsName("and"))
            left = new BinaryExpression("and", left, Next(ParseNot), left.At);
        return left;
    }

    private JinjaExpression ParseNot()
    {
        if (!IsName("not"))
            return ParseCompare();
        using var _ = Deeper();
        int at = Current.At;
        _index++;
        return new UnaryExpression("not", ParseNot(), at);
    }

    private JinjaExpression ParseCompare()
    {
        var first = ParseSum();
        var rest = new List<(string, JinjaExpression)>();
        while (true)
        {
            if (Current.Kind == JinjaTokenKind.Operator && Current.Value is "==" or "!=" or "<" or "<=" or ">" or ">=")
            {
                string symbol = _tokens[_index++].Value;
                rest.Add((symbol, ParseSum()));
            }
            else if (SkipName("in"))
            {
                rest.Add(("in", ParseSum()));
            }
            else if (IsName("not") && _tokens[_index + 1] is { Kind: JinjaTokenKind.Name, Value: "in" })
            {
                _index += 2;
                rest.Add(("not in", ParseSum()));
            }
            else
            {
                return rest.Count == 0 ? first : new CompareExpression(first, rest, first.At);
            }
        }
    }

    private JinjaExpression ParseSum()
    {
        var left = ParseConcat();
        while (Is("+") || Is("-"))
            left = new BinaryExpression(Current.Value, left, Next(ParseConcat), left.At);
        return left;
    }

    private JinjaExpression ParseConcat()
    {
        var parts = new List<JinjaExpression> { ParseProduct() };
        while (Skip("~"))
            parts.Add(ParseProduct());
        return parts.Count == 1 ? parts[0] : new ConcatExpression(parts, parts[0].At);
    }

    private JinjaExpression ParseProduct()
    {
        var left = ParsePower();
        while (Is("*") || Is("/") || Is("//") || Is("%"))
            left = new BinaryExpression(Current.Value, left, Next(ParsePower), left.At);
        return left;
    }

    private JinjaExpression ParsePower()
    {
        var left = ParseUnary(hasFilters: true);
        while (Is("**"))
            left = new BinaryExpression("**", left, Next(() => ParseUnary(hasFilters: true)), left.At);
        return left;
    }

    private JinjaExpression ParseUnary(bool hasFilters)
    {
        using var _ = Deeper();
        var token = Current;
        JinjaExpression value = Is("-") || Is("+") ? new UnaryExpression(token.Value, Next(() => ParseUnary(hasFilters: false)), token.At) : ParsePrimary();
        value = ParsePostfix(value);
        return hasFilters ? ParseFiltersAndTests(value) : value;
    }

    // Evaluates left to right, so the operator's token is passed over before its right side is read.
    private JinjaExpression Next(Func<JinjaExpression> parse)
    {
        _index++;
        return parse();
    }

    private JinjaExpression ParsePrimary()
    {
        var token = Current;
        _index++;
        switch (token.Kind)
        {
            case JinjaTokenKind.Name:
                return token.Value switch
                {
                    "true" or "True" => new ConstantExpression(true, token.At),
                    "false" or "False" => new ConstantExpression(false, token.At),
                    "none" or "None" => new ConstantExpression(null, token.At),
                    _ => new NameExpression(token.Value, token.At),
                };
            case JinjaTokenKind.String:
                var text = new StringBuilder(token.Value);
                while (Current.Kind == JinjaTokenKind.String)
                    text.Append(_tokens[_index++].Value);
                return new ConstantExpression(text.ToString(), token.At);
            case JinjaTokenKind.Integer:
                return new ConstantExpression(JinjaLexer.ParseInteger(token.Value), token.At);
            case JinjaTokenKind.Float:
                return new ConstantExpression(ParseFloat(token.Value), token.At);
            case JinjaTokenKind.Operator when token.Value == "(":
                var tuple = ParseTuple(isParenthesized: true);
                ExpectOperator(")");
                return tuple;
            case JinjaTokenKind.Operator when token.Value == "[":
                return ParseList(token.At);
            case JinjaTokenKind.Operator when token.Value == "{":
                return ParseDict(token.At);
            default:
                _index--;
                throw JinjaException.Syntax($"unexpected '{token.Describe()}'", token.At);
        }
    }

    private ListExpression ParseList(int at)
    {
        var items = new List<JinjaExpression>();
        while (!Is("]"))
        {
            if (items.Count > 0)
                ExpectOperator(",");
            if (Is("]"))
                break;
            items.Add(ParseExpression());
        }

        ExpectOperator("]");
        return new ListExpression(items, false, at);
    }

    private DictExpression ParseDict(int at)
    {
        var items = new List<(JinjaExpression, JinjaExpression)>();
        while (!Is("}"))
        {
            if (items.Count > 0)
                ExpectOperator(",");
            if (Is("}"))
                break;
            var key = ParseExpression();
            ExpectOperator(":");
            items.Add((key, ParseExpression()));
        }

        ExpectOperator("}");
        return new DictExpression(items, at);
    }

    private JinjaExpression ParsePostfix(JinjaExpression value)
    {
        while (true)
        {
            int at = Current.At;
            if (Is("("))
                value = new CallExpression(value, ParseArguments(), at);
            else if (Skip("."))
                value = ParseAttribute(value, at);
            else if (Skip("["))
                value = ParseSubscript(value, at);
            else
                return value;
        }
    }

    private JinjaExpression ParseAttribute(JinjaExpression value, int at)
    {
        var token = Current;
        _index++;
        if (token.Kind == JinjaTokenKind.Name)
            return new AttributeExpression(value, token.Value, at);
        if (token.Kind == JinjaTokenKind.Integer)
            return new ItemExpression(value, new ConstantExpression(JinjaLexer.ParseInteger(token.Value), token.At), at);
        _index--;
        throw JinjaException.Syntax("expected name or number", token.At);
    }

    private ItemExpression ParseSubscript(JinjaExpression value, int at)
    {
        var keys = new List<JinjaExpression>();
        bool isTuple = false;
        do
        {
            if (Is("]") && keys.Count > 0)
                break;
            keys.Add(ParseSubscribed());
            isTuple |= Is(",");
        }
        while (Skip(","));

        ExpectOperator("]");
        return new ItemExpression(value, isTuple ? new ListExpression(keys, true, at) : keys[0], at);
    }

    private JinjaExpression ParseSubscribed()
    {
        int at = Current.At;
        JinjaExpression? start = null;
        if (!Is(":"))
        {
            start = ParseExpression();
            if (!Is(":"))
                return start;
        }

        _index++;
        var stop = Is(":") || Is("]") || Is(",") ? null : ParseExpression();
        var step = Skip(":") && !Is("]") && !Is(",") ? ParseExpression() : null;
        return new SliceExpression(start, stop, step, at);
    }

    private JinjaCallArguments ParseArguments()
    {
        ExpectOperator("(");
        var positional = new List<JinjaExpression>();
        var keywords = new List<(string, JinjaExpression)>();
        JinjaExpression? star = null, doubleStar = null;
        bool isFirst = true;
        while (!Is(")"))
        {
            if (!isFirst)
            {
                ExpectOperator(",");
                if (Is(")"))
                    break;
            }

            isFirst = false;
            int at = Current.At;
            if (star is null && doubleStar is null && Skip("*"))
            {
                star = ParseExpression();
            }
            else if (doubleStar is null && Skip("**"))
            {
                doubleStar = ParseExpression();
            }
            else if (Current.Kind == JinjaTokenKind.Name && _tokens[_index + 1] is { Kind: JinjaTokenKind.Operator, Value: "=" } && doubleStar is null)
            {
                string name = Current.Value;
                _index += 2;
                keywords.Add((name, ParseExpression()));
            }
            else if (star is null && doubleStar is null && keywords.Count == 0)
            {
                positional.Add(ParseExpression());
            }
            else
            {
                throw JinjaException.Syntax("invalid syntax for function call expression", at);
            }
        }

        ExpectOperator(")");
        return new JinjaCallArguments(positional, keywords, star, doubleStar);
    }

    private JinjaExpression ParseFiltersAndTests(JinjaExpression value)
    {
        while (true)
        {
            if (Is("|"))
                value = ParseFilters(value, startsInline: false)!;
            else if (IsName("is"))
                value = ParseTest(value);
            else if (Is("("))
                value = new CallExpression(value, ParseArguments(), value.At);
            else
                return value;
        }
    }

    private FilterExpression? ParseFilters(JinjaExpression? value, bool startsInline)
    {
        while (startsInline || Is("|"))
        {
            if (!startsInline)
                _index++;
            startsInline = false;
            var token = Current;
            string name = ParseDottedName();
            value = new FilterExpression(value, name, Is("(") ? ParseArguments() : JinjaCallArguments.None, token.At);
            if (_conditions == 0 && !JinjaFilters.Exists(name))
                _unknown = JinjaException.Syntax($"No filter named '{name}'.", token.At);
        }

        return (FilterExpression?)value;
    }

    private TestExpression ParseTest(JinjaExpression value)
    {
        _index++;
        bool isNegated = SkipName("not");
        var token = Current;
        string name = ParseDottedName();
        var arguments = JinjaCallArguments.None;
        if (Is("("))
        {
            arguments = ParseArguments();
        }
        else if (Current.Kind is JinjaTokenKind.String or JinjaTokenKind.Integer or JinjaTokenKind.Float || Is("[") || Is("{")
            || (Current.Kind == JinjaTokenKind.Name && Current.Value is not ("else" or "or" or "and")))
        {
            if (IsName("is"))
                throw JinjaException.Syntax("You cannot chain multiple tests with is", Current.At);
            arguments = JinjaCallArguments.None with { Positional = [ParsePostfix(ParsePrimary())] };
        }

        if (_conditions == 0 && !JinjaTests.Exists(name))
            _unknown = JinjaException.Syntax($"No test named '{name}'.", token.At);
        return new TestExpression(value, name, arguments, isNegated, token.At);
    }

    private string ParseDottedName()
    {
        string name = ExpectKind(JinjaTokenKind.Name).Value;
        while (Skip("."))
            name += "." + ExpectKind(JinjaTokenKind.Name).Value;
        return name;
    }
}
