using System.Text;

namespace Perenos.Fuzz;

/// <summary>Damage to texts that are made of tokens, such as JSON and templates: tokens lost, repeated, exchanged, or replaced by awkward ones.</summary>
public static class TextDamage
{
    private const int MostCharacters = 1 << 20;

    private static readonly string[] AwkwardJson =
    [
        "null", "true", "false", "0", "-1", "1", "0.5", "-0", "1e308", "1e999", "1e-999", "2147483647", "2147483648", "4294967296", "9223372036854775807", "9223372036854775808",
        "18446744073709551615", "99999999999999999999999", "\"\"", "\" \"", "\"\\u0000\"", "\"\\ud800\"", "\"\\udc00\\ud800\"", "\"\uFFFD\"", "\"../../etc/passwd\"", "\"(.|..)*!\"", "\"(.{1,1000}){1,1000}\"", "\"(?=.*.*.*.*!).*\"", "\"(.*)*(.*)*\\\\1x\"", "\"[\"", "[]", "{}", "[[]]", "{\"\":{}}",
        "[", "]", "{", "}", ",", ":", "NaN", "Infinity", "//", "\"", "\"\\",
    ];

    /// <summary>JSON: mostly its tokens, sometimes its bytes.</summary>
    public static byte[] Json(byte[] valid, Damage damage) => Tokens(valid, damage, AwkwardJson, IsJsonBoundary);

    /// <summary>Any text of words and signs, with awkward pieces of its own.</summary>
    public static byte[] Words(byte[] valid, Damage damage, IReadOnlyList<string> awkward) =>
        Tokens(valid, damage, awkward, (last, next) => char.IsLetterOrDigit(last) != char.IsLetterOrDigit(next));

    private static byte[] Tokens(byte[] valid, Damage damage, IReadOnlyList<string> awkward, Func<char, char, bool> isBoundary)
    {
        var random = damage.Random;
        if (random.Next(4) == 0)
            return damage.Bytes(valid);
        var tokens = Split(Encoding.UTF8.GetString(valid), isBoundary);
        for (int injuries = damage.Injuries; injuries > 0 && tokens.Count > 0; injuries--)
        {
            int at = random.Next(tokens.Count), length = Math.Min(random.Next(1, 8), tokens.Count - at);
            switch (random.Next(8))
            {
                case 0:
                case 1:
                    tokens[at] = damage.Pick(awkward);
                    break;
                case 2:
                    tokens[at] = damage.Pick(tokens);
                    break;
                case 3:
                    tokens.RemoveRange(at, length);
                    break;
                case 4:
                    tokens.InsertRange(random.Next(tokens.Count + 1), tokens.GetRange(at, length));
                    break;
                case 5:
                    tokens[at] = string.Concat(Enumerable.Repeat(tokens[at], random.Next(8) == 0 ? random.Next(1, 5000) : 2));
                    break;
                case 6:
                    string section = string.Concat(tokens.GetRange(at, length));
                    tokens[at] = string.Concat(Enumerable.Repeat(section, random.Next(8) == 0 ? random.Next(1, 1000) : 2));
                    break;
                default:
                    int other = random.Next(tokens.Count);
                    (tokens[at], tokens[other]) = (tokens[other], tokens[at]);
                    break;
            }
        }

        string text = string.Concat(tokens);
        return Encoding.UTF8.GetBytes(text.Length > MostCharacters ? text[..MostCharacters] : text);
    }

    private static List<string> Split(string text, Func<char, char, bool> isBoundary)
    {
        var tokens = new List<string>();
        int start = 0;
        for (int i = 1; i <= text.Length; i++)
        {
            if (i == text.Length || isBoundary(text[i - 1], text[i]))
            {
                tokens.Add(text[start..i]);
                start = i;
            }
        }

        return tokens;
    }

    // A string with its quotes is cut in three: damage inside it and around it are both wanted.
    private static bool IsJsonBoundary(char last, char next) => IsSign(last) || IsSign(next);

    private static bool IsSign(char c) => c is '{' or '}' or '[' or ']' or ',' or ':' or '"' or ' ' or '\n';
}
