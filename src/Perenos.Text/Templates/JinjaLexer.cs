using System.Globalization;
using System.Numerics;
using System.Text;
using System.Text.RegularExpressions;

namespace Perenos.Text.Templates;

internal enum JinjaTokenKind
{
    Data,
    VariableBegin,
    VariableEnd,
    BlockBegin,
    BlockEnd,
    Name,
    String,
    Integer,
    Float,
    Operator,
    End,

    /// <summary>Where the lexer stopped; the parser raises it when it comes so far.</summary>
    Error,
}

/// <summary>A token with its offset; <paramref name="Value"/> is the text (of a string: without quotes and escapes).</summary>
internal readonly record struct JinjaToken(JinjaTokenKind Kind, string Value, int At)
{
    /// <summary>The token in the words of Jinja's messages.</summary>
    public string Describe() => Kind switch
    {
        JinjaTokenKind.Name or JinjaTokenKind.Operator => Value,
        JinjaTokenKind.Integer => "integer",
        JinjaTokenKind.Float => "float",
        JinjaTokenKind.String => "string",
        JinjaTokenKind.VariableBegin => "begin of print statement",
        JinjaTokenKind.VariableEnd => "end of print statement",
        JinjaTokenKind.BlockBegin => "begin of statement block",
        JinjaTokenKind.BlockEnd => "end of statement block",
        JinjaTokenKind.Data => "template data / text",
        _ => "end of template",
    };
}

/// <summary>
/// Cuts a template into tokens as Jinja 3.1 does with trim_blocks and lstrip_blocks on, the setting of chat templates
/// (https://jinja.palletsprojects.com/en/stable/templates/#whitespace-control).
/// </summary>
internal sealed partial class JinjaLexer
{
    private static readonly string[] Operators = ["//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<", "=", ".", ":", "|", ",", ";"];

    // Longer than any number that arithmetic may make.
    private const int LongestInteger = 4000;

    private readonly string _source;
    private readonly List<JinjaToken> _tokens = [];
    private int _at;

    // Whether the text that follows begins a line, so that blanks before a block tag can be taken away.
    private bool _isLineStart = true;

    private JinjaLexer(string source) => _source = source;

    /// <summary>The source with line ends as LF and without its last one, which is what the tokens' offsets refer to.</summary>
    public static string Normalize(string source)
    {
        string text = source.Replace("\r\n", "\n", StringComparison.Ordinal).Replace('\r', '\n');
        return text.EndsWith('\n') ? text[..^1] : text;
    }

    public static List<JinjaToken> Tokens(string normalizedSource)
    {
        var lexer = new JinjaLexer(normalizedSource);
        try
        {
            lexer.Run();
        }
        catch (JinjaException exception)
        {
            // What is wrong before it is reported first.
            lexer.Add(JinjaTokenKind.Error, exception.Message, exception.At);
        }

        return lexer._tokens;
    }

    private void Run()
    {
        while (_at < _source.Length)
        {
            int open = FindOpening();
            if (open < 0)
            {
                AddData(_source[_at..], _at);
                break;
            }

            char kind = _source[open + 1];
            char sign = CharAt(open + 2);
            AddData(Stripped(_source[_at..open], sign, canStripLine: kind != '{'), _at);
            _at = open + 2 + (sign is '-' or '+' ? 1 : 0);
            if (kind == '#')
                SkipComment(open);
            else if (kind == '%' && RawBegin().Match(_source, _at) is { Success: true } raw)
                ReadRaw(raw, open);
            else
                ReadTag(kind, open);
        }

        Add(JinjaTokenKind.End, "", _source.Length);
    }

    private int FindOpening()
    {
        for (int open = _source.IndexOf('{', _at); open >= 0 && open + 1 < _source.Length; open = _source.IndexOf('{', open + 1))
        {
            if (_source[open + 1] is '%' or '{' or '#')
                return open;
        }

        return -1;
    }

    private string Stripped(string text, char sign, bool canStripLine)
    {
        if (sign == '-')
            return text.TrimEnd(PythonText.Blanks);
        if (sign == '+' || !canStripLine)
            return text;
        int line = text.LastIndexOf('\n') + 1;
        return (line > 0 || _isLineStart) && text.AsSpan(line).Trim(PythonText.Blanks).IsEmpty ? text[..line] : text;
    }

