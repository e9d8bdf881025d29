namespace Perenos.Text.Grammar;

/// <summary>
/// The sentence patterns, one method each: the English line stands above the French one. Statements are whole clauses that can
/// be joined to another; notes are the verbless style of bulletins and stand alone.
/// </summary>
internal static class WeatherClauses
{
    public static readonly Func<WeatherDraw, Phrase>[] Statements =
    [
        Sky, SkyClears, PrecipitationActs, PrecipitationChanges, PrecipitationFalls, PrecipitationIsLikely, Risk, Accumulation,
        WindBlows, WindTurns, Gusts, TemperatureMoves, Comparison, Mist, Visibility, Ground, Front, Advice, Index,
    ];

    public static readonly Func<WeatherDraw, Phrase>[] Notes =
        [SkyScene, Chance, Mixture, Winds, HighAndLow, Felt];

    private static Phrase Sky(WeatherDraw draw)
    {
        var (sky, where) = (draw.Common(WeatherLexicon.Skies), draw.WhereAndWhen());
        return new(
            $"the sky will be {sky.English}{where.English}",
            $"le ciel sera {sky.French}{where.French}");
    }

    private static Phrase SkyClears(WeatherDraw draw)
    {
        var (adverb, where) = (draw.Any(WeatherLexicon.Adverbs), draw.WhereAndWhen());
        return draw.OneIn(2)
            ? new($"the sky will {adverb.English} clear{where.English}", $"le ciel se dégagera {adverb.French}{where.French}")
            : new($"the sun will {adverb.English} return{where.English}", $"le soleil reviendra {adverb.French}{where.French}");
    }

