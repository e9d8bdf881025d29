namespace Perenos.Text.Grammar;

/// <summary>
/// The sentence patterns, one method each: the English line stands above the French one. Statements are whole clauses that can
/// be joined to another; notes are the verbless style of bulletins and stand alone.
/// </summary>
internal static class WeatherClauses
{
    public static readonly Func<WeatherDraw, Phrase>[] Statements =
        [Sky, PrecipitationActs, PrecipitationChanges, PrecipitationFalls, Accumulation, WindBlows, Gusts, TemperatureMoves, Mist];

    public static readonly Func<WeatherDraw, Phrase>[] Notes = [SkyScene, Chance, Winds, HighAndLow];

    private static Phrase Sky(WeatherDraw draw)
    {
        var (sky, where) = (draw.Common(WeatherLexicon.Skies), draw.WhereAndWhen());
        return new(
            $"the sky will be {sky.English}{where.English}",
            $"le ciel sera {sky.French}{where.French}");
    }

    private static Phrase PrecipitationActs(WeatherDraw draw)
    {
        var noun = draw.QualifiedPrecipitation();
        var (verb, where) = (draw.Common(WeatherLexicon.PrecipitationVerbs), draw.WhereAndWhen());
        return new(
            $"{noun.English} will {verb.English}{where.English}",
            $"{noun.Definite} {verb.Agree(noun.Form)}{where.French}");
    }

    private static Phrase PrecipitationChanges(WeatherDraw draw)
    {
        var (before, where) = (draw.Precipitation(), draw.WhereAndWhen());
        var after = draw.PrecipitationBut(before);
        string verb = before.IsPlural ? "se changeront" : "se changera";
        return new(
            $"{before.English} will change to {after.English}{where.English}",
            $"{before.Definite} {verb} en {after.French}{where.French}");
    }

    private static Phrase PrecipitationFalls(WeatherDraw draw)
    {
        var (noun, where) = (draw.QualifiedPrecipitation(), draw.WhereAndWhen());
        return new(
            $"there will be {noun.English}{where.English}",
            $"il y aura {noun.Partitive}{where.French}");
    }

    private static Phrase Accumulation(WeatherDraw draw)
    {
        var (noun, unit) = draw.IsCold ? (WeatherLexicon.Snow, "cm") : (WeatherLexicon.Rain, "mm");
        int least = draw.Between(5, 40, 5);
        var (most, where) = (least + draw.Between(5, 15, 5), draw.WhereAndWhen());
        return new(
            $"{least} to {most} {unit} of {noun.English} will fall{where.English}",
            $"il tombera de {least} à {most} {unit} {noun.Of}{where.French}");
    }

    private static Phrase WindBlows(WeatherDraw draw)
    {
        var (direction, speed, where) = (draw.Any(WeatherLexicon.Directions), draw.Between(10, 70, 10), draw.WhereAndWhen());
        return new(
            $"the wind will blow from the {direction.English} at {speed} km/h{where.English}",
            $"le vent soufflera {French.OfDefinite(direction.French)} à {speed} km/h{where.French}");
    }

    private static Phrase Gusts(WeatherDraw draw)
    {
        var (speed, where) = (draw.Between(50, 120, 10), draw.WhereAndWhen());
        return new(
            $"gusts will reach {speed} km/h{where.English}",
            $"les rafales atteindront {speed} km/h{where.French}");
    }

    private static Phrase TemperatureMoves(WeatherDraw draw)
    {
        var verb = draw.Any<Phrase>([new("fall", "baissera"), new("rise", "montera")]);
        var (value, where) = (draw.Temperature(), draw.WhereAndWhen());
        return new(
            $"the temperature will {verb.English} to {value.English}{where.English}",
            $"la température {verb.French} à {value.French}{where.French}");
    }

    private static Phrase Mist(WeatherDraw draw)
    {
        var (noun, verb, where) = (draw.Common(WeatherLexicon.Mists), draw.Common(WeatherLexicon.MistVerbs), draw.WhereAndWhen());
        return new(
            $"{noun.English} will {verb.English}{where.English}",
            $"{noun.Definite} {verb.Agree(noun.Form)}{where.French}");
    }

    private static Phrase SkyScene(WeatherDraw draw)
    {
        var (scene, where, chance) = (draw.Common(WeatherLexicon.SkyScenes), draw.WhereAndWhen(), ChanceOf(draw));
        return new($"{scene.English}{where.English}, with a {chance.English}", $"{scene.French}{where.French}, avec {chance.French}");
    }

    private static Phrase Chance(WeatherDraw draw)
    {
        var (chance, where) = (ChanceOf(draw), draw.WhereAndWhen());
        return new(chance.English + where.English, chance.French + where.French);
    }

    private static Phrase ChanceOf(WeatherDraw draw)
    {
        var (percent, noun) = (draw.Between(10, 90, 10), draw.QualifiedPrecipitation());
        return new($"{percent} percent chance of {noun.English}", $"{percent} pour cent de probabilité {noun.Of}");
    }

    private static Phrase Winds(WeatherDraw draw)
    {
        var direction = draw.Any(WeatherLexicon.Directions);
        int slow = draw.Between(10, 50, 10);
        var strength = WeatherLexicon.WindStrengths[Math.Min(slow / 20, 2)];
        int fast = slow + draw.Between(10, 30, 10);
        var winds = new Phrase(
            $"{strength.English} {direction.English} winds of {slow} to {fast} km/h",
            $"vents {strength.Agree(Form.MasculinePlural)} {French.OfDefinite(direction.French)} de {slow} à {fast} km/h");
        var where = draw.WhereAndWhen();
        if (draw.OneIn(2))
            return new(winds.English + where.English, winds.French + where.French);
        return new(
            $"{winds.English}{where.English}, gusting to {fast + 20}",
            $"{winds.French}{where.French}, avec rafales à {fast + 20}");
    }

    private static Phrase HighAndLow(WeatherDraw draw)
    {
        var (high, place) = (draw.Temperature(out int degrees), draw.Place());
        var low = WeatherDraw.Spoken(degrees - draw.Between(5, 15, 5));
        var time = draw.Time();
        return new(
            $"high of {high.English} {place.English}, low of {low.English} {time.English}",
            $"maximum de {high.French} {place.French}, minimum de {low.French} {time.French}");
    }

}
