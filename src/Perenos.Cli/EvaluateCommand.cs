using System.CommandLine;
using Perenos.Evaluation;
using Perenos.Hub;
using Perenos.Models;
using Perenos.Recipes;
using Perenos.Runs;
using Perenos.Runs.Config;
using Spectre.Console;

namespace Perenos.Cli;

/// <summary><c>perenos evaluate</c>: score a model, or a run's result, on records or on plain text.</summary>
internal static class EvaluateCommand
{
    public static Command Create()
    {
        var run = new Argument<string?>("run") { Description = "Run whose result is scored.", Arity = ArgumentArity.ZeroOrOne };
        var data = new Option<string?>("--data") { Description = "Records to answer: a path, or a data set on the hub (owner/name).", HelpName = "path" };
        var prompt = new Option<string?>("--prompt") { Description = "Template of the prompt (default: the run's).", HelpName = "text" };
        var completion = new Option<string?>("--completion") { Description = "Template of the completion (default: the run's).", HelpName = "text" };
        var text = new Option<string?>("--text") { Description = "Plain text: perplexity and bits per byte.", HelpName = "file" };
        var window = new Option<int>("--window") { Description = "Tokens predicted from one call.", DefaultValueFactory = _ => 1024, HelpName = "number" };
        var overlap = new Option<int?>("--overlap") { Description = "Least tokens of left context in each window after the first (default: half the window).", HelpName = "number" };
        var records = new Option<int>("--test-records") { Description = "Most records.", DefaultValueFactory = _ => 200, HelpName = "number" };
        var maxNewTokens = new Option<int>("--max-new-tokens") { Description = "Most tokens of an answer.", DefaultValueFactory = _ => 256, HelpName = "number" };
        var template = new Option<string?>("--template") { Description = "Chat template: auto or none (default: the run's).", HelpName = "text" };
        var json = new Option<bool>("--json") { Description = "Print the scores as JSON." };
        var command = new ExampledCommand("evaluate", "Score a model or a run's result: BLEU, chrF, exact match and loss on records, or perplexity and bits per byte on text.",
            "perenos evaluate runs/NAME --data more.jsonl",
            "perenos evaluate --model base --data pairs.jsonl --prompt \"English: {en}\\nFrench:\" --completion \" {fr}\"",
            "perenos evaluate --model ./SmolLM2-135M-Instruct --text wikipedia.txt")
        { run, data, prompt, completion, text, window, overlap, records, maxNewTokens, template, json };
        var models = new ModelOptions(command);
        command.SetAction(parsed =>
        {
            var (model, config) = Subject(parsed.GetValue(run), models.Model(parsed));
            using var opened = models.Open(parsed, model);
            var pretrained = opened.Pretrained;
            IReadOnlyList<Metric> scores;
            if (parsed.GetValue(text) is { } file)
            {
                int size = (int)Math.Min(parsed.GetValue(window), pretrained.Model.Config.MaximumLength);
                scores = TextScores(pretrained, file, size, parsed.GetValue(overlap) ?? Math.Max(1, size / 2));
            }
            else if (parsed.GetValue(data) is { } path)
            {
                var source = (config?.Data ?? new DataConfig { Path = path }) with { Path = path };
                source = source with
                {
                    Prompt = parsed.GetValue(prompt)?.Replace("\\n", "\n", StringComparison.Ordinal) ?? source.Prompt,
                    Completion = parsed.GetValue(completion)?.Replace("\\n", "\n", StringComparison.Ordinal) ?? source.Completion,
                    Template = parsed.GetValue(template) ?? source.Template,
                };
                scores = RecordScores(pretrained, source with { Path = models.Hub.Path(parsed, path, HubKind.Dataset) }, parsed.GetValue(records), parsed.GetValue(maxNewTokens));
            }
            else
            {
                throw new PerenosException("There is nothing to score on.", "Give --data FILE (records) or --text FILE (plain text).");
            }

            Show(scores, parsed.GetValue(json));
            return 0;
        });
        return command;
    }

    // A run is scored with what it saved; its own settings say how records become prompts.
    private static (TrainedModel Model, RunConfig? Config) Subject(string? run, string? model)
    {
        if (run is null)
            return (new TrainedModel(model ?? throw new PerenosException("Neither a run nor a model was given.", "perenos evaluate runs/NAME …, or --model MODEL."), []), null);
        using var folder = RunFolder.Open(run);
        var result = TrainedModel.Of(folder);
        return (model is not null && result.Adapters.Count > 0 ? result with { Model = model } : result, ConfigFile.Read<RunConfig>(folder.Config));
    }

    private static IReadOnlyList<Metric> RecordScores(Pretrained pretrained, DataConfig data, int most, int maxNewTokens)
    {
        var (records, schema) = RunData.ReadRecords(data, data.Path);
        Console.Error.WriteLine($"{records.Count:N0} records, {schema}");
        var settings = new EvaluationConfig { TestRecords = most, Generation = new GenerationConfig { MaxNewTokens = maxNewTokens } };
        var examination = new Examination([.. records.Take(most)], Rendering.For(pretrained, data.Template), [], settings, data.MaximumLength);
        var judgement = RunDisplay.WithInterrupts(stop => examination.Take(pretrained.Model, pretrained.Tokenizer, null, ShowProgress, stop));
        return examination.Scores(judgement);
    }

    private static List<Metric> TextScores(Pretrained pretrained, string file, int window, int overlap)
    {
        if (overlap < 1 || overlap > window)
            throw new PerenosException($"--overlap {overlap} does not fit into a window of {window}.", "Use 1 (windows apart) to the window's size.");
        var documents = ReferenceText.Read(file);
        int? prefix = FineTune.Prefix(pretrained);
        var values = new RollingLikelihood(pretrained.Model, pretrained.Tokenizer, prefix, window, overlap)
            .Score(documents, done => ShowProgress("reading", done, documents.Count));
        return TextLikelihood.Scores(values, $"window {window}, overlap {overlap}, prefix {(prefix is { } id ? pretrained.Tokenizer.TokenOf(id) : "none")}, {documents.Count} documents");
    }

    private static void ShowProgress(string phase, int done, int total)
    {
        if (!Console.IsErrorRedirected)
            Console.Error.Write($"\r{phase} {done}/{total}{(done == total ? "\n" : "")}");
    }

    private static void Show(IReadOnlyList<Metric> scores, bool asJson)
    {
        if (asJson)
        {
            JsonOutput.Write(scores);
            return;
        }

        var table = new Table().RoundedBorder().AddColumn("").AddColumn(new TableColumn("95 % interval").RightAligned()).AddColumn("how");
        foreach (var score in scores)
            table.AddRow(new Spectre.Console.Text(score.Name), new Spectre.Console.Text(RunDisplay.Score(score, score.Value < 20 ? 3 : 1)), new Spectre.Console.Text(score.Signature ?? ""));
        AnsiConsole.Write(table);
    }
}
