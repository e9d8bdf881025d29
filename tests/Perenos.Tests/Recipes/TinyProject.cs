using System.Globalization;
using System.Text.Json.Nodes;
using Perenos.Recipes;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Text.Grammar;
using Perenos.Text.Tokenization;

namespace Perenos.Tests.Recipes;

/// <summary>A folder with all that a run needs: the sizes of a tiny Llama, a tokenizer trained on the data, weather sentences, general text.</summary>
internal sealed class TinyProject : IDisposable
{
    public const int TrainRecords = 20;
    public const int ValidationRecords = 6;
    public const int TestRecords = 3;
    public const int BatchSize = 4;
    public const int Width = 16, KeyValueWidth = 8, InnerWidth = 24, Layers = 2, Vocabulary = 320;
    private const ulong Seed = 7;

    private readonly string _root = Directory.CreateTempSubdirectory("perenos-project-").FullName;

    public TinyProject()
    {
        var sentences = WeatherGrammar.Split(Seed, TrainRecords, ValidationRecords, TestRecords);
        WriteRecords("data/train.jsonl", sentences.Train);
        WriteRecords("data/valid.jsonl", sentences.Validation);
        WriteRecords("data/test.jsonl", sentences.Test);
        string[] general = ["A short walk by the river.", "Une courte promenade au bord de la rivière.", "Ten green bottles stood on the wall."];
        Write("general.jsonl", string.Concat(general.Select(text => new JsonObject { ["text"] = text }.ToJsonString() + "\n")));

        Directory.CreateDirectory(PathOf("model"));
        var tokenizer = BpeTrainer.Train(sentences.Train.SelectMany(pair => new[] { pair.English, pair.French }),
            new BpeTrainerSettings { VocabularySize = Vocabulary, SpecialTokens = ["<|im_end|>", "<|im_start|>"] });
        tokenizer.Save(PathOf("model/tokenizer.json"));
        Write("model/config.json", string.Create(CultureInfo.InvariantCulture, $$"""
            {
              "model_type": "llama", "vocab_size": {{Vocabulary}}, "hidden_size": {{Width}}, "intermediate_size": {{InnerWidth}},
              "num_hidden_layers": {{Layers}}, "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 192,
              "hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": true, "eos_token_id": 0, "dtype": "float32"
            }
            """));
    }

    public string Runs => PathOf("runs");

    /// <summary>A run of six steps from random weights.</summary>
    public RunConfig Config(MethodConfig method) => new()
    {
        Start = new RandomStart { Architecture = PathOf("model/config.json"), Tokenizer = PathOf("model/tokenizer.json") },
        Data = new DataConfig { Path = PathOf("data"), Prompt = "English: {en}\nFrench:", Completion = " {fr}", MaximumLength = 160 },
        Method = method,
        Training = new TrainingConfig { MaximumSteps = 6, BatchSize = BatchSize, MicroBatchSize = 2, LearningRate = 1e-2, ValidateEvery = 2, SaveEvery = 2 },
        Evaluation = new EvaluationConfig { Reference = PathOf("general.jsonl"), Resamples = 20, Generation = new GenerationConfig { MaxNewTokens = 8 } },
        Seed = Seed,
        Dtype = "float32",
    };

    /// <summary>The same sentences as conversations, for a model with a chat template.</summary>
    public RunConfig ChatConfig(MethodConfig method)
    {
        Write("model/tokenizer_config.json", """
            {"chat_template": "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"}
            """);
        foreach (string part in new[] { "train", "valid", "test" })
        {
            Write($"chat/{part}.jsonl", string.Concat(File.ReadLines(PathOf($"data/{part}.jsonl")).Select(line => JsonNode.Parse(line)!).Select(pair => new JsonObject
            {
                ["messages"] = new JsonArray(
                    new JsonObject { ["role"] = "user", ["content"] = pair["en"]!.ToString() },
                    new JsonObject { ["role"] = "assistant", ["content"] = pair["fr"]!.ToString() }),
            }.ToJsonString() + "\n")));
        }

        var config = Config(method);
        return config with { Data = new DataConfig { Path = PathOf("chat"), MaximumLength = config.Data.MaximumLength } };
    }

    public RunResult Run(RunConfig config, string name, Action<RunEvent>? happened = null, CancellationTokenSource? stop = null)
    {
        using var folder = RunFolder.Create(Runs, name, "tune", "tiny", "weather", TimeProvider.System);
        return FineTune.Run(config, folder, Listener(happened), stop?.Token ?? CancellationToken.None);
    }

    /// <summary>A run that its user stops in a step.</summary>
    public void Interrupt(RunConfig config, string name, int atStep)
    {
        using var stop = new CancellationTokenSource();
        Run(config, name, happened =>
        {
            if (happened is RunEvent.Step step && step.Number == atStep)
                stop.Cancel();
        }, stop);
    }

    public RunResult Resume(string name, Action<RunEvent>? happened = null, CancellationTokenSource? stop = null)
    {
        using var folder = RunFolder.Resume(name, Runs);
        return FineTune.Resume(folder, Listener(happened), stop?.Token ?? CancellationToken.None);
    }

    public StagedResult RunStages(StagedConfig config, string name, Action<string>? announce = null, Action<RunEvent>? happened = null, CancellationTokenSource? stop = null)
    {
        using var folder = RunFolder.Create(Runs, name, "stages", "tiny", "weather", TimeProvider.System);
        return FineTuneInStages.Run(config, folder, Listener(happened), announce ?? (_ => { }), stop?.Token ?? CancellationToken.None);
    }

    public StagedResult ResumeStages(string name, Action<string>? announce = null)
    {
        using var folder = RunFolder.Resume(name, Runs);
        return FineTuneInStages.Resume(folder, Listener(null), announce ?? (_ => { }), CancellationToken.None);
    }

    public RunFolder Open(string name) => RunFolder.Open(name, Runs);

    public string PathOf(string name) => Path.Combine(_root, name);

    public string Write(string name, string text)
    {
        string path = PathOf(name);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        File.WriteAllText(path, text);
        return path;
    }

    public void Dispose() => Directory.Delete(_root, recursive: true);

    private static RunListener Listener(Action<RunEvent>? happened) => new(TimeProvider.System, happened ?? (_ => { }), (_, _, _) => { });

    private void WriteRecords(string name, IEnumerable<SentencePair> pairs) =>
        Write(name, string.Concat(pairs.Select(pair => new JsonObject { ["en"] = pair.English, ["fr"] = pair.French }.ToJsonString() + "\n")));
}
