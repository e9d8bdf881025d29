using Perenos.Recipes;
using Perenos.Runs;
using Perenos.Runs.Config;
using Xunit;

namespace Perenos.Tests.Recipes;

/// <summary>What a run says of its virtual tokens: where they stand, what they start from, and whether they learnt at all.</summary>
public sealed class VirtualTokenRunTests : IDisposable
{
    private readonly TinyProject _project = new();

    public static TheoryData<string> Methods => ["prompt", "prefix", "p-tuning"];

    public void Dispose() => _project.Dispose();

    [Theory]
    [MemberData(nameof(Methods))]
    public void Where_they_stand_is_logged_at_every_validation_and_told_at_the_end(string method)
    {
        var result = _project.Run(Config(MethodOf(method), learningRate: 1e-2), "run");
        var told = EventLog.Read(_project.Open("run").Events).OfType<RunEvent.VirtualTokens>().ToList();
        Assert.Equal([0, 2, 4, 6], told.Select(happened => happened.Number));
        Assert.Equal(0, told[0].Moved, 1e-6);
        Assert.True(told[^1].Moved > 0);
        // Keys and values stand among no tokens; a prompt starts on real ones, and a network's output anywhere.
        Assert.Equal(method == "prefix", told[0].Distance is null);
        Assert.True(method != "prompt" || told[0].Distance < 1e-3);
        Assert.Equal(method == "prefix" ? 0 : 4, result.NearestTokens.Count);
        Assert.Contains(result.Report!.Verdict, finding => finding.Sentence.Contains("moved from their start", StringComparison.Ordinal));
    }

    [Theory]
    [MemberData(nameof(Methods))]
    public void A_flat_curve_is_said_aloud(string method)
    {
        var report = _project.Run(Config(MethodOf(method), learningRate: 1e-9), "flat").Report!;
        Assert.Contains(report.Verdict, finding => finding.Figure == "flat" && finding.Sentence.Contains("learnt nothing", StringComparison.Ordinal));
        Assert.DoesNotContain(_project.Run(Config(new LoraConfig(), learningRate: 1e-9), "lora").Report!.Verdict, finding => finding.Figure == "flat");
    }

    [Fact]
    public void Class_labels_start_one_vector_each()
    {
        using var run = PreparedRun.Open(Config(new PromptConfig { VirtualTokens = 4, Labels = ["rain", "Sunny intervals"] }, learningRate: 1), stop: TestContext.Current.CancellationToken);
        var rows = run.Pretrained.Model.Embedding.Weight;
        var vectors = run.Adapter!.Weights["prompt_embeddings"];
        int[] label = run.Pretrained.Tokenizer.Encode("Sunny intervals");
        Assert.True(label.Length > 1);
        using var expected = TorchSharp.torch.stack([.. label.Select(token => rows[token])]).mean([0]);
        Near.Equal(expected, vectors[1], 1e-6, "second label");
        var mistake = Assert.Throws<PerenosException>(() => PreparedRun.Open(Config(new PromptConfig { VirtualTokens = 1, Labels = ["a", "b"] }, learningRate: 1), stop: TestContext.Current.CancellationToken));
        Assert.Contains("method.labels", mistake.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_rate_and_the_epochs_are_the_methods_where_none_are_given()
    {
        var config = Config(new PrefixConfig { VirtualTokens = 4 }, learningRate: 1);
        using var run = PreparedRun.Open(config with { Training = config.Training with { LearningRate = null, Epochs = null } }, stop: TestContext.Current.CancellationToken);
        using var start = run.Adapter!.Weights["prompt_embeddings"].square().mean();
        Assert.Equal(new PrefixConfig().DefaultLearningRate * Math.Sqrt(start.item<float>()), run.Config.Training.LearningRate!.Value, 1e-6);
        Assert.Equal(new PrefixConfig().DefaultEpochs, run.Config.Training.Epochs);
        Assert.DoesNotContain(run.Trainables, trainable => trainable.Decays);
    }

    private static MethodConfig MethodOf(string name) => name switch
    {
        "prompt" => new PromptConfig { VirtualTokens = 4 },
        "prefix" => new PrefixConfig { VirtualTokens = 4 },
        _ => new PTuningConfig { VirtualTokens = 4 },
    };

    private RunConfig Config(MethodConfig method, double learningRate)
    {
        var config = _project.Config(method);
        return config with { Training = config.Training with { LearningRate = learningRate }, Evaluation = config.Evaluation with { TestRecords = 0 } };
    }
}
