namespace Perenos.Text.Tokenization;

/// <summary>What one step of a compiled expression does.</summary>
internal enum RegexOperation
{
    /// <summary>One code point of the set.</summary>
    Set,

    /// <summary>Between Minimum and Maximum code points of the set, as many as go (or, Lazy, as few).</summary>
    SetLoop,

    /// <summary>Goes on at Target, and if that fails at Other.</summary>
    Split,

    /// <summary>Goes on at Target.</summary>
    Jump,

    /// <summary>Remembers the place in Slot, so that a loop knows whether it moved.</summary>
    Mark,

    /// <summary>Fails if nothing was read since Mark: an empty turn of a loop would never end.</summary>
    Moved,

    /// <summary>Inner must (or, Negated, must not) match here, or (Behind) end here; reads nothing.</summary>
    Look,

    /// <summary>Inner matches here once and for all: no other way is tried later.</summary>
    Atomic,

    /// <summary>The beginning of the text or of a line.</summary>
    LineStart,

    /// <summary>The end of the text or of a line.</summary>
    LineEnd,

    /// <summary>The beginning of the text.</summary>
    TextStart,

    /// <summary>The end of the text; with Lazy also before a last line feed.</summary>
    TextEnd,

    /// <summary>Between a word character and another (or, Negated, not there).</summary>
    WordBoundary,

    /// <summary>Done.</summary>
    Match,
}

/// <summary>One step of a compiled expression.</summary>
internal sealed record RegexStep(RegexOperation Operation)
{
    public CodePointSet? Set { get; init; }

    public int Minimum { get; init; }

    public int Maximum { get; init; }

    public bool Lazy { get; init; }

    public bool Possessive { get; init; }

    public bool Negated { get; init; }

    /// <summary>For a look-behind: how many code points Inner reads; -1 looks ahead.</summary>
    public int Behind { get; init; } = -1;

    public RegexStep[] Inner { get; init; } = [];

    public int Slot { get; init; }

    public int Target { get; set; }

    public int Other { get; set; }
}
