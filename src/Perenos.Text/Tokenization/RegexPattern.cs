using System.Text;
using Perenos.Runs;

namespace Perenos.Text.Tokenization;

/// <summary>
/// Runs a compiled expression over code points by backtracking on a stack of its own: no text can overflow the thread's stack, and a
/// bound on the work stops expressions that would take for ever.
/// </summary>
internal sealed class RegexPattern : TextPattern
{
    private const int WorkPerUnit = 2_000;
    private const int FreeWork = 1_000_000;

    private readonly string _expression;
    private readonly RegexStep[] _program;
    private readonly int _slots;

    /// <exception cref="RegexSyntaxException">The expression is malformed or uses what is not built.</exception>
    public RegexPattern(string expression)
    {
        _expression = expression;
        _program = RegexCompiler.Compile(expression, out _slots);
    }

    public override void FindMatches(ReadOnlySpan<char> text, List<TextRange> matches)
    {
        var run = new Run(this, text.Length);
        int last = -1;
        for (int start = 0; start <= text.Length;)
        {
            int end = run.Match(_program, text, start);
            if (end > start || (end == start && end != last)) // no empty match right behind another match
            {
                matches.Add(new TextRange(start, end));
                last = end;
            }

            start = end > start ? end : start + Width(text, start);
        }
    }

    private static int Width(ReadOnlySpan<char> text, int at) =>
        at + 1 < text.Length && char.IsHighSurrogate(text[at]) && char.IsLowSurrogate(text[at + 1]) ? 2 : 1;

    private static int Read(ReadOnlySpan<char> text, int at, out int width)
    {
        char unit = text[at];
        width = 1;
        if (!char.IsSurrogate(unit))
            return unit;
        Rune.DecodeFromUtf16(text[at..], out var rune, out width);
        return rune.Value;
    }

    private static int Before(ReadOnlySpan<char> text, int at) =>
        at >= 2 && char.IsLowSurrogate(text[at - 1]) && char.IsHighSurrogate(text[at - 2]) ? at - 2 : at - 1;

    /// <summary>A way not taken yet. Low ≤ At: a loop that can still give back (or, Lazy, take more) one code point at a time.</summary>
    private readonly record struct Choice(int Step, int At, int Bound, int Kind);

    private sealed class Run(RegexPattern pattern, int length)
    {
        private const int Other = 0, Greedy = 1, Lazy = 2, Slot = 3;

        private readonly int[] _marks = new int[pattern._slots];
        private readonly List<Choice> _choices = [];
        private long _work = FreeWork + (long)length * WorkPerUnit;

        /// <summary>The end of the match that begins at <paramref name="at"/>, or -1.</summary>
        public int Match(RegexStep[] program, ReadOnlySpan<char> text, int at)
        {
            int floor = _choices.Count;
            int step = 0;
            while (true)
            {
                if (--_work < 0)
                {
                    throw new PerenosException(
                        $"The expression {pattern._expression} takes too long on this text.", "Use a tokenizer with a simpler expression.");
                }

                var current = program[step];
                bool matched = true;
                switch (current.Operation)
                {
                    case RegexOperation.Match:
                        _choices.RemoveRange(floor, _choices.Count - floor);
                        return at;
                    case RegexOperation.Set:
                        matched = at < text.Length && current.Set!.Contains(Read(text, at, out int width)) && (at += width) > 0;
                        step++;
                        break;
                    case RegexOperation.SetLoop:
                        matched = Loop(current, text, ref at, step);
                        step++;
                        break;
                    case RegexOperation.Split:
                        _choices.Add(new Choice(current.Other, at, 0, Other));
                        step = current.Target;
                        break;
                    case RegexOperation.Jump:
                        step = current.Target;
                        break;
                    case RegexOperation.Mark:
                        _choices.Add(new Choice(current.Slot, _marks[current.Slot], 0, Slot));
                        _marks[current.Slot] = at;
                        step++;
                        break;
                    case RegexOperation.Moved:
                        matched = _marks[current.Slot] != at;
                        step++;
                        break;
                    case RegexOperation.Atomic:
                        int end = Match(current.Inner, text, at);
                        matched = end >= 0;
                        at = matched ? end : at;
                        step++;
                        break;
                    case RegexOperation.Look:
                        matched = Look(current, text, at) != current.Negated;
                        step++;
                        break;
                    default:
                        matched = Holds(current, text, at);
                        step++;
                        break;
                }

                if (!matched && !Back(program, text, floor, ref step, ref at))
                    return -1;
            }
        }

        private bool Loop(RegexStep loop, ReadOnlySpan<char> text, ref int at, int step)
        {
            int least = at, count = 0;
            int wanted = loop.Lazy ? loop.Minimum : loop.Maximum;
            while (count < wanted && at < text.Length && loop.Set!.Contains(Read(text, at, out int width)))
            {
                at += width;
                if (++count == loop.Minimum)
                    least = at;
            }

            _work -= count >> 3;
            if (count < loop.Minimum)
                return false;
            if (loop.Lazy)
                _choices.Add(new Choice(step, at, count, Lazy));
            else if (at > least && !loop.Possessive)
                _choices.Add(new Choice(step, at, least, Greedy));
            return true;
        }

        private bool Back(RegexStep[] program, ReadOnlySpan<char> text, int floor, ref int step, ref int at)
        {
            while (_choices.Count > floor)
            {
                var choice = _choices[^1];
                _choices.RemoveAt(_choices.Count - 1);
                switch (choice.Kind)
                {
                    case Slot:
                        _marks[choice.Step] = choice.At;
                        continue;
                    case Greedy:
                        at = Before(text, choice.At);
                        if (at > choice.Bound)
                            _choices.Add(choice with { At = at });
                        step = choice.Step + 1;
                        return true;
                    case Lazy:
                        var loop = program[choice.Step];
                        at = choice.At;
                        if (choice.Bound == loop.Maximum || at >= text.Length || !loop.Set!.Contains(Read(text, at, out int width)))
                            continue;
                        at += width;
                        _choices.Add(choice with { At = at, Bound = choice.Bound + 1 });
                        step = choice.Step + 1;
                        return true;
                    default:
                        step = choice.Step;
                        at = choice.At;
                        return true;
                }
            }

            return false;
        }

        private bool Look(RegexStep look, ReadOnlySpan<char> text, int at)
        {
            int start = at;
            for (int count = 0; count < look.Behind; count++)
            {
                if (start == 0)
                    return false;
                start = Before(text, start);
            }

            int end = Match(look.Inner, text, start);
            return look.Behind < 0 ? end >= 0 : end == at;
        }

        private static bool Holds(RegexStep assertion, ReadOnlySpan<char> text, int at) => assertion.Operation switch
        {
            RegexOperation.TextStart => at == 0,
            RegexOperation.TextEnd => at == text.Length || (assertion.Lazy && at == text.Length - 1 && text[at] == '\n'),
            RegexOperation.LineStart => at == 0 || (text[at - 1] == '\n' && at < text.Length),
            RegexOperation.LineEnd => at == text.Length || text[at] == '\n',
            _ => (IsWordAt(text, at) != (at > 0 && IsWordAt(text, Before(text, at)))) != assertion.Negated,
        };

        private static bool IsWordAt(ReadOnlySpan<char> text, int at) => at < text.Length && CodePointSet.Word(Read(text, at, out _));
    }
}
