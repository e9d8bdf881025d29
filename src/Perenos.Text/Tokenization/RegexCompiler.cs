using System.Globalization;
using System.Text;

namespace Perenos.Text.Tokenization;

/// <summary>An expression that cannot be compiled, and why.</summary>
internal sealed class RegexSyntaxException(string message) : Exception(message);

/// <summary>
/// Compiles the part of Oniguruma's syntax that tokenizers use (https://github.com/kkos/oniguruma/blob/master/doc/RE): alternatives,
/// groups, inline (?i), classes with ranges, properties, negation and intersection, greedy, lazy and possessive quantifiers, look-ahead,
/// look-behind of fixed length. As there, \s \w \d are Unicode properties, and ^ $ stand at every line.
/// </summary>
internal sealed class RegexCompiler
{
    private const int MostSteps = 20_000;
    private const int DeepestGroup = 100;

    private readonly int[] _pattern;
    private int _at;
    private int _slots;
    private int _depth;
    private int _steps;

    private RegexCompiler(string pattern) => _pattern = [.. pattern.EnumerateRunes().Select(static rune => rune.Value)];

    /// <exception cref="RegexSyntaxException">The expression is malformed, too big, or uses what is not built.</exception>
    public static RegexStep[] Compile(string pattern, out int slots)
    {
        var compiler = new RegexCompiler(pattern);
        var steps = compiler.Alternatives(ignoreCase: false);
        if (compiler._at < compiler._pattern.Length)
            throw new RegexSyntaxException("a ) without its (");
        steps.Add(new RegexStep(RegexOperation.Match));
        slots = compiler._slots;
        return [.. steps];
    }

    private int Next => _at < _pattern.Length ? _pattern[_at] : -1;

    private List<RegexStep> Alternatives(bool ignoreCase)
    {
        if (++_depth > DeepestGroup)
            throw new RegexSyntaxException("groups nest too deeply");
        var branches = new List<List<RegexStep>> { Sequence(ref ignoreCase) };
        while (Next == '|')
        {
            _at++;
            branches.Add(Sequence(ref ignoreCase));
        }

        _depth--;
        var steps = branches[^1];
        for (int index = branches.Count - 2; index >= 0; index--)
            steps = Either(branches[index], steps);
        return steps;
    }

    private List<RegexStep> Sequence(ref bool ignoreCase)
    {
        var steps = new List<RegexStep>();
        while (Next is not (-1 or '|' or ')'))
            Append(steps, Quantified(ref ignoreCase));
        return steps;
    }

    private List<RegexStep> Quantified(ref bool ignoreCase)
    {
        var atom = Atom(ref ignoreCase);
        while (Quantifier(out int minimum, out int maximum))
        {
            bool lazy = false, possessive = false;
            if (Next == '?')
            {
                lazy = true;
                _at++;
            }
            else if (Next == '+' && _pattern[_at - 1] != '}') // {n,m}+ is a quantifier of a quantifier in this syntax
            {
                possessive = true;
                _at++;
            }

            atom = Repeat(atom, minimum, maximum, lazy, possessive);
        }

        return atom;
    }

    private bool Quantifier(out int minimum, out int maximum)
    {
        (minimum, maximum) = (0, int.MaxValue);
        switch (Next)
        {
            case '*':
                break;
            case '+':
                minimum = 1;
                break;
            case '?':
                maximum = 1;
                break;
            case '{':
                return Counts(out minimum, out maximum);
            default:
                return false;
        }

        _at++;
        return true;
    }

    private bool Counts(out int minimum, out int maximum)
    {
        int start = _at++;
        bool hasMinimum = Integer(out minimum);
        maximum = minimum;
        bool hasMaximum = false;
        if (Next == ',')
        {
            _at++;
            hasMaximum = Integer(out maximum);
            if (!hasMaximum)
                maximum = int.MaxValue;
        }

        if (Next == '}' && (hasMinimum || hasMaximum))
        {
            _at++;
            if (minimum > maximum)
                throw new RegexSyntaxException("a quantifier {n,m} with n > m");
            return true;
        }

        _at = start; // a brace that is no quantifier is a character
        (minimum, maximum) = (0, 0);
        return false;
    }

    private bool Integer(out int value)
    {
        value = 0;
        int start = _at;
        while (Next is >= '0' and <= '9')
        {
            value = value * 10 + Next - '0';
            if (value > 100_000)
                throw new RegexSyntaxException("a quantifier beyond 100,000");
            _at++;
        }

        return _at > start;
    }

