#!/usr/bin/env dotnet
#:project ../src/Perenos/Perenos.csproj

// Teaches the model that comes with the library to translate weather sentences by LoRA: judged before and after, with a report.
//   dotnet run samples/02-lora.cs

using System.Text.Json;
using Perenos.Recipes;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Text.Grammar;

// Any jsonl file will do; here two hundred pairs of the built-in grammar.
string data = Path.Combine(Directory.CreateTempSubdirectory("perenos-sample-").FullName, "pairs.jsonl");
File.WriteAllLines(data, WeatherGrammar.Sample(seed: 1, count: 200).Select(pair => JsonSerializer.Serialize(new { en = pair.English, fr = pair.French })));

var config = new RunConfig
{
    Start = new PretrainedStart { Model = "base" },
    Data = new DataConfig { Path = data, Prompt = "English: {en}\nFrench:", Completion = " {fr}", MaximumLength = 256 },
    Method = new LoraConfig { Rank = 16 },
    Training = new TrainingConfig { Epochs = 10, LearningRate = 3e-3 },
};

using var folder = RunFolder.Create("runs", name: null, recipe: "tune", model: "base", data, TimeProvider.System);
var listener = new RunListener(
    TimeProvider.System,
    happened =>
    {
        if (happened is RunEvent.Step step)
            Console.WriteLine($"step {step.Number}: loss {step.Loss:F3}");
    },
    Progress: (_, _, _) => { });
var result = FineTune.Run(config, folder, listener, CancellationToken.None);

foreach (var finding in result.Report!.Verdict)
    Console.WriteLine($"{finding.Figure} {finding.Sentence}");
Console.WriteLine($"Adapter: {folder.Adapter}\nReport: {folder.Report}");
