using System.Text;

namespace Perenos.Text.Templates;

/// <summary>Runs a template's tree and collects its text and the places of the replies.</summary>
internal sealed class JinjaEvaluator
{
    private readonly List<(int Start, int End)> _generations = [];
    private StringBuilder _output = new();
    private int _captures;

    /// <summary>What this run may still spend.</summary>
    public JinjaBudget Budget { get; } = new();

    /// <summary>Offset of the node that was last begun, for the message of an error.</summary>
    public int At { get; private set; }

    /// <summary>Places of {% generation %} in the output; null where one stood in a macro or a block that is printed elsewhere, so that its place is not known.</summary>
    public IReadOnlyList<(int Start, int End)>? Generations { get; private set; } = [];

    /// <summary>Whether a {% generation %} tag was met.</summary>
    public bool HasGenerations { get; private set; }

    public string Run(IReadOnlyList<JinjaStatement> template, IReadOnlyDictionary<string, object?> variables)
    {
        var scope = new Scope(null);
        foreach (var (name, value) in variables)
            scope.Set(name, value);
        Execute(template, new Scope(scope));
        if (Generations is not null)
            Generations = _generations;
        return _output.ToString();
    }

    private enum Flow
    {
        Next,
        Break,
        Continue,
    }

    private sealed class Scope(Scope? parent)
    {
        private readonly Dictionary<string, object?> _values = new(StringComparer.Ordinal);

        public void Set(string name, object? value) => _values[name] = value;

        public bool TryGet(string name, out object? value)
        {
            for (var scope = this; scope is not null; scope = scope.Parent)
            {
                if (scope._values.TryGetValue(name, out value))
                    return true;
            }

            value = null;
            return false;
        }

        private Scope? Parent { get; } = parent;
    }

    private Flow Execute(IReadOnlyList<JinjaStatement> body, Scope scope)
    {
        Budget.Enter();
        foreach (var statement in body)
        {
            At = statement.At;
            Budget.Spend();
            var flow = Execute(statement, scope);
            if (flow != Flow.Next)
            {
                Budget.Leave();
                return flow;
            }
        }

        Budget.Leave();
        return Flow.Next;
    }

    private Flow Execute(JinjaStatement statement, Scope scope)
    {
        switch (statement)
        {
            case DataStatement data:
                Write(data.Text);
                return Flow.Next;
            case PrintStatement print:
                Write(JinjaOperators.Print(Evaluate(print.Value, scope), Budget));
                return Flow.Next;
            case IfStatement branches:
                foreach (var (test, body) in branches.Branches)
                {
                    if (test is null || JinjaOperators.IsTrue(Evaluate(test, scope)))
                        return Execute(body, scope);
                }

                return Flow.Next;
            case ForStatement loop:
                RunLoop(loop, Evaluate(loop.Items, scope), scope, 0);
                return Flow.Next;
            case SetStatement set:
                Assign(set.Target, Evaluate(set.Value, scope), scope);
                return Flow.Next;
            case SetBlockStatement set:
                string captured = Capture(set.Body, new Scope(scope));
                Assign(set.Target, set.Filter is null ? captured : FilterBlock(set.Filter, captured, scope), scope);
                return Flow.Next;
            case WithStatement with:
                var inner = new Scope(scope);
                foreach (var (target, value) in with.Values)
                    Assign(target, Evaluate(value, scope), inner);
                return Execute(with.Body, inner);
            case ScopeStatement block:
                return Execute(block.Body, new Scope(scope));
            case FilterStatement filter:
                Write(JinjaOperators.Print(FilterBlock(filter.Filter, Capture(filter.Body, new Scope(scope)), scope), Budget));
                return Flow.Next;
            case MacroStatement macro:
                scope.Set(macro.Shape.Name, Macro(macro.Shape, scope));
                return Flow.Next;
            case CallStatement call:
                var (positional, keywords) = Arguments(call.Call.Arguments, scope);
                keywords["caller"] = Macro(call.Caller, scope);
                Write(JinjaOperators.Print(Invoke(Evaluate(call.Call.Target, scope), new JinjaArguments(positional, keywords)), Budget));
                return Flow.Next;
            case GenerationStatement generation:
                RunGeneration(generation, scope);
                return Flow.Next;
            case LeaveLoopStatement leave:
                return leave.IsBreak ? Flow.Break : Flow.Continue;
            default:
                throw new InvalidOperationException($"{statement.GetType()} is no statement");
        }
    }