    private void SkipComment(int open)
    {
        int close = _source.IndexOf("#}", _at, StringComparison.Ordinal);
        if (close < 0)
            throw JinjaException.Syntax("Missing end of comment tag", open);
        char sign = close > _at ? _source[close - 1] : '\0';
        EndTag(close + 2, sign, trimsLine: true);
    }

    private void ReadRaw(Match begin, int open)
    {
        _at += begin.Length;
        var end = RawEnd().Match(_source, _at);
        if (!end.Success)
            throw JinjaException.Syntax("Missing end of raw directive", open);
        _isLineStart = begin.Value.EndsWith('\n');
        AddData(Stripped(_source[_at..end.Index], CharAt(end.Index + 2), canStripLine: true), _at);
        _at = end.Index + end.Length;
        _isLineStart = _source[_at - 1] == '\n';
    }

    // After the closing braces: "-" takes all white space that follows, a block or comment without sign takes one line end.
    private void EndTag(int after, char sign, bool trimsLine)
    {
        _at = after;
        if (sign == '-')
        {
            while (_at < _source.Length && PythonText.IsBlank(_source[_at]))
                _at++;
        }
        else if (trimsLine && sign != '+' && CharAt(_at) == '\n')
        {
            _at++;
        }

        _isLineStart = _source[_at - 1] == '\n';
    }

    private void ReadTag(char kind, int open)
    {
        bool isBlock = kind == '%';
        string close = isBlock ? "%}" : "}}";
        Add(isBlock ? JinjaTokenKind.BlockBegin : JinjaTokenKind.VariableBegin, "", open);
        var brackets = new Stack<char>();
        while (_at < _source.Length)
        {
            char c = _source[_at];
            if (PythonText.IsBlank(c))
            {
                _at++;
                continue;
            }

            if (brackets.Count == 0)
            {
                bool isSigned = (c == '-' || (c == '+' && isBlock)) && Follows(close, _at + 1);
                if (isSigned || Follows(close, _at))
                {
                    Add(isBlock ? JinjaTokenKind.BlockEnd : JinjaTokenKind.VariableEnd, "", _at);
                    EndTag(_at + (isSigned ? 3 : 2), isSigned ? c : '\0', trimsLine: isBlock);
                    return;
                }
            }

            ReadToken(c, brackets);
        }
    }

    private void ReadToken(char c, Stack<char> brackets)
    {
        int start = _at;
        if (c is '\'' or '"')
        {
            ReadString(c);
        }
        else if (char.IsAsciiDigit(c))
        {
            var number = Float().Match(_source, _at);
            bool isFloat = number.Success && CharAt(_at - 1) != '.';
            if (!isFloat)
                number = Integer().Match(_source, _at);
            if (!isFloat && number.Length > LongestInteger)
                throw JinjaException.Syntax("the number is too long", start);
            _at += number.Length;
            Add(isFloat ? JinjaTokenKind.Float : JinjaTokenKind.Integer, number.Value.Replace("_", "", StringComparison.Ordinal), start);
        }
        else if (c == '_' || char.IsLetter(c))
        {
            while (_at < _source.Length && (_source[_at] == '_' || char.IsLetterOrDigit(_source[_at])))
                _at++;
            Add(JinjaTokenKind.Name, _source[start.._at], start);
        }
        else
        {
            string symbol = Operators.FirstOrDefault(candidate => Follows(candidate, _at))
                ?? throw JinjaException.Syntax($"unexpected char {PythonText.Quote(c.ToString())} at {_at}", _at);
            Balance(symbol[0], brackets);
            _at += symbol.Length;
            Add(JinjaTokenKind.Operator, symbol, start);
        }
    }

    private void Balance(char symbol, Stack<char> brackets)
    {
        if (symbol is '(' or '[' or '{')
        {
            brackets.Push(symbol == '(' ? ')' : symbol == '[' ? ']' : '}');
        }
        else if (symbol is ')' or ']' or '}')
        {
            if (!brackets.TryPop(out char expected))
                throw JinjaException.Syntax($"unexpected '{symbol}'", _at);
            if (expected != symbol)
                throw JinjaException.Syntax($"unexpected '{symbol}', expected '{expected}'", _at);
        }
    }

