using Perenos.Text.Metrics;

namespace Perenos.Text.Grammar;

/// <summary>The random choices of one numbered sentence, and the phrases that many sentences share: when, where, how warm.</summary>
internal sealed class WeatherDraw
{
    private readonly CounterRandom _random;
    private ulong _index;

    public WeatherDraw(ulong seed, long sentence)
    {
        _random = new CounterRandom(seed, (ulong)sentence);
        IsCold = OneIn(2);
    }

    /// <summary>The season of the sentence: no snow at 25 degrees.</summary>
    public bool IsCold { get; }

    public bool OneIn(int count) => Below(count) == 0;

    public int Between(int first, int last, int step = 1) => first + (step * Below(((last - first) / step) + 1));

    public T Any<T>(IReadOnlyList<T> list) => list[Below(list.Count)];

    /// <summary>An entry of a list that runs from common to rare: the smaller of two draws, so the last is a long tail.</summary>
    public T Common<T>(IReadOnlyList<T> list) => list[Math.Min(Below(list.Count), Below(list.Count))];

    public Noun Precipitation() => Common(IsCold ? WeatherLexicon.ColdPrecipitation : WeatherLexicon.WarmPrecipitation);

    /// <summary>Precipitation with an adjective half of the time; only what comes in numbers can be scattered.</summary>
    public Noun QualifiedPrecipitation()
    {
        var noun = Precipitation();
        if (OneIn(2))
            return noun;
        return noun.With(noun.IsPlural && OneIn(2) ? Any(WeatherLexicon.Spreads) : Common(WeatherLexicon.Strengths));
    }

    /// <summary>A temperature as it is spoken: minus 12, zero, plus 4, 21.</summary>
    public Phrase Temperature() => (IsCold ? Between(-29, 0) : Between(1, 35)) switch
    {
        0 => new("zero", "zéro"),
        < 0 and var degrees => new($"minus {-degrees}", $"moins {-degrees}"),
        < 10 and var degrees => new($"plus {degrees}", $"plus {degrees}"),
        var degrees => new($"{degrees}", $"{degrees}"),
    };

    public Phrase Time()
    {
        if (OneIn(2))
            return Common(WeatherLexicon.Times);
        var day = Any(WeatherLexicon.Days);
        if (OneIn(2))
            return new($"on {day.English}", day.French);
        var part = Any(WeatherLexicon.DayParts);
        return new($"{day.English} {part.English}", $"{day.French} {part.French}");
    }

    public Phrase Place() => Below(5) switch
    {
        < 2 => InCity(),
        2 => NearCity(),
        3 => Common(WeatherLexicon.Regions),
        _ => Common(WeatherLexicon.Terrain),
    };

    /// <summary>A place and a time, or one of them alone; each begins with a blank.</summary>
    public Phrase WhereAndWhen()
    {
        int kind = Below(4);
        var place = kind == 0 ? default : Led(Place());
        var time = kind == 1 ? default : Led(Time());
        return new(place.English + time.English, place.French + time.French);
    }

    private Phrase InCity()
    {
        var city = Common(WeatherLexicon.Cities);
        return new($"in {city.English}", French.ToDefinite(city.French));
    }

    private Phrase NearCity()
    {
        var city = Common(WeatherLexicon.Cities);
        return new($"near {city.English}", "près " + French.OfDefinite(city.French));
    }

    private static Phrase Led(Phrase phrase) => new(" " + phrase.English, " " + phrase.French);

    private int Below(int bound) => _random.Below(bound, _index++);
}
