namespace Perenos.Runs.Config;

/// <summary>How the next token is chosen; the names are the field's.</summary>
public sealed record GenerationConfig
{
    /// <summary>Most tokens generated for a prompt.</summary>
    public int MaxNewTokens { get; init; } = 256;

    /// <summary>Divides the logits before sampling; 0 always takes the likeliest token.</summary>
    public double Temperature { get; init; }

    /// <summary>Sample only among this many likeliest tokens; 0 means all.</summary>
    public int TopK { get; init; }

    /// <summary>Sample only among the likeliest tokens that together have this probability; 1 means all (Holtzman et al. 2019, https://arxiv.org/abs/1904.09751).</summary>
    public double TopP { get; init; } = 1;

    /// <summary>Sample only among tokens at least this likely relative to the likeliest; 0 means all.</summary>
    public double MinP { get; init; }

    /// <summary>Divides positive and multiplies negative logits of tokens that occurred before; 1 means off (Keskar et al. 2019, https://arxiv.org/abs/1909.05858).</summary>
    public double RepetitionPenalty { get; init; } = 1;

    /// <summary>Seed of the sampling.</summary>
    public ulong Seed { get; init; }

    /// <summary>Checks the ranges.</summary>
    /// <exception cref="PerenosException">A value is out of range.</exception>
    public GenerationConfig Checked()
    {
        static void Demand(bool isMet, string name, object value, string range)
        {
            if (!isMet)
                throw new PerenosException($"{name} = {value} is out of range.", $"Use {range}.");
        }

        Demand(MaxNewTokens > 0, "max_new_tokens", MaxNewTokens, "1 or more");
        Demand(Temperature >= 0 && double.IsFinite(Temperature), "temperature", Temperature, "0 (always the likeliest token) or more");
        Demand(TopK >= 0, "top_k", TopK, "0 (all tokens) or more");
        Demand(TopP is > 0 and <= 1, "top_p", TopP, "more than 0, at most 1");
        Demand(MinP is >= 0 and < 1, "min_p", MinP, "0 or more, less than 1");
        Demand(RepetitionPenalty > 0 && double.IsFinite(RepetitionPenalty), "repetition_penalty", RepetitionPenalty, "more than 0; 1 is off");
        return this;
    }
}
