using System.CommandLine;
using Perenos.Recipes;
using Perenos.Runs.Config;
using Perenos.Transfer;
using Spectre.Console;

namespace Perenos.Cli;

/// <summary><c>perenos fisher</c>: which weights a text rests on, as a file that elastic weight consolidation reads.</summary>
internal static class FisherCommand
{
    public static Command Create()
    {
        var model = new Option<string>("--model") { Description = "Folder in Hugging Face's layout, a GGUF file, or \"base\".", Required = true, HelpName = "path" };
        var data = new Option<string>("--data") { Description = "The text that shall be kept: plain text or records.", Required = true, HelpName = "path" };
        var output = new Option<string>("--output") { Description = "Where the file goes.", DefaultValueFactory = _ => "fisher.safetensors", HelpName = "file" };
        var prompt = new Option<string?>("--prompt") { Description = "Template of the prompt.", HelpName = "text" };
        var completion = new Option<string?>("--completion") { Description = "Template of the completion.", HelpName = "text" };
        var estimator = new Option<FisherEstimator>("--estimator") { Description = "Sampled: labels drawn from the model. EmpiricalPerToken, EmpiricalPerSequence: the true labels.", DefaultValueFactory = _ => FisherEstimator.Sampled };
        var tokens = new Option<int>("--tokens") { Description = "Tokens to use.", DefaultValueFactory = _ => 50_000, HelpName = "number" };
        var length = new Option<int>("--maximum-length") { Description = "Most tokens in an example.", DefaultValueFactory = _ => 256, HelpName = "number" };
        var batch = new Option<int>("--batch-size") { Description = "Examples in a backward pass of the sampled form; fewer mean less noise and more time.", DefaultValueFactory = _ => 1, HelpName = "number" };
        var sketch = new Option<int>("--sketch") { Description = "Rows of what the weights do together, by which tune forecasts forgetting; each is 2 bytes for every seventh weight. 0 for none.", DefaultValueFactory = _ => FisherSketch.DefaultRows, HelpName = "number" };
        var add = new Option<string?>("--add") { Description = "Earlier Fisher file of the same base whose values are added.", HelpName = "file" };
        var online = new Option<bool>("--online") { Description = "The earlier file may be of the model that this one was trained from: each task is estimated where it was learnt." };
        var decay = new Option<double>("--decay") { Description = "Weight of the earlier values.", DefaultValueFactory = _ => 1, HelpName = "number" };
        var seed = new Option<ulong>("--seed") { Description = "Seed of examples and labels.", HelpName = "number" };
        var dtype = new Option<string>("--dtype") { Description = "auto (measured), float32 or bfloat16.", DefaultValueFactory = _ => "auto" };
        var command = new ExampledCommand("fisher", "Estimate the diagonal Fisher information of a model on a text that it shall not forget.",
            "perenos fisher --model base --data general.txt --output fisher.safetensors",
            "perenos tune --model base --data pairs.jsonl --method full --fisher fisher.safetensors --forget-at-most 0.02",
            "perenos fisher show fisher.safetensors")
        { model, data, output, prompt, completion, estimator, tokens, length, batch, sketch, add, online, decay, seed, dtype, Show() };
        command.SetAction(parsed =>
        {
            var request = new FisherRequest
            {
                Model = parsed.GetValue(model)!,
                Data = new DataConfig { Path = parsed.GetValue(data)!, Prompt = Lines(parsed.GetValue(prompt)), Completion = Lines(parsed.GetValue(completion)), MaximumLength = parsed.GetValue(length) },
                Output = parsed.GetValue(output)!,
                Estimator = parsed.GetValue(estimator),
                BatchSize = parsed.GetValue(batch),
                MostTokens = parsed.GetValue(tokens),
                SketchRows = parsed.GetValue(sketch),
                Earlier = parsed.GetValue(add),
                IsOnline = parsed.GetValue(online),
                Decay = parsed.GetValue(decay),
                Seed = parsed.GetValue(seed),
                Dtype = parsed.GetValue(dtype)!,
            };
            var origin = RunDisplay.WithInterrupts(stop => EstimateFisher.Run(request, ShowProgress, stop));
            Console.WriteLine($"{request.Output}: {origin.Estimator}, {origin.Tokens:N0} tokens in {origin.Passes:N0} passes{(origin.Tasks > 1 ? $", {origin.Tasks} texts added up" : "")}");
            return 0;
        });
        return command;
    }

    private static ExampledCommand Show()
    {
        var file = new Argument<string>("file") { Description = "A file that perenos fisher wrote." };
        var show = new ExampledCommand("show", "Show which layers matter.", "perenos fisher show fisher.safetensors") { file };
        show.SetAction(parsed =>
        {
            using var fisher = FisherFile.Open(parsed.GetValue(file)!);
            var origin = fisher.Origin;
            Console.WriteLine($"{origin.Base} on {origin.Corpus}: {origin.Estimator}, {origin.Tokens:N0} tokens, {origin.Passes:N0} passes, computed in {origin.ComputeType}, sketch of {fisher.SketchRows} rows");
            AnsiConsole.Write(ShareTable("layer", FisherShares.ByLayer(fisher)));
            AnsiConsole.Write(ShareTable("kind of weight", FisherShares.ByKind(fisher)));
            return 0;
        });
        return show;
    }

    private static Table ShareTable(string what, IReadOnlyList<FisherShare> shares)
    {
        var table = new Table().RoundedBorder().AddColumn(what);
        foreach (string column in new[] { "weights", "share of all", "mean", "largest" })
            table.AddColumn(new TableColumn(column).RightAligned());
        foreach (var share in shares)
            table.AddRow(Markup.Escape(share.Name), $"{share.Weights:N0}", $"{share.Share:P1}", $"{share.Mean:E2}", $"{share.Largest:E2}");
        return table;
    }

    private static string? Lines(string? template) => template?.Replace("\\n", "\n", StringComparison.Ordinal);

    private static void ShowProgress(int done, int total)
    {
        if (!Console.IsErrorRedirected && (done % 10 == 0 || done == total))
            Console.Error.Write($"\rpass {done}/{total}{(done == total ? "\n" : "")}");
    }
}