    private List<RegexStep> Atom(ref bool ignoreCase)
    {
        int unit = _pattern[_at++];
        switch (unit)
        {
            case '(':
                return Group(ref ignoreCase);
            case '[':
                return One(Class(ignoreCase));
            case '.':
                return One(static codePoint => codePoint != '\n');
            case '^':
                return [new RegexStep(RegexOperation.LineStart)];
            case '$':
                return [new RegexStep(RegexOperation.LineEnd)];
            case '*' or '+' or '?':
                throw new RegexSyntaxException("a quantifier with nothing before it");
            case '\\':
                break;
            default:
                return One(Literal(unit, ignoreCase));
        }

        switch (Next)
        {
            case 'A':
                _at++;
                return [new RegexStep(RegexOperation.TextStart)];
            case 'z' or 'Z':
                return [new RegexStep(RegexOperation.TextEnd) { Lazy = _pattern[_at++] == 'Z' }];
            case 'b' or 'B':
                return [new RegexStep(RegexOperation.WordBoundary) { Negated = _pattern[_at++] == 'B' }];
            case >= '1' and <= '9' or 'k' or 'g' or 'G' or 'K' or 'R' or 'X':
                throw new RegexSyntaxException($"\\{(char)Next}");
            default:
                return One(Escape(ignoreCase));
        }
    }

    private List<RegexStep> Group(ref bool ignoreCase)
    {
        if (Next != '?')
            return Closed(Alternatives(ignoreCase));
        _at++;
        switch (Next)
        {
            case ':':
                _at++;
                return Closed(Alternatives(ignoreCase));
            case '>':
                _at++;
                return [Enclose(RegexOperation.Atomic, Closed(Alternatives(ignoreCase)), false, -1)];
            case '=' or '!':
                bool negated = _pattern[_at++] == '!';
                return [Enclose(RegexOperation.Look, Closed(Alternatives(ignoreCase)), negated, -1)];
            case '<' when _at + 1 < _pattern.Length && _pattern[_at + 1] is '=' or '!':
                bool isNegated = _pattern[_at + 1] == '!';
                _at += 2;
                var behind = Closed(Alternatives(ignoreCase));
                return [Enclose(RegexOperation.Look, behind, isNegated, FixedLength(behind))];
            case '<' or 'P':
                while (Next is not (-1 or '>'))
                    _at++;
                _at++;
                return Closed(Alternatives(ignoreCase));
            default:
                return Flags(ref ignoreCase);
        }
    }

    private List<RegexStep> Flags(ref bool ignoreCase)
    {
        bool on = true, inner = ignoreCase;
        for (; Next is not (':' or ')'); _at++)
        {
            if (Next == '-')
                on = false;
            else if (Next == 'i')
                inner = on;
            else
                throw new RegexSyntaxException(Next < 0 ? "an open group" : $"the flag {char.ConvertFromUtf32(Next)}");
        }

        if (_pattern[_at++] == ':')
            return Closed(Alternatives(inner));
        ignoreCase = inner; // (?i) holds to the end of the group around it
        return [];
    }

    private List<RegexStep> Closed(List<RegexStep> steps)
    {
        if (Next != ')')
            throw new RegexSyntaxException("an open group");
        _at++;
        return steps;
    }

    private static RegexStep Enclose(RegexOperation operation, List<RegexStep> steps, bool negated, int behind) => new(operation)
    {
        Inner = [.. steps, new RegexStep(RegexOperation.Match)],
        Negated = negated,
        Behind = behind,
    };

    private Func<int, bool> Class(bool ignoreCase)
    {
        if (++_depth > DeepestGroup)
            throw new RegexSyntaxException("classes nest too deeply");
        bool negated = Next == '^';
        if (negated)
            _at++;
        Func<int, bool>? left = null;
        var members = new List<Func<int, bool>>();
        for (bool first = true; first || Next != ']'; first = false)
        {
            if (Next < 0)
                throw new RegexSyntaxException("an open class");
            if (Next == '&' && _at + 1 < _pattern.Length && _pattern[_at + 1] == '&')
            {
                _at += 2;
                left = And(left, Union(members));
                members = [];
                continue;
            }

            Member(members, ignoreCase);
        }

        _at++;
        _depth--;
        var all = And(left, Union(members));
        if (ignoreCase)
        {
            var exact = all;
            all = codePoint => exact(codePoint) || AnyVariant(codePoint, exact);
        }

        return negated ? codePoint => !all(codePoint) : all;

        static Func<int, bool> Union(List<Func<int, bool>> parts) => parts.Count == 1 ? parts[0] : codePoint =>
        {
            foreach (var part in parts)
            {
                if (part(codePoint))
                    return true;
            }

            return false;
        };

        static Func<int, bool> And(Func<int, bool>? one, Func<int, bool> two) => one is null ? two : codePoint => one(codePoint) && two(codePoint);
    }

