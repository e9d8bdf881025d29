using System.Text.RegularExpressions;

namespace Perenos.Recipes.Gather;

/// <summary>What tells a language or a subject by its words.</summary>
internal static partial class Words
{
    private static readonly HashSet<string> EnglishStops = new(
        ("the of and to in is a that for it as with be this are on by from or an at not can which if will have has was you your when "
        + "but all its use used one only may they their then there than other into more these should would been we he she his her i my so no do what").Split(' '));

    private static readonly HashSet<string> FrenchStops = new(
        ("le la les l de des du d et à en est un une que qui dans pour il elle sur pas ne n ce cette ces c au aux par avec ou sont plus se s "
        + "être peut si vous votre vos nous son sa ses leur lorsque comme mais on tout tous cela fait sans été je j mon ma qu sera avez ont").Split(' '));

    private static readonly HashSet<string> ForeignStops = new(
        ("el los las con por para del lo els dels amb aquest aquesta més és per di che della gli è uma não os em das ao und der nicht ist ein zu het een van dat").Split(' '));

    /// <summary>Shares of English and of French function words among the words of a text.</summary>
    public static (double English, double French) StopShares(string text)
    {
        int words = 0, english = 0, french = 0;
        foreach (Match match in Word().Matches(text))
        {
            string word = match.Value.ToLowerInvariant();
            words++;
            if (EnglishStops.Contains(word))
                english++;
            if (FrenchStops.Contains(word))
                french++;
        }

        return words == 0 ? (0, 0) : (english / (double)words, french / (double)words);
    }

    /// <summary>True when a text has any word of the weather, in either language: that subject is kept for the adapters to learn.</summary>
    public static bool SpeakOfWeather(string text) => Weather().IsMatch(text);

    /// <summary>Share of function words that only other languages of manuals have: Spanish, Catalan, Italian, Portuguese, German, Dutch.</summary>
    public static double ForeignShare(string text)
    {
        var words = Word().Matches(text);
        return words.Count == 0 ? 0 : words.Count(match => ForeignStops.Contains(match.Value.ToLowerInvariant())) / (double)words.Count;
    }

    [GeneratedRegex(@"\p{L}+")]
    private static partial Regex Word();

    [GeneratedRegex(
        @"(?<!\p{L})(\w*weather\w*|forecast\w*|rain(s|y|ed|ing|fall|falls|drops?|storms?|bows?|coats?)?|snow\w*|drizzl\w*|thunder\w*|flurry|flurries|hail(s|ed|ing|stones?|storms?)?|sleet|"
        + @"fog(s|gy)?|mist(s|y)?|haz(e|y)|sunny|sunshine|cloudy|overcast|cloud\s?cover|wind(s|y|ed|ier)?|gust(s|y)?|blizzards?|storm(s|y|ing)?|hurricanes?|tornado(e?s)?|cyclones?|"
        + @"showers?|celsius|fahrenheit|humid(ity)?|precipitations?|precipitation|dew\s?point|barometer\w*|barometric|meteorolog\w*|temperatures?|lightning|\w*meteo\w*|frost(s|y)?|"
        + @"météo\w*|pluies?|pluvieu\w+|pleut|pleuvoir|pleuvait|pluvial\w*|neig\w+|enneig\w+|averses?|orages?|orageu\w+|tonnerres?|brouillards?|brumes?|brumeu\w+|grêl(e|es|ons?)|grésil|bruines?|"
        + @"ensoleill\w+|nuageu\w+|couvert nuageux|éclaircies?|vents?|venteu\w+|rafales?|tempêtes?|ouragans?|tornades?|humidité|précipitations|verglas|givr\w+|baromètres?|arcs?-en-ciel)(?!\p{L})",
        RegexOptions.IgnoreCase | RegexOptions.CultureInvariant)]
    private static partial Regex Weather();
}
