namespace Perenos.Recipes;

/// <summary>A part of a run and the time that it takes.</summary>
/// <param name="Name">What is done.</param>
/// <param name="Seconds">Expected seconds.</param>
/// <param name="Detail">How much of it there is, in words; may be empty.</param>
public sealed record PlanPart(string Name, double Seconds, string Detail)
{
    /// <summary>Seconds at least, where more is expected than is sure: an answer may end soon or never.</summary>
    public double LeastSeconds { get; init; } = Seconds;

    /// <summary>Seconds at most, likewise.</summary>
    public double MostSeconds { get; init; } = Seconds;
}

/// <summary>What a run will take, from a rehearsal of its parts.</summary>
/// <param name="Parts">What was rehearsed: all that the run does once it is open, in the order in which it begins, or its training alone; where the opening was timed, that first.</param>
/// <param name="Memory">Most memory that the process will hold, in bytes.</param>
public sealed record RunPlan(IReadOnlyList<PlanPart> Parts, long Memory)
{
    /// <summary>Expected seconds of all parts.</summary>
    public double Seconds => Parts.Sum(part => part.Seconds);

    /// <summary>Seconds of all parts at least.</summary>
    public double LeastSeconds => Parts.Sum(part => part.LeastSeconds);

    /// <summary>Seconds of all parts at most.</summary>
    public double MostSeconds => Parts.Sum(part => part.MostSeconds);

    /// <summary>Seconds of the steps and of the validations between them.</summary>
    public double TrainingSeconds => Parts.Where(part => part.Name is Names.Training or Names.Validation).Sum(part => part.Seconds);

    /// <summary>Names of the parts.</summary>
    public static class Names
    {
        /// <summary>What comes before everything else: reading model and data, text that the base writes, a Fisher file.</summary>
        public const string Opening = "opening";

        /// <summary>What the run itself rehearses: its training, briefly.</summary>
        public const string Rehearsal = "rehearsal";

        /// <summary>Judging the base.</summary>
        public const string Before = "examination before";

        /// <summary>The optimizer's steps.</summary>
        public const string Training = "training";

        /// <summary>Losses of the validation examples.</summary>
        public const string Validation = "validation";

        /// <summary>Checkpoints, the best state, and what is kept at the end.</summary>
        public const string Saving = "saving";

        /// <summary>Judging what came of it.</summary>
        public const string After = "examination after";
    }
}
