using System.Text;

namespace Perenos.Recipes.Gather;

/// <summary>Everything kept from the packages, and why the rest was not.</summary>
internal sealed class Corpus
{
    /// <summary>One record in a hundred is never trained on.</summary>
    private const int HeldOutOneIn = 100;

    /// <summary>Share of pair documents with exactly one pair, in percent: the model must learn to stop after one translation.</summary>
    private const int SinglePairPercent = 55;

    private const int LongestPairDocument = 900, LongestProseDocument = 1500;

    private readonly Dictionary<string, Dictionary<string, int>> _translations = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> _pairPackage = new(StringComparer.Ordinal);
    private readonly HashSet<string> _seenParagraphs = new(StringComparer.Ordinal);
    private readonly List<Document> _prose = [];

    /// <summary>Records refused, by kind and reason.</summary>
    public SortedDictionary<string, int> Refused { get; } = new(StringComparer.Ordinal);

    /// <summary>Records and bytes kept, by package and kind.</summary>
    public SortedDictionary<(string Package, string Kind), (int Records, long Bytes)> Kept { get; } = [];

    public void Add(Package package)
    {
        foreach (var (original, translation) in package.Messages())
            AddPair(package.Name, original, translation);
        foreach (var page in package.Pages())
            AddPage(package.Name, page);
    }

    /// <summary>All documents in training order, the held-out ones apart.</summary>
    public (List<Document> Train, List<Document> HeldOut) Split()
    {
        var train = new List<Document>();
        var heldOut = new List<Document>();
        foreach (var document in _prose)
            (Draw.Below(HeldOutOneIn, "split", PlainText.Key(document.Text)) == 0 ? heldOut : train).Add(document);

        var pairs = ChosenPairs();
        var apart = pairs.ToLookup(pair => Draw.Below(HeldOutOneIn, "split", PlainText.Key(pair.English)) == 0);
        train.AddRange(PairDocuments(apart[false]));
        heldOut.AddRange(PairDocuments(apart[true]));
        return (Draw.Shuffle(train, "order", d => d.Text), Draw.Shuffle(heldOut, "order", d => d.Text));
    }

    private void AddPair(string package, string original, string translation)
    {
        var pair = Pair.Clean(original, translation, out string refusal);
        if (pair is null)
        {
            Refuse("pairs", refusal);
            return;
        }

        if (Words.SpeakOfWeather(pair.English) || Words.SpeakOfWeather(pair.French))
        {
            Refuse("pairs", "weather");
            return;
        }

        if (_translations.TryGetValue(pair.English, out var known))
        {
            Refuse("pairs", "duplicate");
            known[pair.French] = known.GetValueOrDefault(pair.French) + 1;
            return;
        }

        _translations[pair.English] = new Dictionary<string, int>(StringComparer.Ordinal) { [pair.French] = 1 };
        _pairPackage[pair.English] = package;
    }

    private void AddPage(string package, IEnumerable<string> page)
    {
        var current = new StringBuilder();
        string language = "";
        int limit = 0;
        foreach (string raw in page)
        {
            if (raw.Length == 0)
                continue;
            var clean = Prose.Clean(raw, out string refusal);
            if (clean is not { } paragraph)
            {
                if (refusal != "too short")
                    Refuse("prose", refusal);
                continue;
            }

            if (Words.SpeakOfWeather(paragraph.Text))
            {
                Refuse("prose", "weather");
                continue;
            }

            if (!_seenParagraphs.Add(PlainText.Key(paragraph.Text)))
            {
                Refuse("prose", "duplicate");
                continue;
            }

            Count(package, paragraph.Language, paragraph.Text);
            if (current.Length > 0 && (language != paragraph.Language || current.Length + paragraph.Text.Length > limit))
                Flush();
            if (current.Length == 0)
            {
                language = paragraph.Language;
                limit = Draw.Below(LongestProseDocument, "length", paragraph.Text);
            }
            else
            {
                current.Append("\n\n");
            }

            current.Append(paragraph.Text);
        }

        Flush();

        void Flush()
        {
            if (current.Length > 0)
                _prose.Add(new Document(language, package, current.ToString()));
            current.Clear();
        }
    }

    /// <summary>Each English text once, with the French most programs chose.</summary>
    private List<Pair> ChosenPairs()
    {
        var chosen = new List<Pair>(_translations.Count);
        foreach (var (english, frenches) in _translations)
        {
            string french = frenches.OrderByDescending(f => f.Value).ThenBy(f => f.Key, StringComparer.Ordinal).First().Key;
            var pair = new Pair(english, french);
            chosen.Add(pair);
            Count(_pairPackage[english], "pairs", pair.Text(fromEnglish: true));
        }

        return chosen;
    }

    private static IEnumerable<Document> PairDocuments(IEnumerable<Pair> pairs)
    {
        // Each pair in both directions, one direction within a document.
        foreach (bool fromEnglish in new[] { true, false })
        {
            var text = new StringBuilder();
            int limit = 0;
            foreach (var pair in Draw.Shuffle(pairs, fromEnglish ? "pairs from English" : "pairs from French", p => p.English))
            {
                string next = pair.Text(fromEnglish);
                if (text.Length > 0 && text.Length + next.Length > limit)
                {
                    yield return new Document("pairs", null, text.ToString());
                    text.Clear();
                }

                if (text.Length > 0)
                    text.Append("\n\n");
                else
                    limit = Draw.Below(100, fromEnglish ? "single from English" : "single from French", pair.English) < SinglePairPercent ? 0 : LongestPairDocument;
                text.Append(next);
            }

            if (text.Length > 0)
                yield return new Document("pairs", null, text.ToString());
        }
    }

    private void Count(string package, string kind, string text)
    {
        var (records, bytes) = Kept.GetValueOrDefault((package, kind));
        Kept[(package, kind)] = (records + 1, bytes + Encoding.UTF8.GetByteCount(text));
    }

    private void Refuse(string kind, string reason) => Refused[$"{kind}: {reason}"] = Refused.GetValueOrDefault($"{kind}: {reason}") + 1;
}