    private void Write(string text)
    {
        Budget.Spend(_output.Length > JinjaBudget.LongestText ? _output.Length + text.Length : 0);
        _output.Append(text);
    }

    private string Capture(IReadOnlyList<JinjaStatement> body, Scope scope)
    {
        var outer = _output;
        _output = new StringBuilder();
        _captures++;
        Execute(body, scope);
        string text = _output.ToString();
        _captures--;
        _output = outer;
        return Budget.Made(text);
    }

    private void RunGeneration(GenerationStatement generation, Scope scope)
    {
        HasGenerations = true;
        int start = _output.Length;
        Execute(generation.Body, new Scope(scope));
        if (_captures > 0)
            Generations = null;
        else if (_output.Length > start)
            _generations.Add((start, _output.Length));
    }

    private void RunLoop(ForStatement loop, object? value, Scope scope, int depth)
    {
        var items = JinjaOperators.Items(value, Budget);
        if (loop.Filter is not null)
        {
            var kept = new List<object?>();
            foreach (object? item in items)
            {
                var candidate = new Scope(scope);
                Assign(loop.Target, item, candidate);
                if (JinjaOperators.IsTrue(Evaluate(loop.Filter, candidate)))
                    kept.Add(item);
            }

            items = kept;
        }

        if (items.Count == 0)
        {
            Execute(loop.Else, new Scope(scope));
            return;
        }

        var state = new JinjaLoop(items, depth, loop.IsRecursive ? inner => Nested(loop, inner, scope, depth + 1) : null);
        for (int i = 0; i < items.Count; i++)
        {
            Budget.Spend(made: 24); // a turn makes a scope
            state.Index = i;
            var body = new Scope(scope);
            body.Set("loop", state);
            Assign(loop.Target, items[i], body);
            if (Execute(loop.Body, body) == Flow.Break)
                break;
        }
    }

    private string Nested(ForStatement loop, object? items, Scope scope, int depth)
    {
        var outer = _output;
        _output = new StringBuilder();
        _captures++;
        Budget.Enter();
        RunLoop(loop, items, scope, depth);
        Budget.Leave();
        string text = _output.ToString();
        _captures--;
        _output = outer;
        return text;
    }

    private void Assign(JinjaTarget target, object? value, Scope scope)
    {
        switch (target)
        {
            case NameTarget name:
                scope.Set(name.Name, value);
                break;
            case AttributeTarget attribute:
                if (!scope.TryGet(attribute.Name, out object? owner))
                    throw JinjaUndefined.Name(attribute.Name).Error();
                if (owner is not JinjaNamespace space)
                    throw new JinjaException("TemplateRuntimeError", "cannot assign attribute on non-namespace object");
                space.Attributes[attribute.Attribute] = value;
                break;
            case TupleTarget tuple:
                var items = JinjaOperators.Items(value, Budget);
                if (items.Count != tuple.Items.Count)
                {
                    throw JinjaException.Value(items.Count < tuple.Items.Count
                        ? $"not enough values to unpack (expected {tuple.Items.Count}, got {items.Count})"
                        : $"too many values to unpack (expected {tuple.Items.Count})");
                }

                for (int i = 0; i < items.Count; i++)
                    Assign(tuple.Items[i], items[i], scope);
                break;
        }
    }

