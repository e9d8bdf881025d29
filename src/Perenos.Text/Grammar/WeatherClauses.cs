namespace Perenos.Text.Grammar;

/// <summary>The sentence patterns, one method each: the English line stands above the French one.</summary>
internal static class WeatherClauses
{
    public static readonly Func<WeatherDraw, Phrase>[] All =
        [Sky, PrecipitationActs, PrecipitationFalls, WindBlows, Gusts, TemperatureMoves, Chance];

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

    private static Phrase PrecipitationFalls(WeatherDraw draw)
    {
        var (noun, where) = (draw.QualifiedPrecipitation(), draw.WhereAndWhen());
        return new(
            $"there will be {noun.English}{where.English}",
            $"il y aura {noun.Partitive}{where.French}");
    }

    private static Phrase WindBlows(WeatherDraw draw)
    {
        var (direction, speed, where) = (draw.Any(WeatherLexicon.Directions), draw.Between(10, 75, 5), draw.WhereAndWhen());
        return new(
            $"the wind will blow from the {direction.English} at {speed} km/h{where.English}",
            $"le vent soufflera {French.OfDefinite(direction.French)} à {speed} km/h{where.French}");
    }

    private static Phrase Gusts(WeatherDraw draw)
    {
        var (speed, where) = (draw.Between(50, 125, 5), draw.WhereAndWhen());
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

    private static Phrase Chance(WeatherDraw draw)
    {
        var (percent, noun, where) = (draw.Between(10, 90, 10), draw.QualifiedPrecipitation(), draw.WhereAndWhen());
        return new(
            $"{percent} percent chance of {noun.English}{where.English}",
            $"{percent} pour cent de probabilité {noun.Of}{where.French}");
    }
}