    // The adverb stands before the verb in English and after it in French.
    private static Phrase PrecipitationActs(WeatherDraw draw)
    {
        var noun = draw.QualifiedPrecipitation();
        var (verb, where) = (draw.Common(WeatherLexicon.PrecipitationVerbs), draw.WhereAndWhen());
        var adverb = draw.OneIn(3) ? draw.Any(WeatherLexicon.Adverbs) : default;
        return adverb == default
            ? new($"{noun.English} will {verb.English}{where.English}", $"{noun.Definite} {verb.Agree(noun.Form)}{where.French}")
            : new(
                $"{noun.English} will {adverb.English} {verb.English}{where.English}",
                $"{noun.Definite} {verb.Agree(noun.Form)} {adverb.French}{where.French}");
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

    private static Phrase PrecipitationIsLikely(WeatherDraw draw)
    {
        var (noun, chance, where) = (draw.QualifiedPrecipitation(), draw.Common(WeatherLexicon.Chances), draw.WhereAndWhen());
        // "ice pellets are" in English, "le grésil est" in French: each language counts for itself.
        bool isPluralInEnglish = noun.English.EndsWith('s');
        return new(
            $"{noun.English} {(isPluralInEnglish ? "are" : "is")} {chance.English}{where.English}",
            $"{noun.Definite} {(noun.IsPlural ? "sont" : "est")} {chance.Agree(noun.Form)}{where.French}");
    }

    private static Phrase Risk(WeatherDraw draw)
    {
        var (noun, percent, where) = (draw.QualifiedPrecipitation(), draw.Between(10, 90, 10), draw.WhereAndWhen());
        var verb = draw.Any<Phrase>([new("rise", "montera"), new("fall", "baissera")]);
        return new(
            $"the risk of {noun.English} will {verb.English} to {percent} percent{where.English}",
            $"le risque {noun.Of} {verb.French} à {percent} pour cent{where.French}");
    }

    private static Phrase Accumulation(WeatherDraw draw)
    {
        var noun = draw.IsCold
            ? draw.Any([WeatherLexicon.Snow, WeatherLexicon.WetSnow, WeatherLexicon.IcePellets])
            : draw.Any([WeatherLexicon.Rain, WeatherLexicon.Rain, WeatherLexicon.Hail]);
        string unit = noun == WeatherLexicon.Rain ? "mm" : "cm";
        bool isIce = noun == WeatherLexicon.Hail || noun == WeatherLexicon.IcePellets;
        var (least, where) = (draw.Between(2, isIce ? 5 : 40), draw.WhereAndWhen());
        if (draw.OneIn(2))
        {
            return new(
                $"up to {least} {unit} of {noun.English} will fall{where.English}",
                $"il tombera jusqu'à {least} {unit} {noun.Of}{where.French}");
        }

        int most = least + draw.Between(2, isIce ? 4 : 15);
        return new(
            $"{least} to {most} {unit} of {noun.English} will fall{where.English}",
            $"il tombera de {least} à {most} {unit} {noun.Of}{where.French}");
    }

    private static Phrase WindBlows(WeatherDraw draw)
    {
        var (direction, speed, where) = (draw.Any(WeatherLexicon.Directions), draw.Between(10, 70, 5), draw.WhereAndWhen());
        return new(
            $"the wind will blow from the {direction.English} at {speed} km/h{where.English}",
            $"le vent soufflera {French.OfDefinite(direction.French)} à {speed} km/h{where.French}");
    }

    private static Phrase WindTurns(WeatherDraw draw)
    {
        var (direction, speed, where) = (draw.Any(WeatherLexicon.Directions), draw.Between(10, 60, 5), draw.WhereAndWhen());
        var verb = draw.Any<Phrase>([new("ease", "faiblira"), new("increase", "augmentera")]);
        return new(
            $"the wind will turn to the {direction.English} and {verb.English} to {speed} km/h{where.English}",
            $"le vent tournera {French.ToDefinite(direction.French)} et {verb.French} à {speed} km/h{where.French}");
    }

    private static Phrase Gusts(WeatherDraw draw)
    {
        var (speed, where) = (draw.Between(50, 120, 5), draw.WhereAndWhen());
        return new(
            $"gusts will reach {speed} km/h{where.English}",
            $"les rafales atteindront {speed} km/h{where.French}");
    }

    private static Phrase TemperatureMoves(WeatherDraw draw)
    {
        var verb = draw.Any<Phrase>([new("fall", "baissera"), new("rise", "montera"), new("drop sharply", "chutera")]);
        var (value, where) = (draw.Temperature(out int degrees), draw.WhereAndWhen());
        // French counts in the plural from 2 on; English from 2 on too, but says "minus 1 degree".
        bool isPlural = Math.Abs(degrees) >= 2;
        var unit = degrees == 0 || draw.OneIn(2) ? default : isPlural ? new Phrase(" degrees", " degrés") : new Phrase(" degree", " degré");
        return new(
            $"the temperature will {verb.English} to {value.English}{unit.English}{where.English}",
            $"la température {verb.French} à {value.French}{unit.French}{where.French}");
    }

    private static Phrase Comparison(WeatherDraw draw)
    {
        var (comparison, where, value) = (draw.Common(WeatherLexicon.Comparisons), draw.WhereAndWhen(), draw.Temperature());
        var extreme = draw.Any<Phrase>([new("a high", "un maximum"), new("a low", "un minimum")]);
        return new(
            $"it will be {comparison.English}{where.English}, with {extreme.English} of {value.English}",
            $"il fera {comparison.French}{where.French}, avec {extreme.French} de {value.French}");
    }

    private static Phrase Mist(WeatherDraw draw)
    {
        var (noun, verb, where) = (draw.Common(WeatherLexicon.Mists), draw.Common(WeatherLexicon.MistVerbs), draw.WhereAndWhen());
        return new(
            $"{noun.English} will {verb.English}{where.English}",
            $"{noun.Definite} {verb.Agree(noun.Form)}{where.French}");
    }

    private static Phrase Visibility(WeatherDraw draw)
    {
        var noun = draw.IsCold && draw.OneIn(2) ? WeatherLexicon.BlowingSnow : draw.Common(WeatherLexicon.Mists);
        var (metres, where) = (draw.Between(100, 900, 100), draw.WhereAndWhen());
        return new(
            $"visibility will be below {metres} metres in {noun.English}{where.English}",
            $"la visibilité sera inférieure à {metres} mètres dans {noun.Definite}{where.French}");
    }

    private static Phrase Ground(WeatherDraw draw)
    {
        var (noun, where) = (draw.Common(WeatherLexicon.Grounds), draw.WhereAndWhen());
        var state = draw.Any(draw.IsCold ? WeatherLexicon.ColdGround : WeatherLexicon.WarmGround);
        if (draw.OneIn(2))
        {
            return new(
                $"{noun.English} will be {state.English}{where.English}",
                $"{noun.Definite} seront {state.Agree(noun.Form)}{where.French}");
        }

        var cause = draw.QualifiedPrecipitation();
        return new(
            $"{noun.English} will be {state.English}{where.English} because of {cause.English}",
            $"{noun.Definite} seront {state.Agree(noun.Form)}{where.French} à cause {cause.Partitive}");
    }

    private static Phrase Front(WeatherDraw draw)
    {
        var (system, verb) = (draw.Common(WeatherLexicon.Systems), draw.Common(WeatherLexicon.SystemVerbs));
        var (region, time) = (draw.Region(), draw.Time());
        if (draw.OneIn(2))
        {
            return new(
                $"{system.English} will {verb.English} {region.English} {time.English}",
                $"{system.French} {verb.French} {region.French} {time.French}");
        }

        var noun = draw.QualifiedPrecipitation();
        return new(
            $"{system.English} will bring {noun.English} to {region.English} {time.English}",
            $"{system.French} apportera {noun.Partitive} {French.ToDefinite(region.French)} {time.French}");
    }

    private static Phrase Advice(WeatherDraw draw)
    {
        var advice = draw.Common(draw.IsCold ? WeatherLexicon.Advice : [WeatherLexicon.Advice[0], .. WeatherLexicon.Advice[2..]]);
        var where = draw.WhereAndWhen();
        return new(
            $"drivers should {advice.English}{where.English}",
            $"les conducteurs devraient {advice.French}{where.French}");
    }

    // The ultraviolet index in the warm season (its level follows from the number), the wind chill in the cold one.
    private static Phrase Index(WeatherDraw draw)
    {
        var where = draw.WhereAndWhen();
        if (draw.IsCold)
        {
            int felt = draw.Between(15, 50);
            return new(
                $"the wind chill will be near minus {felt}{where.English}",
                $"le refroidissement éolien sera près de moins {felt}{where.French}");
        }

        int index = draw.Between(1, 12);
        Phrase level = index switch
        {
            <= 2 => new("low", "faible"),
            <= 5 => new("moderate", "modéré"),
            <= 7 => new("high", "élevé"),
            <= 10 => new("very high", "très élevé"),
            _ => new("extreme", "extrême"),
        };
        return new(
            $"the UV index will be {index}, or {level.English},{where.English}",
            $"l'indice UV sera de {index}, ou {level.French},{where.French}");
    }

    private static Phrase SkyScene(WeatherDraw draw)
    {
        var scene = draw.Common(WeatherLexicon.SkyScenes);
        if (draw.OneIn(2))
        {
            var (where, chance) = (draw.WhereAndWhen(), ChanceOf(draw));
            return new($"{scene.English}{where.English}, with a {chance.English}", $"{scene.French}{where.French}, avec {chance.French}");
        }

        var (place, next, time) = (draw.Place(), draw.AnyBut(scene, WeatherLexicon.SkyScenes), draw.Time());
        return new(
            $"{scene.English} {place.English}, then {next.English} {time.English}",
            $"{scene.French} {place.French}, puis {next.French} {time.French}");
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

    private static Phrase Mixture(WeatherDraw draw)
    {
        var (noun, place, time) = (draw.Precipitation(), draw.Place(), draw.Time());
        var other = draw.PrecipitationBut(noun);
        string mixed = new Adjective("mixed", "mêlé", "mêlée").Agree(noun.Form);
        return new(
            $"{noun.English} mixed with {other.English} {place.English}, ending {time.English}",
            $"{noun.French} {mixed} {other.Of} {place.French}, cessant {time.French}");
    }

    private static Phrase Winds(WeatherDraw draw)
    {
        var direction = draw.Any(WeatherLexicon.Directions);
        int slow = draw.Between(10, 50, 10);
        var strength = WeatherLexicon.WindStrengths[draw.OneIn(8) ? 3 : Math.Min(slow / 20, 2)];
        int fast = slow + draw.Between(10, 30, 10);
        var winds = new Phrase(
            $"{strength.English} {direction.English} winds of {slow} to {fast} km/h",
            $"vents {strength.Agree(Form.MasculinePlural)} {French.OfDefinite(direction.French)} de {slow} à {fast} km/h");
        if (draw.OneIn(2))
        {
            var where = draw.WhereAndWhen();
            return new(
                $"{winds.English}{where.English}, gusting to {fast + 25}",
                $"{winds.French}{where.French}, avec rafales à {fast + 25}");
        }

        var (place, turned, time) = (draw.Place(), draw.AnyBut(direction, WeatherLexicon.Directions), draw.Time());
        return new(
            $"{winds.English} {place.English}, becoming {turned.English} {time.English}",
            $"{winds.French} {place.French}, passant {French.ToDefinite(turned.French)} {time.French}");
    }

    private static Phrase HighAndLow(WeatherDraw draw)
    {
        var (high, place) = (draw.Temperature(out int degrees), draw.Place());
        var low = WeatherDraw.Spoken(degrees - draw.Between(3, 14));
        var time = draw.Time();
        return new(
            $"high of {high.English} {place.English}, low of {low.English} {time.English}",
            $"maximum de {high.French} {place.French}, minimum de {low.French} {time.French}");
    }

    private static Phrase Felt(WeatherDraw draw)
    {
        var where = draw.WhereAndWhen();
        var (high, low) = (draw.Temperature(out int degrees), draw.Between(3, 9));
        return draw.IsCold
            ? new(
                $"low of {high.English}{where.English}, with a wind chill of minus {Math.Max(15, low - degrees)}",
                $"minimum de {high.French}{where.French}, avec un refroidissement éolien de moins {Math.Max(15, low - degrees)}")
            : new(
                $"high of {high.English}{where.English}, with a humidex of {degrees + low}",
                $"maximum de {high.French}{where.French}, avec un humidex de {degrees + low}");
    }
}