    private JinjaFunction Macro(JinjaMacroShape shape, Scope defined)
    {
        var attributes = new JinjaDict { ["name"] = shape.Name, ["arguments"] = JinjaList.Tuple([.. shape.Parameters.Select(parameter => parameter.Name)]) };
        return new JinjaFunction(shape.Name, arguments => RunMacro(shape, defined, arguments)) { IsMacro = true, Attributes = attributes };
    }

    private string RunMacro(JinjaMacroShape shape, Scope defined, JinjaArguments arguments)
    {
        var scope = new Scope(defined);
        var (given, keywords) = (arguments.All(), arguments.AllKeywords());
        for (int i = 0; i < shape.Parameters.Count; i++)
        {
            var (name, otherwise) = shape.Parameters[i];
            bool isNamed = keywords.TryGet(name, out object? named);
            if (i < given.Count && isNamed)
                throw JinjaException.Type($"macro '{shape.Name}' got multiple values for argument '{name}'");
            scope.Set(name, i < given.Count ? given[i] : isNamed ? named : otherwise is null ? new JinjaUndefined($"parameter '{name}' was not provided") : Evaluate(otherwise, scope));
        }

        if (given.Count > shape.Parameters.Count && !shape.UsesVarargs)
            throw JinjaException.Type($"macro '{shape.Name}' takes not more than {shape.Parameters.Count} argument(s)");
        scope.Set("varargs", JinjaList.Tuple([.. given.Skip(shape.Parameters.Count)]));
        var rest = new JinjaDict();
        foreach (var (key, value) in keywords.Where(keyword => shape.Parameters.All(parameter => parameter.Name != keyword.Key as string)))
        {
            if (key is "caller" && shape.UsesCaller)
                scope.Set("caller", value);
            else if (shape.UsesKwargs)
                rest[key] = value;
            else
                throw JinjaException.Type($"macro '{shape.Name}' takes no keyword argument '{key}'");
        }

        scope.Set("kwargs", rest);
        return Capture(shape.Body, scope);
    }

    private object? Evaluate(JinjaExpression expression, Scope scope)
    {
        int outer = At;
        At = expression.At;
        Budget.Spend();
        Budget.Enter();
        object? value = expression switch
        {
            ConstantExpression constant => constant.Value,
            NameExpression name => scope.TryGet(name.Name, out object? found) ? found : JinjaUndefined.Name(name.Name),
            ListExpression list => new JinjaList([.. list.Items.Select(item => Evaluate(item, scope))], list.IsTuple ? JinjaListKind.Tuple : JinjaListKind.List),
            DictExpression dict => Dict(dict, scope),
            UnaryExpression { Operator: "not" } unary => !JinjaOperators.IsTrue(Evaluate(unary.Operand, scope)),
            UnaryExpression unary => JinjaOperators.Unary(unary.Operator, Evaluate(unary.Operand, scope)),
            BinaryExpression binary => Binary(binary, scope),
            ConcatExpression concat => Budget.Made(string.Concat(concat.Parts.Select(part => JinjaOperators.Print(Evaluate(part, scope), Budget)))),
            CompareExpression compare => Compare(compare, scope),
            ConditionExpression condition => JinjaOperators.IsTrue(Evaluate(condition.Test, scope)) ? Evaluate(condition.Then, scope)
                : condition.Else is not null ? Evaluate(condition.Else, scope)
                : new JinjaUndefined("the inline if-expression evaluated to false and no else section was defined."),
            AttributeExpression attribute => JinjaMethods.Attribute(Evaluate(attribute.Target, scope), attribute.Name, Budget),
            ItemExpression { Key: SliceExpression slice } item => JinjaOperators.Slice(Evaluate(item.Target, scope), Optional(slice.Start, scope), Optional(slice.Stop, scope), Optional(slice.Step, scope), Budget),
            ItemExpression item => JinjaMethods.Item(Evaluate(item.Target, scope), Evaluate(item.Key, scope), Budget),
            CallExpression call => Call(call, scope),
            FilterExpression filter => Filter(filter, Evaluate(filter.Value!, scope), scope),
            TestExpression test => Test(test, scope),
            SliceExpression => throw JinjaException.Type("a slice stands only in brackets, alone"),
            _ => throw new InvalidOperationException($"{expression.GetType()} is no expression"),
        };
        Budget.Leave();
        At = outer;
        return value;
    }

