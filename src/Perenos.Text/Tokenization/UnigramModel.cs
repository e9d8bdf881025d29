using System.Text;
using Perenos.Runs;

namespace Perenos.Text.Tokenization;

/// <summary>
/// The most probable segmentation under a unigram language model (Kudo 2018, https://arxiv.org/abs/1804.10959), by the forward
/// search of https://github.com/huggingface/tokenizers/blob/main/tokenizers/src/models/unigram/model.rs. Neighbouring unknown characters
/// are one token.
/// </summary>
internal sealed class UnigramModel : TokenModel
{
    private const double UnknownPenalty = 10;
    private const double UserDefinedMargin = 0.1;

    private readonly StringTrie<(int Id, double Score)> _pieces = new();
    private readonly double _unknownScore;
    private readonly int _unknown;
    private readonly bool _byteFallback;

    /// <param name="pieces">Tokens and log probabilities; the place is the id.</param>
    /// <param name="unknown">The id of the unknown token, or -1.</param>
    /// <param name="byteFallback">Whether unknown characters become tokens such as &lt;0xE2&gt;.</param>
    /// <param name="kinds">Kinds by id, where control and byte tokens are never found in a text and those of the user always win.</param>
    public UnigramModel(
        IReadOnlyList<(string Token, double Score)> pieces, int unknown, bool byteFallback, IReadOnlyList<PieceKind>? kinds = null)
        : base(new Vocabulary(Ids(pieces)))
    {
        Pieces = pieces;
        _unknown = unknown;
        _byteFallback = byteFallback;
        var scored = pieces.Where((_, id) => kinds is null || kinds[id] == PieceKind.Normal).Select(static piece => piece.Score).DefaultIfEmpty().ToArray();
        _unknownScore = scored.Min() - UnknownPenalty;
        for (int id = 0; id < pieces.Count; id++)
        {
            string token = pieces[id].Token;
            if (kinds is null || kinds[id] == PieceKind.Normal)
                _pieces.Set(token, (id, pieces[id].Score));
            else if (kinds[id] == PieceKind.UserDefined)
                _pieces.Set(token, (id, Encoding.UTF8.GetByteCount(token) * scored.Max() - UserDefinedMargin));
        }
    }

    public IReadOnlyList<(string Token, double Score)> Pieces { get; }

    public override string Name => "Unigram";

    public override string? UnknownToken => _unknown < 0 ? null : Pieces[_unknown].Token;

    public override bool FallsBackToBytes => _byteFallback;

    public override void Tokenize(ReadOnlySpan<char> word, List<WordToken> tokens)
    {
        int start = 0;
        foreach (var (from, to) in Segments(word))
        {
            var piece = word[from..to];
            int end = start + Encoding.UTF8.GetByteCount(piece);
            int id = Vocabulary.IdOf(piece);
            if (id >= 0 || !_byteFallback || !AddBytes(piece, start, end, tokens))
                tokens.Add(new WordToken(id >= 0 ? id : Unknown(), start, end, piece.ToString()));
            start = end;
        }
    }

    private List<(int From, int To)> Segments(ReadOnlySpan<char> word)
    {
        var best = new (double Score, int From, bool IsUnknown)[word.Length + 1];
        for (int index = 0; index <= word.Length; index++)
            best[index].From = -1;
        for (int from = 0; from < word.Length;)
        {
            int width = char.IsHighSurrogate(word[from]) ? 2 : 1;
            bool hasSingle = false;
            for (int to = from, node = StringTrie<int>.Root; to < word.Length && _pieces.Step(ref node, word[to]);)
            {
                to++;
                if (!_pieces.TryGet(node, out var piece))
                    continue;
                Offer(ref best[to], piece.Score + best[from].Score, from, piece.Id == _unknown);
                hasSingle |= to - from == width;
            }

            if (!hasSingle)
            {
                Unknown();
                Offer(ref best[from + width], _unknownScore + best[from].Score, from, isUnknown: true);
            }

            from += width;
        }

        var segments = new List<(int, int)>();
        for (int to = word.Length; to > 0;)
        {
            int from = best[to].From;
            while (best[to].IsUnknown && from > 0 && best[from].IsUnknown)
                from = best[from].From;
            segments.Add((from, to));
            to = from;
        }

        segments.Reverse();
        return segments;

        static void Offer(ref (double Score, int From, bool IsUnknown) place, double score, int from, bool isUnknown)
        {
            if (place.From < 0 || score > place.Score)
                place = (score, from, isUnknown);
        }
    }

    private bool AddBytes(ReadOnlySpan<char> piece, int start, int end, List<WordToken> tokens)
    {
        int first = tokens.Count;
        byte[] bytes = new byte[end - start];
        Encoding.UTF8.GetBytes(piece, bytes);
        foreach (byte value in bytes)
        {
            int id = Vocabulary.IdOf(FallbackToken(value));
            if (id < 0)
            {
                tokens.RemoveRange(first, tokens.Count - first);
                return false;
            }

            tokens.Add(new WordToken(id, start, end));
        }

        return true;
    }

    private int Unknown() => _unknown >= 0 ? _unknown : throw new PerenosException(
        "The text holds a character that the unigram model does not know, and the model has no unknown token.",
        "Set unk_id in the tokenizer.json.");

    private static Dictionary<string, int> Ids(IReadOnlyList<(string Token, double Score)> pieces)
    {
        var ids = new Dictionary<string, int>();
        for (int id = 0; id < pieces.Count; id++)
            ids[pieces[id].Token] = id;
        return ids;
    }
}