    private void Member(List<Func<int, bool>> members, bool ignoreCase)
    {
        if (Next == '[')
        {
            _at++;
            members.Add(Next == ':' ? Posix() : Class(ignoreCase));
            return;
        }

        int low;
        if (Next == '\\')
        {
            _at++;
            if (Character() is not { } escaped)
            {
                members.Add(Escape(ignoreCase: false));
                return;
            }

            low = escaped;
        }
        else
        {
            low = _pattern[_at++];
        }

        int high = low;
        if (Next == '-' && _at + 1 < _pattern.Length && _pattern[_at + 1] is not (']' or '['))
        {
            _at++;
            high = _pattern[_at++];
            if (high == '\\')
                high = Character() ?? throw new RegexSyntaxException("a range that ends in a set");
            if (high < low)
                throw new RegexSyntaxException("a range that runs backwards");
        }

        members.Add(codePoint => codePoint >= low && codePoint <= high);
    }

    private Func<int, bool> Posix()
    {
        int end = Array.IndexOf(_pattern, ']', _at);
        if (end < 0 || _pattern[end - 1] != ':' || end - _at < 3)
            throw new RegexSyntaxException("an open [: class");
        string name = string.Concat(_pattern[(_at + 1)..(end - 1)].Select(char.ConvertFromUtf32));
        _at = end + 1;
        bool negated = name.StartsWith('^');
        var property = CodePointSet.Property(name.TrimStart('^')) ?? throw new RegexSyntaxException($"the class {name}");
        return negated ? codePoint => !property(codePoint) : property;
    }

    /// <summary>The character that an escape stands for; null, with nothing read, if it stands for a set.</summary>
    private int? Character()
    {
        if (Next < 0)
            throw new RegexSyntaxException("a \\ at the end");
        int unit = _pattern[_at];
        switch (unit)
        {
            case 'n' or 't' or 'r' or 'f' or 'v' or 'a' or 'e' or '0':
                _at++;
                return unit switch { 'n' => '\n', 't' => '\t', 'r' => '\r', 'f' => '\f', 'v' => '\v', 'a' => 7, 'e' => 27, _ => 0 };
            case 'x' or 'u':
                _at++;
                return HexCharacter(unit == 'u' ? 4 : 2);
            case 's' or 'S' or 'd' or 'D' or 'w' or 'W' or 'h' or 'H' or 'p' or 'P':
                return null;
            case (>= 'a' and <= 'z') or (>= 'A' and <= 'Z') or (>= '1' and <= '9'):
                throw new RegexSyntaxException($"\\{(char)unit}");
            default:
                _at++;
                return unit;
        }
    }

    private int HexCharacter(int digits)
    {
        bool braces = Next == '{';
        if (braces)
            _at++;
        var text = new StringBuilder();
        while (Next is >= 0 and < 128 && char.IsAsciiHexDigit((char)Next) && text.Length < (braces ? 8 : digits))
            text.Append((char)_pattern[_at++]);
        if (braces && (Next != '}' || _at++ < 0))
            throw new RegexSyntaxException("an open \\x{");
        return int.TryParse(text.ToString(), NumberStyles.HexNumber, CultureInfo.InvariantCulture, out int value) && Rune.IsValid(value)
            ? value
            : throw new RegexSyntaxException("a code that is no character");
    }

    private Func<int, bool> Escape(bool ignoreCase)
    {
        if (Character() is { } character)
            return Literal(character, ignoreCase);
        int unit = _pattern[_at++];
        Func<int, bool> set = unit switch
        {
            's' or 'S' => CharacterClasses.IsWhiteSpace,
            'd' or 'D' => static codePoint => CharUnicodeInfo.GetUnicodeCategory(codePoint) == UnicodeCategory.DecimalDigitNumber,
            'w' or 'W' => CodePointSet.Word,
            'h' or 'H' => static codePoint => codePoint < 128 && char.IsAsciiHexDigit((char)codePoint),
            _ => PropertySet(ref unit),
        };
        return unit is 'S' or 'D' or 'W' or 'H' or 'P' ? codePoint => !set(codePoint) : set;
    }

