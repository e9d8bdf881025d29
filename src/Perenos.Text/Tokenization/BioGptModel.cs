namespace Perenos.Text.Tokenization;

/// <summary>
/// Byte-pair encoding whose merges also know symbols that the vocabulary does not: what is left of those is unknown
/// (https://github.com/huggingface/transformers/blob/main/src/transformers/models/biogpt/tokenization_biogpt.py).
/// </summary>
internal sealed class BioGptModel : TokenModel
{
    private readonly BpeModel _symbols;
    private readonly int _unknown;

    /// <param name="vocabulary">Tokens and ids; word ends carry &lt;/w&gt;.</param>
    /// <param name="merges">Pairs of symbols, best first.</param>
    /// <param name="unknown">The token for what is not in the vocabulary.</param>
    public BioGptModel(Vocabulary vocabulary, IReadOnlyList<(string Left, string Right)> merges, string unknown)
        : base(vocabulary)
    {
        UnknownToken = unknown;
        _unknown = vocabulary.IdOf(unknown);
        var symbols = vocabulary.InOrder.ToDictionary(static entry => entry.Key, static entry => entry.Value);
        int next = vocabulary.HighestId + 1;
        int IdOf(string symbol)
        {
            if (!symbols.TryGetValue(symbol, out int id))
                symbols[symbol] = id = next++;
            return id;
        }

        var pairs = merges.Select(merge => (IdOf(merge.Left), IdOf(merge.Right))).ToList();
        var results = merges.Select(merge => IdOf(merge.Left + merge.Right)).ToList();
        _symbols = new BpeModel(new Vocabulary(symbols), pairs, results, new BpeOptions { UnknownToken = unknown, EndOfWordSuffix = MosesDecoder.WordEnd });
    }

    public override string Name => "BPE";

    public override string UnknownToken { get; }

    public override void Tokenize(ReadOnlySpan<char> word, List<WordToken> tokens)
    {
        int first = tokens.Count;
        _symbols.Tokenize(word, tokens);
        for (int index = first; index < tokens.Count; index++)
        {
            if (tokens[index].Id > Vocabulary.HighestId)
                tokens[index] = tokens[index] with { Id = _unknown };
        }
    }
}
