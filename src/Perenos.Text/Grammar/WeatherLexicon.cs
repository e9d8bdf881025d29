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

/// <summary>A region: "in Ontario" is en, au, dans or à by the name; <paramref name="French"/> carries its article.</summary>
internal sealed record Region(string English, string French, string FrenchIn);

/// <summary>
/// The words of the weather grammar, each list from common to rare. A word has one translation in each list; where two lists
/// translate one English word differently (heavy rain, a strong wind), the noun decides.
/// </summary>
internal static class WeatherLexicon
{
    public static readonly Noun Rain = new("rain", "pluie", Form.Feminine);
    public static readonly Noun Snow = new("snow", "neige", Form.Feminine);
    public static readonly Noun Hail = new("hail", "grêle", Form.Feminine);
    public static readonly Noun WetSnow = new("wet snow", "neige mouillée", Form.Feminine);
    public static readonly Noun IcePellets = new("ice pellets", "grésil", Form.Masculine);

    public static readonly Noun[] WarmPrecipitation =
    [
        new("showers", "averses", Form.FemininePlural), Rain, new("thunderstorms", "orages", Form.MasculinePlural),
        new("drizzle", "bruine", Form.Feminine), Hail, new("thundershowers", "averses orageuses", Form.FemininePlural),
    ];

    public static readonly Noun[] ColdPrecipitation =
    [
        Snow, new("flurries", "averses de neige", Form.FemininePlural), new("freezing rain", "pluie verglaçante", Form.Feminine), Rain,
        new("freezing drizzle", "bruine verglaçante", Form.Feminine), IcePellets, WetSnow,
        new("squalls", "bourrasques", Form.FemininePlural),
    ];

    public static readonly Adjective[] Strengths =
    [
        new("light", "faible", "faible"), new("heavy", "abondant", "abondante"), new("intermittent", "intermittent", "intermittente"),
        new("persistent", "persistant", "persistante"), new("sudden", "soudain", "soudaine"),
    ];

    public static readonly Adjective[] Spreads =
    [
        new("scattered", "épars", "éparse"), new("isolated", "isolé", "isolée"), new("frequent", "fréquent", "fréquente"),
    ];

    public static readonly Verb[] PrecipitationVerbs =
    [
        new("begin", "débutera", "débuteront"), new("end", "cessera", "cesseront"), new("continue", "se poursuivra", "se poursuivront"),
        new("ease", "diminuera", "diminueront"), new("return", "reviendra", "reviendront"),
        new("intensify", "s'intensifiera", "s'intensifieront"),
    ];

    public static readonly Phrase[] Adverbs =
    [
        new("gradually", "graduellement"), new("quickly", "rapidement"), new("slowly", "lentement"), new("briefly", "brièvement"),
        new("probably", "probablement"), new("suddenly", "soudainement"),
    ];

    public static readonly Phrase[] Skies =
    [
        new("cloudy", "nuageux"), new("mainly sunny", "généralement ensoleillé"), new("clear", "dégagé"), new("overcast", "couvert"),
        new("partly cloudy", "partiellement nuageux"), new("sunny", "ensoleillé"), new("mainly cloudy", "généralement nuageux"),
        new("hazy", "voilé"), new("grey", "gris"),
    ];

    public static readonly Phrase[] SkyScenes =
    [
        new("a mix of sun and cloud", "alternance de soleil et de nuages"), new("cloudy periods", "périodes nuageuses"),
        new("a few clouds", "quelques nuages"), new("gradual clearing", "dégagement graduel"),
        new("sunny intervals", "intervalles ensoleillés"), new("increasing cloud", "nuages croissants"),
        new("low cloud", "nuages bas"), new("bright sunshine", "soleil éclatant"),
    ];

    public static readonly Noun[] Mists =
    [
        new("fog", "brouillard", Form.Masculine), new("fog patches", "bancs de brouillard", Form.MasculinePlural),
        new("dense fog", "brouillard dense", Form.Masculine), new("mist", "brume", Form.Feminine),
        new("smoke", "fumée", Form.Feminine),
    ];

    public static readonly Noun BlowingSnow = new("blowing snow", "poudrerie", Form.Feminine);

    public static readonly Verb[] MistVerbs =
    [
        new("appear", "apparaîtra", "apparaîtront"), new("lift", "se dissipera", "se dissiperont"),
        new("linger", "persistera", "persisteront"), new("thicken", "s'épaissira", "s'épaissiront"),
    ];

    public static readonly Noun[] Grounds =
    [
        new("roads", "routes", Form.FemininePlural), new("sidewalks", "trottoirs", Form.MasculinePlural),
        new("streets", "rues", Form.FemininePlural), new("bridges", "ponts", Form.MasculinePlural),
    ];

    public static readonly Adjective[] WarmGround =
        [new("wet", "mouillé", "mouillée"), new("slippery", "glissant", "glissante"), new("flooded", "inondé", "inondée")];

    public static readonly Adjective[] ColdGround =
        [new("icy", "verglacé", "verglacée"), new("slippery", "glissant", "glissante"), new("snow-covered", "enneigé", "enneigée")];

    public static readonly Phrase[] Systems =
    [
        new("a cold front", "un front froid"), new("a warm front", "un front chaud"), new("a storm", "une tempête"),
        new("a low-pressure area", "une dépression"),
    ];

