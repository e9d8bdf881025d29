using System.Text;

namespace Perenos.Text.Tokenization;

/// <summary>Every word is a token or unknown.</summary>
internal sealed class WordLevelModel(Vocabulary vocabulary, int unknown) : TokenModel(vocabulary)
{
    public override string Name => "WordLevel";

    public override string? UnknownToken => Vocabulary.TokenOf(unknown);

    public override void Tokenize(ReadOnlySpan<char> word, List<WordToken> tokens)
    {
        int id = Vocabulary.IdOf(word);
        tokens.Add(new WordToken(id >= 0 ? id : unknown, 0, Encoding.UTF8.GetByteCount(word)));
    }
}

/// <summary>
/// The longest token first, again and again (Wu et al. 2016, https://arxiv.org/abs/1609.08144); a word that cannot be covered is
/// unknown as a whole.
/// </summary>
internal sealed class WordPieceModel(Vocabulary vocabulary, int unknown, string prefix, int mostCharacters) : TokenModel(vocabulary)
{
    private readonly int _longest = vocabulary.InOrder.Select(static entry => entry.Key.Length).DefaultIfEmpty().Max();

    public override string Name => "WordPiece";

    public override string? UnknownToken => Vocabulary.TokenOf(unknown);

    public override void Tokenize(ReadOnlySpan<char> word, List<WordToken> tokens)
    {
        int first = tokens.Count, characters = 0;
        foreach (var _ in word.EnumerateRunes())
            characters++;
        if (characters <= mostCharacters && Cover(word, tokens))
            return;
        tokens.RemoveRange(first, tokens.Count - first);
        tokens.Add(new WordToken(unknown, 0, Encoding.UTF8.GetByteCount(word)));
    }

    private bool Cover(ReadOnlySpan<char> word, List<WordToken> tokens)
    {
        char[] candidate = new char[_longest + prefix.Length + 1];
        int startByte = 0;
        for (int start = 0; start < word.Length;)
        {
            int before = start == 0 ? 0 : prefix.Length;
            prefix.CopyTo(candidate);
            int length = Math.Min(word.Length - start, _longest);
            word.Slice(start, length).CopyTo(candidate.AsSpan(before));
            int id = -1;
            while (length > 0 && (id = Vocabulary.IdOf(candidate.AsSpan(0, before + length))) < 0)
                length--;
            if (id < 0)
                return false;
            int endByte = startByte + Encoding.UTF8.GetByteCount(word.Slice(start, length));
            tokens.Add(new WordToken(id, startByte, endByte));
            (start, startByte) = (start + length, endByte);
        }

        return true;
    }
}
