using System.Text;

namespace Perenos.Text.Tokenization;

/// <summary>
/// Decodes ids one at a time. What it gives out is final: never half a character, and all pieces together with
/// <see cref="Flush"/> are what decoding at once gives. For one thread.
/// </summary>
public sealed class TokenStream
{
    private readonly Tokenizer _tokenizer;
    private readonly bool _skipSpecialTokens;
    private readonly Decoder? _utf8; // byte-level: characters are final with their last byte
    private readonly TokenDecoder? _wholeText; // a decoder that has to see everything from the beginning
    private readonly List<int> _ids = [];
    private readonly List<string> _pieces = [];
    private string _given = "";
    private int _stable;

    internal TokenStream(Tokenizer tokenizer, TokenDecoder? decoder, bool skipSpecialTokens)
    {
        _tokenizer = tokenizer;
        _skipSpecialTokens = skipSpecialTokens;
        _utf8 = decoder is ByteLevelDecoder ? Encoding.UTF8.GetDecoder() : null;
        _wholeText = decoder is { LooksFarBack: true } ? decoder : null;
    }

    /// <summary>Takes one id and returns the text that it settled, which may be empty.</summary>
    public string Push(int id)
    {
        if (_utf8 is not null)
        {
            if (_tokenizer.Piece(id, _skipSpecialTokens) is not { } token)
                return "";
            var bytes = new List<byte>();
            ByteAlphabet.AppendBytes(token, bytes);
            return Convert([.. bytes], flush: false);
        }

        if (_wholeText is not null)
        {
            if (_tokenizer.Piece(id, _skipSpecialTokens) is { } piece)
                _pieces.Add(piece);
            return Rest(_pieces[.._wholeText.Settled(_pieces)]);
        }

        _ids.Add(id);
        string text = _tokenizer.Decode(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_ids), _skipSpecialTokens);
        if (text.Length <= _given.Length || text.EndsWith('\uFFFD') || !text.StartsWith(_given, StringComparison.Ordinal))
            return "";
        string settled = text[_given.Length..];
        // The window keeps the ids since the last settled place but one: decoders look at neighbours and at the very beginning.
        _ids.RemoveRange(0, _stable);
        _stable = _ids.Count;
        _given = _tokenizer.Decode(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_ids), _skipSpecialTokens);
        return settled;
    }

    /// <summary>Returns what was held back; an unfinished character becomes U+FFFD. The stream then begins anew.</summary>
    public string Flush()
    {
        if (_utf8 is not null)
            return Convert([], flush: true);
        if (_wholeText is not null)
        {
            string last = Rest(_pieces);
            _pieces.Clear();
            _given = "";
            return last;
        }

        string text = _tokenizer.Decode(System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_ids), _skipSpecialTokens);
        string rest = text.StartsWith(_given, StringComparison.Ordinal) ? text[_given.Length..] : "";
        _ids.Clear();
        (_given, _stable) = ("", 0);
        return rest;
    }

    // What the text of these pieces has beyond what was given out.
    private string Rest(List<string> pieces)
    {
        string text = pieces.Count == 0 ? "" : string.Concat(_wholeText!.Apply(pieces));
        string rest = text[_given.Length..];
        _given = text;
        return rest;
    }

    private string Convert(byte[] bytes, bool flush)
    {
        char[] chars = new char[_utf8!.GetCharCount(bytes, 0, bytes.Length, flush)];
        _utf8.GetChars(bytes, 0, bytes.Length, chars, 0, flush);
        return new string(chars);
    }
}