    public static readonly Phrase[] SystemVerbs =
        [new("cross", "traversera"), new("reach", "atteindra"), new("leave", "quittera")];

    public static readonly Phrase[] Comparisons =
    [
        new("colder", "plus froid"), new("milder", "plus doux"), new("warmer", "plus chaud"), new("cooler", "plus frais"),
        new("much colder", "beaucoup plus froid"), new("slightly warmer", "un peu plus chaud"),
    ];

    public static readonly Phrase[] Advice =
    [
        new("slow down", "ralentir"), new("watch for black ice", "surveiller le verglas"),
        new("allow extra time", "prévoir plus de temps"), new("avoid travel", "éviter les déplacements"),
    ];

    public static readonly Adjective[] Chances =
        [new("possible", "possible", "possible"), new("likely", "probable", "probable"), new("unlikely", "improbable", "improbable")];

    // By speed, except the last.
    public static readonly Adjective[] WindStrengths =
        [new("light", "léger", "légère"), new("moderate", "modéré", "modérée"), new("strong", "fort", "forte"), new("gusty", "turbulent", "turbulente")];

    // French with the article: du nord, de l'est, au nord, à l'est.
    public static readonly Phrase[] Directions =
    [
        new("north", "le nord"), new("northwest", "le nord-ouest"), new("west", "l'ouest"), new("southwest", "le sud-ouest"),
        new("south", "le sud"), new("east", "l'est"), new("northeast", "le nord-est"), new("southeast", "le sud-est"),
    ];

    public static readonly Phrase[] Sides =
        [new("northern", "le nord"), new("southern", "le sud"), new("eastern", "l'est"), new("western", "l'ouest")];

    public static readonly Phrase[] Days =
    [
        new("Monday", "lundi"), new("Tuesday", "mardi"), new("Wednesday", "mercredi"), new("Thursday", "jeudi"),
        new("Friday", "vendredi"), new("Saturday", "samedi"), new("Sunday", "dimanche"),
    ];

    public static readonly Phrase[] DayParts = [new("morning", "matin"), new("afternoon", "après-midi"), new("evening", "soir")];

    public static readonly Phrase[] Times =
    [
        new("this morning", "ce matin"), new("this afternoon", "cet après-midi"), new("this evening", "ce soir"),
        new("tonight", "cette nuit"), new("near noon", "vers midi"), new("overnight", "pendant la nuit"),
        new("near midnight", "vers minuit"), new("in the afternoon", "dans l'après-midi"), new("tomorrow", "demain"),
        new("before dawn", "avant l'aube"), new("early in the evening", "en début de soirée"),
        new("late in the day", "en fin de journée"), new("after sunset", "après le coucher du soleil"),
    ];

    public static readonly Phrase[] Cities =
    [
        new("Montreal", "Montréal"), new("Ottawa", "Ottawa"), new("Halifax", "Halifax"), new("Lyon", "Lyon"),
        new("Quebec City", "Québec"), new("Edmonton", "Edmonton"), new("Paris", "Paris"), new("Winnipeg", "Winnipeg"),
        new("Toulouse", "Toulouse"), new("Le Havre", "Le Havre"), new("Moncton", "Moncton"), new("Rimouski", "Rimouski"),
        new("Strasbourg", "Strasbourg"), new("Vancouver", "Vancouver"), new("Orleans", "Orléans"), new("La Rochelle", "La Rochelle"),
        new("Iqaluit", "Iqaluit"), new("Marseille", "Marseille"), new("Gander", "Gander"), new("Le Mans", "Le Mans"),
        new("Angers", "Angers"), new("Whitehorse", "Whitehorse"), new("Dunkirk", "Dunkerque"),
    ];

    public static readonly Region[] Regions =
    [
        new("Ontario", "l'Ontario", "en Ontario"), new("Manitoba", "le Manitoba", "au Manitoba"),
        new("Brittany", "la Bretagne", "en Bretagne"), new("Nova Scotia", "la Nouvelle-Écosse", "en Nouvelle-Écosse"),
        new("the Alps", "les Alpes", "dans les Alpes"), new("Alberta", "l'Alberta", "en Alberta"),
        new("New Brunswick", "le Nouveau-Brunswick", "au Nouveau-Brunswick"), new("Normandy", "la Normandie", "en Normandie"),
        new("the Yukon", "le Yukon", "au Yukon"), new("Labrador", "le Labrador", "au Labrador"),
        new("the Rockies", "les Rocheuses", "dans les Rocheuses"), new("Corsica", "la Corse", "en Corse"),
        new("Newfoundland", "Terre-Neuve", "à Terre-Neuve"), new("the Pyrenees", "les Pyrénées", "dans les Pyrénées"),
        new("British Columbia", "la Colombie-Britannique", "en Colombie-Britannique"),
    ];

    public static readonly Phrase[] Terrain =
    [
        new("along the coast", "le long de la côte"), new("in the valleys", "dans les vallées"), new("inland", "à l'intérieur des terres"),
        new("on the hills", "sur les collines"), new("in the mountains", "en montagne"), new("near the lakes", "près des lacs"),
        new("over high ground", "sur les hauteurs"), new("everywhere", "partout"),
    ];
}
