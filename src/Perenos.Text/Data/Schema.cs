using System.Text.Json;
using Perenos.Runs;

namespace Perenos.Text.Data;

/// <summary>What the fields of a raw record mean: detected from the first record, or given by placeholders.</summary>
public abstract record Schema
{
    /// <summary>The schema in words, for the user to read before training begins.</summary>
    public abstract string Description { get; }

    /// <summary>The field whose value names the group of a record (for a split by document, say); null: each row is a group.</summary>
    public string? GroupField { get; init; }

    /// <summary>Whether a raw record has every field that the schema's templates name.</summary>
    public virtual bool Fits(RawRecord raw) => true;

    /// <summary>The records that a raw record stands for: one, or one for each aligned pair where its fields are lists of equal length.</summary>
    /// <exception cref="PerenosException">A field is missing or not of the kind that the schema needs.</exception>
    public abstract IEnumerable<Record> Records(RawRecord raw);

    /// <summary>The records of all raw records, in order.</summary>
    public IEnumerable<Record> Records(IEnumerable<RawRecord> raws) => raws.SelectMany(Records);

    /// <summary>Recognises messages, conversations (ShareGPT), prompt with completion, and text by their keys.</summary>
    /// <exception cref="PerenosException">The keys say nothing certain; the hint shows the placeholders to use.</exception>
    public static Schema Detect(RawRecord record)
    {
        ArgumentNullException.ThrowIfNull(record);
        bool Has(string key, JsonValueKind kind) => record.Fields.TryGetValue(key, out var value) && value.ValueKind == kind;
        if (Has("prompt", JsonValueKind.String) && record.Fields.ContainsKey("chosen") || Has("conversations", JsonValueKind.Array) && record.Fields.ContainsKey("chosen"))
            throw Unclear(record, "a preferred and a rejected answer", "--objective dpo learns to prefer the one to the other; --prompt \"{prompt}\" --completion \"{chosen}\" learns the preferred ones alone");
        if (Has("messages", JsonValueKind.Array))
            return new MessagesSchema();
        if (Has("conversations", JsonValueKind.Array))
            return new ShareGptSchema();
        if (Has("prompt", JsonValueKind.String) && Has("completion", JsonValueKind.String))
            return Prompt("{prompt}", "{completion}");
        if (record.Fields.ContainsKey("instruction") && record.Fields.ContainsKey("output"))
        {
            // Two preambles are in use for this form and they train different models: asked, never guessed.
            string prompt = record.Fields.ContainsKey("input") ? "{instruction}\\n{input}" : "{instruction}";
            throw Unclear(record, "instruction and output (Alpaca), for which more than one prompt is in use", $"Say which, for example --prompt $'{prompt}' --completion '{{output}}'");
        }

        if (Has("text", JsonValueKind.String))
            return Text("{text}");

        string[] keys = [.. record.Fields.Where(field => field.Value.ValueKind is JsonValueKind.String or JsonValueKind.Array).Select(field => field.Key).Take(2)];
        string example = keys.Length == 2 ? $"--prompt \"{{{keys[0]}}}\" --completion \"{{{keys[1]}}}\"" : $"--text \"{{{keys.FirstOrDefault() ?? "field"}}}\"";
        throw Unclear(record, "no schema that is known by its keys", $"Say what they mean, for example {example}");
    }

    /// <summary>Text made from one template.</summary>
    public static Schema Text(string template) => new TextSchema(Placeholders.Parse(template));

    /// <summary>Prompt and completion made from two templates.</summary>
    public static Schema Prompt(string prompt, string completion) => new PromptSchema(Placeholders.Parse(prompt), Placeholders.Parse(completion));

    /// <summary>The schema that the options --text, --prompt and --completion describe; null where none is given and <see cref="Detect"/> is to decide.</summary>
    /// <exception cref="PerenosException">The options contradict each other or one of a pair is missing.</exception>
    public static Schema? FromOptions(string? text, string? prompt, string? completion)
    {
        if (text is null && prompt is null && completion is null)
            return null;
        if (text is not null && (prompt is not null || completion is not null))
            throw new PerenosException("--text and --prompt/--completion exclude each other.", "Use --text to learn the whole text, or --prompt and --completion to learn the completion only.");
        if (text is not null)
            return Text(text);
        if (prompt is null || completion is null)
            throw new PerenosException($"--{(prompt is null ? "completion" : "prompt")} needs --{(prompt is null ? "prompt" : "completion")} beside it.", "For example: --prompt \"Translate to French: {en}\" --completion \"{fr}\"");
        return Prompt(prompt, completion);
    }

    private protected string GroupOf(RawRecord raw) => GroupField is null ? raw.Source : raw.Text(GroupField);

    /// <summary>How many records the fields stand for: the common length of those that are lists, or 1.</summary>
    private protected static int ItemCount(RawRecord raw, IEnumerable<string> fields)
    {
        var lists = fields.Select(field => (Field: field, Value: raw.Value(field))).Where(field => field.Value.ValueKind == JsonValueKind.Array).ToList();
        if (lists.Count == 0)
            return 1;
        int count = lists[0].Value.GetArrayLength();
        if (lists.Any(list => list.Value.GetArrayLength() != count))
        {
            throw new PerenosException($"{raw.Source}: the lists differ in length: {string.Join(", ", lists.Select(list => $"\"{list.Field}\" has {list.Value.GetArrayLength()}"))}.",
                "Item n of one must belong to item n of the other.");
        }

        return count;
    }

    private protected static PerenosException Unclear(RawRecord record, string found, string hint) =>
        new($"{record.Source}: the record has {found}. Its fields: {string.Join(", ", record.Fields.Keys.Take(30))}.", hint + ".");
}

/// <summary>Text from one template; all of it is learnt.</summary>
public sealed record TextSchema(Placeholders Template) : Schema
{
    /// <inheritdoc/>
    public override string Description => $"text: \"{Template}\"; every token is learnt";

    /// <inheritdoc/>
    public override bool Fits(RawRecord raw) => Template.Fields.All(raw.Fields.ContainsKey);

    /// <inheritdoc/>
    public override IEnumerable<Record> Records(RawRecord raw)
    {
        ArgumentNullException.ThrowIfNull(raw);
        int count = ItemCount(raw, Template.Fields);
        for (int i = 0; i < count; i++)
            yield return new TextRecord(Template.Fill(raw, i)) { Source = raw.Source, Group = GroupOf(raw), Part = raw.Part };
    }
}

/// <summary>Prompt and completion from two templates; the completion is learnt.</summary>
public sealed record PromptSchema(Placeholders PromptTemplate, Placeholders CompletionTemplate) : Schema
{
    /// <inheritdoc/>
    public override string Description => $"prompt: \"{PromptTemplate}\", completion: \"{CompletionTemplate}\"; the completion is learnt";

    /// <inheritdoc/>
    public override bool Fits(RawRecord raw) => PromptTemplate.Fields.Concat(CompletionTemplate.Fields).All(raw.Fields.ContainsKey);

    /// <inheritdoc/>
    public override IEnumerable<Record> Records(RawRecord raw)
    {
        ArgumentNullException.ThrowIfNull(raw);
        int count = ItemCount(raw, PromptTemplate.Fields.Concat(CompletionTemplate.Fields).Distinct());
        for (int i = 0; i < count; i++)
            yield return new PromptRecord(PromptTemplate.Fill(raw, i), CompletionTemplate.Fill(raw, i)) { Source = raw.Source, Group = GroupOf(raw), Part = raw.Part };
    }
}