    private Func<int, bool> PropertySet(ref int unit)
    {
        string name;
        if (Next == '{')
        {
            int end = Array.IndexOf(_pattern, '}', _at);
            if (end < 0)
                throw new RegexSyntaxException("an open \\p{");
            name = string.Concat(_pattern[(_at + 1)..end].Select(char.ConvertFromUtf32));
            _at = end + 1;
        }
        else
        {
            name = Next < 0 ? "" : char.ConvertFromUtf32(_pattern[_at++]);
        }

        if (name.StartsWith('^'))
            unit = unit == 'p' ? 'P' : 'p';
        return CodePointSet.Property(name.TrimStart('^')) ?? throw new RegexSyntaxException($"the property {name}");
    }

    private static Func<int, bool> Literal(int character, bool ignoreCase)
    {
        if (!ignoreCase)
            return codePoint => codePoint == character;
        int[] variants = [character, .. CodePointSet.CaseVariants(character)];
        return codePoint => Array.IndexOf(variants, codePoint) >= 0;
    }

    private static bool AnyVariant(int codePoint, Func<int, bool> contains)
    {
        foreach (int variant in CodePointSet.CaseVariants(codePoint))
        {
            if (contains(variant))
                return true;
        }

        return false;
    }

    private List<RegexStep> One(Func<int, bool> contains)
    {
        Count(1);
        return [new RegexStep(RegexOperation.Set) { Set = new CodePointSet(contains) }];
    }

    private List<RegexStep> Repeat(List<RegexStep> atom, int minimum, int maximum, bool lazy, bool possessive)
    {
        if (atom is [{ Operation: RegexOperation.Set } single])
        {
            return [new RegexStep(RegexOperation.SetLoop)
            {
                Set = single.Set, Minimum = minimum, Maximum = maximum, Lazy = lazy, Possessive = possessive,
            }];
        }

        var steps = new List<RegexStep>();
        Count((long)Math.Max(minimum, maximum == int.MaxValue ? 1 : maximum) * (atom.Count + 4));
        for (int turn = 0; turn < minimum; turn++)
            Append(steps, Copy(atom));
        if (maximum == int.MaxValue)
        {
            // Split -> Mark, atom, Moved, Jump back
            var loop = new List<RegexStep> { new(RegexOperation.Mark) { Slot = _slots } };
            Append(loop, Copy(atom));
            loop.Add(new RegexStep(RegexOperation.Moved) { Slot = _slots });
            _slots++;
            loop.Insert(0, new RegexStep(RegexOperation.Split));
            for (int index = 1; index < loop.Count; index++)
                Shift(loop[index], 1);
            loop.Add(new RegexStep(RegexOperation.Jump) { Target = 0 });
            (loop[0].Target, loop[0].Other) = lazy ? (loop.Count, 1) : (1, loop.Count);
            Append(steps, loop);
        }
        else
        {
            var optional = new List<RegexStep>();
            for (int turn = minimum; turn < maximum; turn++)
            {
                var inner = Copy(atom);
                Append(inner, optional);
                optional = lazy ? Either([], inner) : Either(inner, []);
            }

            Append(steps, optional);
        }

        return possessive ? [Enclose(RegexOperation.Atomic, steps, false, -1)] : steps;
    }

    private List<RegexStep> Either(List<RegexStep> first, List<RegexStep> second)
    {
        Count(2);
        var steps = new List<RegexStep> { new(RegexOperation.Split) { Target = 1, Other = first.Count + 2 } };
        Append(steps, first);
        steps.Add(new RegexStep(RegexOperation.Jump) { Target = first.Count + 2 + second.Count });
        Append(steps, second);
        return steps;
    }

    private void Count(long steps)
    {
        _steps = (int)Math.Min(int.MaxValue, _steps + steps);
        if (_steps > MostSteps)
            throw new RegexSyntaxException($"more than {MostSteps} steps");
    }

    private static List<RegexStep> Copy(List<RegexStep> steps) => steps.ConvertAll(static step => step with { });

    private static void Append(List<RegexStep> steps, List<RegexStep> more)
    {
        foreach (var step in more)
            Shift(step, steps.Count);
        steps.AddRange(more);
    }

    private static void Shift(RegexStep step, int by)
    {
        step.Target += by;
        step.Other += by;
    }

    private static int FixedLength(List<RegexStep> steps)
    {
        int length = 0;
        foreach (var step in steps)
        {
            length += step.Operation switch
            {
                RegexOperation.Set => 1,
                RegexOperation.SetLoop when step.Minimum == step.Maximum => step.Minimum,
                RegexOperation.Look or RegexOperation.LineStart or RegexOperation.LineEnd or RegexOperation.WordBoundary => 0,
                _ => throw new RegexSyntaxException("a look-behind of no fixed length"),
            };
        }

        return length;
    }
}
