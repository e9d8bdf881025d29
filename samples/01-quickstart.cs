#!/usr/bin/env dotnet
#:project ../src/Perenos/Perenos.csproj

// Opens the model that comes with the library, judges it on a text, and lets it continue a prompt.
//   dotnet run samples/01-quickstart.cs

using Perenos.Evaluation;
using Perenos.Generation;
using Perenos.Models;
using Perenos.Recipes;
using Perenos.Runs.Config;
using Perenos.Text.Data;

using var pretrained = Pretrained.Open(Pretrained.BaseName, ComputeTypes.Choose("auto").Type);

// How well does it know this text? Each token is predicted from those before it.
var likelihood = new RollingLikelihood(pretrained.Model, pretrained.Tokenizer, FineTune.Prefix(pretrained), Window: 512);
string[] documents = ["The file cannot be opened.", "Le fichier ne peut pas être ouvert."];
foreach (var (text, value) in documents.Zip(likelihood.Score(documents)))
    Console.WriteLine($"{value.Nats / Math.Log(2) / value.Bytes:F2} bits per byte: {text}");

// The same renderer as in training puts the prompt into tokens.
var renderer = Rendering.For(pretrained, template: "auto");
var prompt = renderer.RenderPrompt(new PromptRecord("English: Open the file.\nFrench:", "") { Source = "sample", Group = "sample" });
var generator = new TextGenerator(pretrained.Model, new GenerationConfig { MaxNewTokens = 32 }, renderer.StopIds);
var stream = pretrained.Tokenizer.Stream();
foreach (int token in generator.Stream(prompt))
    Console.Write(stream.Push(token));
Console.WriteLine(stream.Flush());
