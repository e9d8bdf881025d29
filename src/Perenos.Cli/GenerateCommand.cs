using System.CommandLine;
using Perenos.Generation;
using Perenos.Recipes;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Text.Data;

namespace Perenos.Cli;

/// <summary><c>perenos generate</c>: continue a prompt, printed as it comes.</summary>
internal static class GenerateCommand
{
    public static Command Create()
    {
        var defaults = new GenerationConfig();
        var prompt = new Argument<string?>("prompt") { Description = "The prompt; without it, standard input.", Arity = ArgumentArity.ZeroOrOne };
        var maxNewTokens = new Option<int>("--max-new-tokens") { Description = "Most new tokens.", DefaultValueFactory = _ => defaults.MaxNewTokens, HelpName = "number" };
        var temperature = new Option<double>("--temperature") { Description = "0 takes the likeliest token; 0.7 is livelier.", DefaultValueFactory = _ => defaults.Temperature, HelpName = "number" };
        var topK = new Option<int>("--top-k") { Description = "Sample among this many likeliest tokens; 0 means all.", DefaultValueFactory = _ => defaults.TopK, HelpName = "number" };
        var topP = new Option<double>("--top-p") { Description = "Sample among the likeliest tokens of this probability together.", DefaultValueFactory = _ => defaults.TopP, HelpName = "number" };
        var minP = new Option<double>("--min-p") { Description = "Sample among tokens at least this likely relative to the likeliest.", DefaultValueFactory = _ => defaults.MinP, HelpName = "number" };
        var penalty = new Option<double>("--repetition-penalty") { Description = "Above 1 discourages tokens that occurred.", DefaultValueFactory = _ => defaults.RepetitionPenalty, HelpName = "number" };
        var seed = new Option<ulong>("--seed") { Description = "Seed of the sampling.", HelpName = "number" };
        var template = new Option<string>("--template") { Description = "auto: as a user's message, if the model has a chat template; none: as it stands.", DefaultValueFactory = _ => "auto", HelpName = "text" };
        var command = new ExampledCommand("generate", "Continue a prompt.",
            "perenos generate --model base \"English: Open the file\\nFrench:\"",
            "perenos generate --model ./SmolLM2-135M-Instruct --adapter runs/NAME/adapter --temperature 0.7 --top-p 0.9 \"Translate to French: Sunny.\"")
        { prompt, maxNewTokens, temperature, topK, topP, minP, penalty, seed, template };
        var models = new ModelOptions(command);
        command.SetAction(parsed =>
        {
            var settings = new GenerationConfig
            {
                MaxNewTokens = parsed.GetValue(maxNewTokens),
                Temperature = parsed.GetValue(temperature),
                TopK = parsed.GetValue(topK),
                TopP = parsed.GetValue(topP),
                MinP = parsed.GetValue(minP),
                RepetitionPenalty = parsed.GetValue(penalty),
                Seed = parsed.GetValue(seed),
            }.Checked();
            string text = parsed.GetValue(prompt)?.Replace("\\n", "\n", StringComparison.Ordinal) ?? Console.In.ReadToEnd();
            if (text.Length == 0)
                throw new PerenosException("The prompt is empty.", "perenos generate --model MODEL \"prompt\", or pipe it in.");
            string model = models.Model(parsed) ?? throw new PerenosException("No model was given.", "--model MODEL: a folder, a GGUF file, or \"base\".");
            using var opened = models.Open(parsed, new TrainedModel(model, []));
            var pretrained = opened.Pretrained;
            var renderer = Rendering.For(pretrained, parsed.GetValue(template)!);
            var ids = renderer.RenderPrompt(new PromptRecord(text, "") { Source = "prompt", Group = "prompt" });
            var stream = pretrained.Tokenizer.Stream();
            RunDisplay.WithInterrupts(stop =>
            {
                foreach (int token in new TextGenerator(pretrained.Model, settings, renderer.StopIds).Stream(ids))
                {
                    Console.Write(stream.Push(token));
                    if (stop.IsCancellationRequested)
                        break;
                }

                return 0;
            });
            Console.WriteLine(stream.Flush());
            return 0;
        });
        return command;
    }
}
