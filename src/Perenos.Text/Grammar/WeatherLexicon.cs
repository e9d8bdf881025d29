namespace Perenos.Text.Grammar;

/// <summary>A phrase in both languages that never changes.</summary>
internal readonly record struct Phrase(string English, string French);

/// <summary>A noun with what its French side makes other words agree with.</summary>
internal sealed record Noun(string English, string French, Form Form)
{
    public bool IsPlural => Form.IsPlural();

    /// <summary>de pluie, d'orages.</summary>
    public string Of => Grammar.French.Of(French);

    /// <summary>la pluie, les orages.</summary>
    public string Definite => Grammar.French.Definite(French, Form);

    /// <summary>de la pluie, des orages.</summary>
    public string Partitive => Grammar.French.Partitive(French, Form);

    /// <summary>The noun with an adjective: before it in English, after it and in agreement in French.</summary>
    public Noun With(Adjective adjective) => new(adjective.English + " " + English, French + " " + adjective.Agree(Form), Form);
}

/// <summary>An adjective; the two plurals add an s unless the masculine ends in s or x already.</summary>
internal sealed record Adjective(string English, string Masculine, string Feminine)
{
    public string Agree(Form form) => form switch
    {
        Form.Masculine => Masculine,
        Form.Feminine => Feminine,
        Form.FemininePlural => Feminine + "s",
        _ => Masculine[^1] is 's' or 'x' ? Masculine : Masculine + "s",
    };
}

/// <summary>A verb as it stands after "will", and its French future in the third person.</summary>
internal sealed record Verb(string English, string Singular, string Plural)
{
    public string Agree(Form form) => form.IsPlural() ? Plural : Singular;
}

/// <summary>
/// The words of the weather grammar, each list from common to rare. A word has one translation in each list; where two lists
/// translate one English word differently (heavy rain, a strong wind), the noun decides.
/// </summary>
internal static class WeatherLexicon
{
    public static readonly Noun[] WarmPrecipitation =
    [
        new("showers", "averses", Form.FemininePlural), new("rain", "pluie", Form.Feminine), new("thunderstorms", "orages", Form.MasculinePlural),
        new("drizzle", "bruine", Form.Feminine),
    ];

    public static readonly Noun[] ColdPrecipitation =
    [
        new("snow", "neige", Form.Feminine), new("flurries", "averses de neige", Form.FemininePlural), new("freezing rain", "pluie verglaçante", Form.Feminine),
        new("ice pellets", "grésil", Form.Masculine),
    ];

    public static readonly Adjective[] Strengths =
        [new("light", "faible", "faible"), new("heavy", "abondant", "abondante")];

    public static readonly Adjective[] Spreads =
        [new("scattered", "épars", "éparse"), new("isolated", "isolé", "isolée")];

    public static readonly Verb[] PrecipitationVerbs =
        [new("begin", "débutera", "débuteront"), new("end", "cessera", "cesseront"), new("continue", "se poursuivra", "se poursuivront")];

    public static readonly Phrase[] Skies =
    [
        new("cloudy", "nuageux"), new("clear", "dégagé"), new("overcast", "couvert"), new("sunny", "ensoleillé"),
        new("partly cloudy", "partiellement nuageux"),
    ];

    // French with the article: du nord, de l'est, au nord, à l'est.
    public static readonly Phrase[] Directions =
        [new("north", "le nord"), new("west", "l'ouest"), new("south", "le sud"), new("east", "l'est")];

    public static readonly Phrase[] Days =
    [
        new("Monday", "lundi"), new("Tuesday", "mardi"), new("Wednesday", "mercredi"), new("Thursday", "jeudi"),
        new("Friday", "vendredi"), new("Saturday", "samedi"), new("Sunday", "dimanche"),
    ];

    public static readonly Phrase[] DayParts = [new("morning", "matin"), new("afternoon", "après-midi"), new("evening", "soir")];

    public static readonly Phrase[] Times =
    [
        new("this morning", "ce matin"), new("this afternoon", "cet après-midi"), new("this evening", "ce soir"),
        new("tonight", "cette nuit"), new("near noon", "vers midi"), new("tomorrow", "demain"),
    ];

    public static readonly Phrase[] Cities =
    [
        new("Montreal", "Montréal"), new("Ottawa", "Ottawa"), new("Halifax", "Halifax"), new("Paris", "Paris"), new("Le Havre", "Le Havre"),
        new("Toronto", "Toronto"), new("Lyon", "Lyon"), new("Moncton", "Moncton"), new("Winnipeg", "Winnipeg"), new("Geneva", "Genève"),
        new("Calgary", "Calgary"), new("Brussels", "Bruxelles"), new("Vancouver", "Vancouver"), new("Nantes", "Nantes"),
    ];

    // "in Ontario" is en, au, dans or à by the name.
    public static readonly Phrase[] Regions =
        [new("in Ontario", "en Ontario"), new("in Manitoba", "au Manitoba"), new("in the Alps", "dans les Alpes")];

    public static readonly Phrase[] Terrain =
        [new("along the coast", "le long de la côte"), new("inland", "à l'intérieur des terres")];
}
