using Perenos.Checkpoints;
using Perenos.Models;
using Perenos.Runs;
using Perenos.Runs.Config;
using TorchSharp;
using Xunit;

namespace Perenos.Cli.Tests;

/// <summary>Every mistake of the user ends with two lines, what is wrong and what to do, and exit code 2; nothing is trained.</summary>
public sealed class MistakeTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("perenos-mistakes-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("", "No command", "--help")]
    [InlineData("tunne", "no command tunne", "tune")]
    [InlineData("runs shw", "no command shw", "show")]
    [InlineData("tune --modle base", "no option --modle", "--model")]
    [InlineData("tune recipe.yaml --epoch 3", "no option --epoch", "--epochs")]
    [InlineData("tune --strem --data pairs.jsonl", "no option --strem", "--streaming")]
    [InlineData("generate --temprature 1 hello", "no option --temprature", "--temperature")]
    [InlineData("tune --completely-unknown", "no option --completely-unknown", "perenos tune --help")]
    [InlineData("tune --epochs many", "--epochs many is not a number", "perenos tune --help")]
    [InlineData("tune --steps 1.5", "--steps 1.5 is not a whole number", "perenos tune --help")]
    [InlineData("sweep --learning-rates 1e-3 fast 1e-2", "--learning-rates fast is not a number", "perenos sweep --help")]
    [InlineData("sweep --ranks 8 1.5 32", "--ranks 1.5 is not a whole number", "perenos sweep --help")]
    [InlineData("quickstart --seed -1", "--seed -1 is not a whole number", "perenos quickstart --help")]
    [InlineData("tune --epochs", "--epochs", "perenos tune --help")]
    [InlineData("runs show", "name", "perenos runs show --help")]
    [InlineData("quickstart --method ewc", "ewc", "perenos quickstart --help")]
    [InlineData("tune --mode magic --model base", "--mode magic", "transductive")]
    [InlineData("tune --mode transductive --model base --data pairs.jsonl", "needs a target", "--target")]
    [InlineData("tune --model base --data pairs.jsonl --mix other.jsonl", "other.jsonl has no share", "other.jsonl:0.2")]
    [InlineData("tune --target pairs.jsonl --model base --data pairs.jsonl", "--target", "--mode transductive")]
    public void Wrong_arguments(string arguments, string inMessage, string inHint) =>
        AssertMistake(arguments.Split(' ', StringSplitOptions.RemoveEmptyEntries), inMessage, inHint);

    [Fact]
    public void No_model() => AssertMistake(["tune", "--data", Pairs()], "model", "--model");

    [Theory]
    [InlineData("tune", "--method prompt", "--method", "stage")]
    [InlineData("tune", "--mode inductive", "has stages", "--mode")]
    [InlineData("tune", "--epochs 0", "The stage domain: training.epochs", "more than 0")]
    [InlineData("pretrain", "", "has stages", "perenos tune")]
    public void Wrong_options_for_stages(string command, string options, string inMessage, string inHint)
    {
        string recipe = At("stages.yaml");
        File.WriteAllText(recipe, $$"""
            start: {kind: pretrained, model: base}
            data: {path: "{{Pairs().Replace('\\', '/')}}", prompt: "{en}", completion: " {fr}"}
            stages:
              - {name: domain, method: {kind: lora} }
            """);
        AssertMistake([command, recipe, .. options.Split(' ', StringSplitOptions.RemoveEmptyEntries), "--runs", At("runs")], inMessage, inHint);
    }

    [Fact]
    public void A_mode_refuses_data_of_another_kind() =>
        AssertMistake(["tune", "--mode", "unsupervised", "--model", "base", "--data", Pairs(), "--prompt", "{en}", "--completion", " {fr}", "--runs", At("runs")], "have answers", "--mode inductive");

    [Fact]
    public void No_data() => AssertMistake(["tune", "--model", "base"], "data", "");

    [Theory]
    [InlineData("--data", "", "empty")]
    [InlineData("--data", "nowhere.jsonl", "nowhere.jsonl")]
    [InlineData("--model", "nowhere", "nowhere")]
    [InlineData("--model", "", "")]
    [InlineData("--dtype", "float8", "float8")]
    [InlineData("--method", "lorra", "lorra")]
    [InlineData("--schedule", "zigzag", "zigzag")]
    [InlineData("--template", "chatml", "chatml")]
    [InlineData("--targets", "qproj", "qproj")]
    [InlineData("--rank", "0", "rank")]
    [InlineData("--epochs", "0", "epochs")]
    [InlineData("--completion", "{fre}", "fre")]
    [InlineData("--reference", "nowhere.txt", "nowhere.txt")]
    [InlineData("--validation", "nowhere.jsonl", "nowhere.jsonl")]
    [InlineData("--name", "../elsewhere", "elsewhere")]
    public void A_wrong_value_of_an_option(string option, string value, string inMessage)
    {
        var options = new OrderedDictionary<string, string> { ["--model"] = "base", ["--data"] = Pairs(), ["--prompt"] = "{en}", ["--completion"] = " {fr}", ["--runs"] = At("runs") };
        options[option] = value;
        AssertMistake(["tune", .. options.SelectMany(pair => new[] { pair.Key, pair.Value })], inMessage, "");
    }

    [Fact]
    public void An_unknown_key_in_a_recipe_is_named_with_its_line_and_the_nearest()
    {
        string recipe = Write("recipe.yaml", "start:\n  kind: pretrained\n  model: base\ndata:\n  path: pairs.jsonl\n  promt: x\n");
        AssertMistake(["tune", recipe], "line 6", "prompt");
    }

    [Fact]
    public void A_recipe_of_the_other_command()
    {
        string random = Write("random.yaml", "start:\n  kind: random\n  architecture: base\n  tokenizer: base\ndata:\n  path: x.jsonl\n");
        AssertMistake(["tune", random], "random weights", "perenos pretrain");
        string pretrained = Write("pretrained.yaml", "start:\n  kind: pretrained\n  model: base\ndata:\n  path: x.jsonl\n");
        AssertMistake(["pretrain", pretrained], "pretrained model", "perenos tune");
    }

    [Fact]
    public void A_recipe_that_is_not_there() => AssertMistake(["tune", At("recipe.yaml")], "does not exist", "");

    [Fact]
    public void Data_that_are_not_utf8()
    {
        string path = At("latin1.jsonl");
        File.WriteAllBytes(path, [.. "{\"en\": \"Rain.\", \"fr\": \""u8, 0xE9, .. "\"}\n"u8]);
        AssertMistake(["tune", "--model", "base", "--data", path, "--runs", At("runs"), "--prompt", "{en}", "--completion", "{fr}"], "latin1.jsonl:1", "UTF-8");
    }

    [Fact]
    public void Data_of_an_unknown_kind() => AssertMistake(["tune", "--model", "base", "--data", Write("pairs.docx", "x"), "--runs", At("runs")], ".docx", ".jsonl");

    [Fact]
    public void A_missing_run_is_named_with_the_nearest()
    {
        WriteRun("bulletins", RunStatus.Interrupted);
        AssertMistake(["tune", "--resume", "buletins", "--runs", At("runs")], "buletins", "bulletins");
        AssertMistake(["runs", "show", "buletins", "--runs", At("runs")], "buletins", "bulletins");
        AssertMistake(["runs", "compare", "bulletins", "other", "--runs", At("runs")], "other", "");
    }

    [Fact]
    public void A_finished_run_is_not_resumed()
    {
        WriteRun("done", RunStatus.Finished);
        AssertMistake(["tune", "--resume", "done", "--runs", At("runs")], "finished", "perenos runs show");
    }

    [Fact]
    public void A_run_without_a_result_is_not_evaluated()
    {
        WriteRun("half", RunStatus.Interrupted);
        AssertMistake(["evaluate", At("runs/half"), "--data", Pairs()], "no result", "--resume");
    }

    [Fact]
    public void A_name_that_is_taken()
    {
        WriteRun("taken", RunStatus.Interrupted);
        AssertMistake(["tune", "--model", "base", "--data", Pairs(), "--name", "taken", "--runs", At("runs")], "taken", "--resume");
    }

    [Fact]
    public void A_folder_of_runs_that_is_a_file() =>
        AssertMistake(["tune", "--model", "base", "--data", Pairs(), "--runs", Write("file", "x")], "file", "");

    [Fact]
    public void Weights_that_were_cut_off()
    {
        string model = CopyOfBase();
        using (var stream = new FileStream(Path.Combine(model, "model.safetensors"), FileMode.Open))
            stream.SetLength(stream.Length / 2);
        AssertMistake(["generate", "--model", model, "hello"], "model.safetensors", "");
    }

    [Fact]
    public void A_tokenizer_that_is_missing()
    {
        string model = CopyOfBase();
        File.Delete(Path.Combine(model, "tokenizer.json"));
        AssertMistake(["generate", "--model", model, "hello"], "tokenizer.json", "");
    }

    [Fact]
    public void An_adapter_that_is_missing() => AssertMistake(["generate", "--model", "base", "--adapter", At("nowhere"), "hello"], "nowhere", "runs/NAME/adapter");

    [Fact]
    public void An_adapter_of_another_model()
    {
        Write("adapter/adapter_config.json", """{"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"], "task_type": "CAUSAL_LM"}""");
        using var down = torch.zeros(4, 16);
        using var up = torch.zeros(16, 4);
        SafetensorsWriter.Write(At("adapter/adapter_model.safetensors"),
        [
            ("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", down),
            ("base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight", up),
        ]);
        AssertMistake(["generate", "--model", "base", "--adapter", At("adapter"), "hello"], "q_proj", "");
    }

    [Theory]
    [InlineData("--temperature", "-1", "temperature")]
    [InlineData("--top-p", "0", "top_p")]
    [InlineData("--max-new-tokens", "0", "max_new_tokens")]
    public void Sampling_out_of_range(string option, string value, string inMessage) =>
        AssertMistake(["generate", "--model", "base", option, value, "hello"], inMessage, "Use");

    [Fact]
    public void Nothing_to_generate_from() => AssertMistake(["generate", "--model", "base", ""], "prompt", "");

    [Fact]
    public void Nothing_to_evaluate() => AssertMistake(["evaluate"], "Neither a run nor a model", "--model");

    [Fact]
    public void Nothing_to_evaluate_on() => AssertMistake(["evaluate", "--model", "base"], "nothing to score on", "--data");

    [Fact]
    public void An_overlap_larger_than_its_window() =>
        AssertMistake(["evaluate", "--model", "base", "--text", Write("a.txt", "Sunny."), "--window", "8", "--overlap", "9"], "--overlap 9", "");

    [Fact]
    public void A_tokenizer_file_that_is_missing_or_wrong()
    {
        AssertMistake(["tokenizer", "show", At("tokenizer.json"), "x"], "tokenizer.json", "");
        AssertMistake(["tokenizer", "show", Write("tokenizer.json", "{"), "x"], "tokenizer.json", "");
        AssertMistake(["tokenizer", "train", Write("a.txt", "Sunny."), "--vocabulary-size", "10", "--output", At("out.json")], "10 tokens", "257");
    }

    private static void AssertMistake(string[] arguments, string inMessage, string inHint)
    {
        var (output, error) = (Console.Out, Console.Error);
        using var captured = new StringWriter();
        int code;
        try
        {
            Console.SetError(captured);
            Console.SetOut(TextWriter.Null);
            // Program.cs itself: what it catches is part of what is tested.
            code = (int)typeof(CommandLine).Assembly.EntryPoint!.Invoke(null, [arguments])!;
        }
        finally
        {
            Console.SetOut(output);
            Console.SetError(error);
        }

        string text = captured.ToString();
        string[] lines = text.ReplaceLineEndings("\n").TrimEnd('\n').Split('\n');
        Assert.Equal((Failure.ExitCode, 2), (code, lines.Length));
        Assert.StartsWith("error: ", lines[0], StringComparison.Ordinal);
        Assert.StartsWith("hint: ", lines[1], StringComparison.Ordinal);
        Assert.Contains(inMessage, lines[0], StringComparison.Ordinal);
        Assert.Contains(inHint, lines[1], StringComparison.Ordinal);
        Assert.True(lines[1].Length > "hint: ".Length, "a hint should say something");
    }

    private string Pairs() => Write("pairs.jsonl", string.Concat(Enumerable.Range(0, 30).Select(row => $"{{\"en\": \"Sunny {row}.\", \"fr\": \"Ensoleillé {row}.\"}}\n")));

    private string CopyOfBase()
    {
        string model = Directory.CreateDirectory(At("model")).FullName;
        foreach (string file in Directory.EnumerateFiles(Pretrained.Resolve(Pretrained.BaseName)))
            File.Copy(file, Path.Combine(model, Path.GetFileName(file)));
        return model;
    }

    private void WriteRun(string name, RunStatus status)
    {
        using var folder = RunFolder.Create(At("runs"), name, "tune", "base", "pairs", TimeProvider.System);
        ConfigFile.Write(folder.Config, new RunConfig { Start = new PretrainedStart { Model = "base" }, Data = new DataConfig { Path = Pairs() } });
        new RunSummary { Name = name, Kind = "tune", Model = "base", Data = "pairs", Status = status, Started = DateTimeOffset.UnixEpoch }.Write(folder);
    }

    private string At(string name) => Path.Combine(_folder, name);

    private string Write(string name, string text)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(At(name))!);
        File.WriteAllText(At(name), text);
        return At(name);
    }
}