    private object? Optional(JinjaExpression? expression, Scope scope) => expression is null ? null : Evaluate(expression, scope);

    private JinjaDict Dict(DictExpression expression, Scope scope)
    {
        var dict = new JinjaDict();
        foreach (var (key, value) in expression.Items)
        {
            object? name = Evaluate(key, scope);
            Budget.Touch(name);
            dict[name] = Evaluate(value, scope);
        }

        return dict;
    }

    private object? Binary(BinaryExpression binary, Scope scope)
    {
        object? left = Evaluate(binary.Left, scope);
        if (binary.Operator == "and")
            return JinjaOperators.IsTrue(left) ? Evaluate(binary.Right, scope) : left;
        if (binary.Operator == "or")
            return JinjaOperators.IsTrue(left) ? left : Evaluate(binary.Right, scope);
        object? right = Evaluate(binary.Right, scope);
        return JinjaOperators.Binary(binary.Operator, left, right, Budget);
    }

    private bool Compare(CompareExpression compare, Scope scope)
    {
        object? left = Evaluate(compare.First, scope);
        foreach (var (symbol, operand) in compare.Rest)
        {
            object? right = Evaluate(operand, scope);
            if (!JinjaOperators.Holds(symbol, left, right, Budget))
                return false;
            left = right;
        }

        return true;
    }

    private object? Filter(FilterExpression filter, object? value, Scope scope)
    {
        var (positional, keywords) = Arguments(filter.Arguments, scope);
        return JinjaFilters.Run(filter.Name, value, new JinjaArguments(positional, keywords), Budget);
    }

    // The filters of a block, whose text goes into the innermost of them.
    private object? FilterBlock(FilterExpression filter, string text, Scope scope) =>
        Filter(filter, filter.Value is FilterExpression inner ? FilterBlock(inner, text, scope) : text, scope);

    private bool Test(TestExpression test, Scope scope)
    {
        object? value = Evaluate(test.Value, scope);
        var (positional, keywords) = Arguments(test.Arguments, scope);
        return JinjaTests.Run(test.Name, value, new JinjaArguments(positional, keywords), Budget) != test.IsNegated;
    }

    private object? Call(CallExpression call, Scope scope)
    {
        object? target = Evaluate(call.Target, scope);
        var (positional, keywords) = Arguments(call.Arguments, scope);
        return Invoke(target, new JinjaArguments(positional, keywords));
    }

    private object? Invoke(object? target, JinjaArguments arguments)
    {
        Budget.Touch(arguments);
        return target switch
        {
            JinjaFunction function => function.Call(arguments),
            JinjaLoop loop => loop.Recurse(arguments.Need(0, "iterable")),
            JinjaUndefined undefined => throw undefined.Error(),
            _ => throw JinjaException.Type($"'{JinjaOperators.TypeName(target)}' object is not callable"),
        };
    }

    private (IReadOnlyList<object?> Positional, JinjaDict Keywords) Arguments(JinjaCallArguments arguments, Scope scope)
    {
        var positional = arguments.Positional.Select(argument => Evaluate(argument, scope)).ToList();
        var keywords = new JinjaDict();
        foreach (var (name, value) in arguments.Keywords)
            keywords[name] = Evaluate(value, scope);
        if (arguments.Star is not null)
            positional.AddRange(JinjaOperators.Items(Evaluate(arguments.Star, scope), Budget));
        if (arguments.DoubleStar is not null)
        {
            if (Evaluate(arguments.DoubleStar, scope) is not JinjaDict more)
                throw JinjaException.Type("argument after ** must be a mapping");
            foreach (var (key, value) in more)
                keywords[key] = value;
        }

        return (positional, keywords);
    }
}
