using System.Text;

namespace Perenos.Text.Tokenization;

/// <summary>
/// The 256 printable characters that stand for bytes in byte-level vocabularies
/// (https://github.com/openai/gpt-2/blob/master/src/encoder.py, bytes_to_unicode): printable Latin-1 stands for itself, the rest
/// follow from U+0100 on.
/// </summary>
internal static class ByteAlphabet
{
    private static readonly char[] ByteToChar = Build();
    private static readonly short[] CharToByte = Invert();

    public static char CharOf(byte value) => ByteToChar[value];

    /// <summary>The byte behind a character, or -1 if it stands for none.</summary>
    public static int ByteOf(char character) => character < CharToByte.Length ? CharToByte[character] : -1;

    /// <summary>The bytes of a token: through the alphabet if every character belongs to it, else its UTF-8.</summary>
    public static void AppendBytes(string token, List<byte> bytes)
    {
        int start = bytes.Count;
        foreach (char character in token)
        {
            int value = ByteOf(character);
            if (value < 0)
            {
                bytes.RemoveRange(start, bytes.Count - start);
                bytes.AddRange(Encoding.UTF8.GetBytes(token));
                return;
            }

            bytes.Add((byte)value);
        }
    }

    private static char[] Build()
    {
        var chars = new char[256];
        int next = 0x100;
        for (int value = 0; value < 256; value++)
        {
            bool printable = value is >= '!' and <= '~' or >= 0xA1 and <= 0xAC or >= 0xAE;
            chars[value] = printable ? (char)value : (char)next++;
        }

        return chars;
    }

    private static short[] Invert()
    {
        var bytes = new short[0x144];
        Array.Fill(bytes, (short)-1);
        for (int value = 0; value < 256; value++)
            bytes[ByteToChar[value]] = (short)value;
        return bytes;
    }
}
