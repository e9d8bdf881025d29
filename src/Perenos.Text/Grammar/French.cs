namespace Perenos.Text.Grammar;

/// <summary>Gender and number of a French noun: what articles, adjectives and verbs agree with.</summary>
internal enum Form
{
    Masculine,
    Feminine,
    MasculinePlural,
    FemininePlural,
}

/// <summary>Articles, elision and contraction: the rules by which French words change at their borders.</summary>
internal static class French
{
    public static bool IsPlural(this Form form) => form is Form.MasculinePlural or Form.FemininePlural;

    /// <summary>de pluie, d'averses.</summary>
    public static string Of(string word) => StartsWithVowel(word) ? "d'" + word : "de " + word;

    /// <summary>le grésil, la pluie, l'averse, les averses.</summary>
    public static string Definite(string noun, Form form) => form switch
    {
        _ when form.IsPlural() => "les " + noun,
        _ when StartsWithVowel(noun) => "l'" + noun,
        Form.Masculine => "le " + noun,
        _ => "la " + noun,
    };

    /// <summary>du grésil, de la pluie, de l'eau, des averses: the article "some", and also "of the".</summary>
    public static string Partitive(string noun, Form form) => OfDefinite(Definite(noun, form));

    /// <summary>de + le → du, de + les → des; la and l' stay. A name without article follows <see cref="Of"/>.</summary>
    public static string OfDefinite(string phrase) =>
        phrase.StartsWith("le ", StringComparison.OrdinalIgnoreCase) ? "du " + phrase[3..]
        : phrase.StartsWith("les ", StringComparison.Ordinal) ? "des " + phrase[4..]
        : Of(phrase);

    /// <summary>à + le → au, à + les → aux; la and l' stay.</summary>
    public static string ToDefinite(string phrase) =>
        phrase.StartsWith("le ", StringComparison.OrdinalIgnoreCase) ? "au " + phrase[3..]
        : phrase.StartsWith("les ", StringComparison.Ordinal) ? "aux " + phrase[4..]
        : "à " + phrase;

    /// <summary>tandis que le vent, tandis qu'il fera.</summary>
    public static string That(string clause) => StartsWithVowel(clause) ? "qu'" + clause : "que " + clause;

    // No word of the lexicon begins with a mute h; Halifax and Humidex keep their article and "de" whole.
    private static bool StartsWithVowel(string word) => "aeiouâàéèêîôûAEIOÎÉ".Contains(word[0], StringComparison.Ordinal);
}