    // Python's escapes; an unknown one keeps its backslash (https://docs.python.org/3/reference/lexical_analysis.html#escape-sequences).
    private void ReadString(char quote)
    {
        int start = _at++;
        var text = new StringBuilder();
        while (true)
        {
            char c = CharAt(_at);
            if (_at >= _source.Length)
                throw JinjaException.Syntax($"unexpected char {PythonText.Quote(quote.ToString())} at {start}", start);
            _at++;
            if (c == quote)
                break;
            if (c == '\\' && _at < _source.Length)
                ReadEscape(text, start);
            else
                text.Append(c);
        }

        Add(JinjaTokenKind.String, text.ToString(), start);
    }

    private void ReadEscape(StringBuilder text, int start)
    {
        char c = _source[_at++];
        switch (c)
        {
            case '\n': break;
            case '\\' or '\'' or '"': text.Append(c); break;
            case 'a': text.Append('\a'); break;
            case 'b': text.Append('\b'); break;
            case 'f': text.Append('\f'); break;
            case 'n': text.Append('\n'); break;
            case 'r': text.Append('\r'); break;
            case 't': text.Append('\t'); break;
            case 'v': text.Append('\v'); break;
            case 'x': AppendCode(text, 2, start); break;
            case 'u': AppendCode(text, 4, start); break;
            case 'U': AppendCode(text, 8, start); break;
            case 'N': throw JinjaException.Syntax("malformed \\N character escape", start);
            case >= '0' and <= '7':
                int code = c - '0';
                for (int i = 0; i < 2 && CharAt(_at) is >= '0' and <= '7'; i++)
                    code = (code * 8) + _source[_at++] - '0';
                text.Append((char)code);
                break;
            default: text.Append('\\').Append(c); break;
        }
    }

    private void AppendCode(StringBuilder text, int digits, int start)
    {
        if (_at + digits > _source.Length || !uint.TryParse(_source.AsSpan(_at, digits), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out uint code) || code > 0x10FFFF)
            throw JinjaException.Syntax("malformed character escape in string", start);
        _at += digits;
        if (code <= 0xFFFF)
            text.Append((char)code);
        else
            text.Append(char.ConvertFromUtf32((int)code));
    }

    private bool Follows(string text, int at) => string.CompareOrdinal(_source, at, text, 0, text.Length) == 0;

    private char CharAt(int at) => at >= 0 && at < _source.Length ? _source[at] : '\0';

    private void AddData(string text, int at)
    {
        if (text.Length > 0)
            Add(JinjaTokenKind.Data, text, at);
    }

    private void Add(JinjaTokenKind kind, string value, int at) => _tokens.Add(new JinjaToken(kind, value, at));

    /// <summary>The value of an integer token, which may be binary, octal or hexadecimal.</summary>
    public static BigInteger ParseInteger(string text)
    {
        if (text.Length > 2 && text[0] == '0' && char.IsAsciiLetter(text[1]))
        {
            int radix = char.ToLowerInvariant(text[1]) switch { 'b' => 2, 'o' => 8, _ => 16 };
            return text[2..].Aggregate(BigInteger.Zero, (value, digit) => (value * radix) + Convert.ToInt32(digit.ToString(), 16));
        }

        return BigInteger.Parse(text, CultureInfo.InvariantCulture);
    }

    [GeneratedRegex(@"\G\s*raw\s*(?:-%\}\s*|%\})")]
    private static partial Regex RawBegin();

    [GeneratedRegex(@"\{%[-+]?\s*endraw\s*(?:\+%\}|-%\}\s*|%\}\n?)")]
    private static partial Regex RawEnd();

    [GeneratedRegex(@"\G[0-9](?:_?[0-9])*(?:(?:\.[0-9](?:_?[0-9])*)?[eE][+-]?[0-9](?:_?[0-9])*|\.[0-9](?:_?[0-9])*)")]
    private static partial Regex Float();

    [GeneratedRegex(@"\G(?:0[bB](?:_?[01])+|0[oO](?:_?[0-7])+|0[xX](?:_?[0-9a-fA-F])+|[1-9](?:_?[0-9])*|0(?:_?0)*)")]
    private static partial Regex Integer();
}
