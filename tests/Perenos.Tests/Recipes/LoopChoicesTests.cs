using Perenos.Checkpoints;
using Perenos.Models;
using Perenos.Recipes;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Testing;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Recipes;

/// <summary>Parts that learn, layers that are drawn, noise, updates on the way back, bfloat16 without master copies: on the whole road.</summary>
public sealed class LoopChoicesTests : IDisposable
{
    private readonly TinyProject _project = new();

    public static TheoryData<string> Choices => ["only", "lisa", "lisa in bfloat16", "lisa on the way back", "noise", "noise on a lora", "on the way back", "stochastic rounding"];

    public void Dispose() => _project.Dispose();

    [Theory]
    [MemberData(nameof(Choices))]
    public void Every_choice_is_resumed_bit_for_bit(string choice)
    {
        var config = Choice(choice);
        _project.Run(config, "straight");
        _project.Interrupt(config, "interrupted", atStep: 3);
        _project.Resume("interrupted");
        RunComparison.Equal(_project.Open("straight"), _project.Open("interrupted"));
        _project.Run(_project.Config(config.Method) with { Dtype = config.Dtype, Training = _project.Config(config.Method).Training with { GradientClip = config.Training.GradientClip, MicroBatchSize = config.Training.MicroBatchSize } }, "plain");
        if (choice is "noise" or "noise on a lora" or "stochastic rounding")
            Assert.NotEqual(RunComparison.Steps(_project.Open("plain"))[^1].Loss, RunComparison.Steps(_project.Open("straight"))[^1].Loss);
    }

    [Fact]
    public void Only_the_named_parts_change_by_a_bit()
    {
        var config = _project.Config(new FullConfig { Only = ["layers.1", "re:.*layers\\.0\\.self_attn\\.(q|k)_proj\\.weight"] });
        var result = _project.Run(config, "run");
        using var start = Start(config);
        using var saved = SafetensorsFile.Open(Path.Combine(_project.Open("run").Model, "model.safetensors"));
        var changed = start.Model.Parts.Weights.Where(weight => !saved.Read(weight.Key).equal(weight.Value).all().item<bool>()).Select(weight => weight.Key).ToList();
        Assert.Equal(start.Model.Parts.Weights.Keys.Where(name => name.Contains("layers.1.", StringComparison.Ordinal) || name.Contains("layers.0.self_attn.q", StringComparison.Ordinal) || name.Contains("layers.0.self_attn.k", StringComparison.Ordinal)), changed);
        Assert.NotEmpty(changed);
        Assert.True(result.Summary.LastLoss < result.Summary.FirstLoss);
    }

    [Fact]
    public void Naming_everything_is_the_plain_run()
    {
        _project.Run(_project.Config(new FullConfig()), "plain");
        _project.Run(_project.Config(new FullConfig { Only = ["model"] }), "named");
        RunComparison.Equal(_project.Open("plain"), _project.Open("named"));
    }

    [Fact]
    public void Lisa_with_every_layer_and_no_switch_is_the_plain_run()
    {
        _project.Run(_project.Config(new FullConfig()), "plain");
        _project.Run(_project.Config(new LisaConfig { ActiveLayers = TinyProject.Layers, SwitchEvery = 100 }), "lisa");
        Assert.Equal(RunComparison.Steps(_project.Open("plain")), RunComparison.Steps(_project.Open("lisa")));
        Assert.Equal(File.ReadAllBytes(Path.Combine(_project.Open("plain").Model, "model.safetensors")), File.ReadAllBytes(Path.Combine(_project.Open("lisa").Model, "model.safetensors")));
    }

    [Theory]
    [InlineData("noise")]
    [InlineData("dropout")]
    public void What_is_validated_is_not_random(string chance)
    {
        // So small a rate changes no prediction: what is left would be chance.
        var config = _project.Config(chance == "noise" ? new FullConfig() : new LoraConfig { Rank = 2, Dropout = 0.5 });
        config = config with { Training = config.Training with { LearningRate = 1e-30, EmbeddingNoise = chance == "noise" ? 50 : 0 } };
        _project.Run(config, "run");
        var losses = RunComparison.Validations(_project.Open("run")).Select(validation => validation.Loss).ToList();
        Assert.True(losses.Count > 2);
        Assert.All(losses, loss => Assert.Equal(losses[0], loss));
    }

    [Theory]
    [InlineData("clip", "gradient_clip")]
    [InlineData("micro-batches", "micro_batch_size")]
    [InlineData("adapter", "method lora")]
    [InlineData("penalty", "in_loss")]
    [InlineData("part", "no weight has layers.7")]
    [InlineData("layers", "active_layers")]
    [InlineData("more layers than there are", "active_layers = 3")]
    [InlineData("switch", "switch_every")]
    [InlineData("noise", "embedding_noise")]
    public void What_has_no_meaning_is_refused_before_training(string mistake, string expected)
    {
        var backward = Choice("on the way back");
        var pretrained = new PretrainedStart { Model = "x" };
        var config = mistake switch
        {
            "clip" => backward with { Training = backward.Training with { GradientClip = 1 } },
            "micro-batches" => backward with { Training = backward.Training with { MicroBatchSize = 2 } },
            "adapter" => backward with { Method = new LoraConfig() },
            "penalty" => backward with { Start = pretrained, Retention = new RetentionConfig { Penalty = new L2SpConfig { Form = PenaltyForm.InLoss } } },
            "part" => _project.Config(new FullConfig { Only = ["layers.1", "layers.7"] }),
            "layers" => _project.Config(new LisaConfig { ActiveLayers = 0 }),
            "more layers than there are" => _project.Config(new LisaConfig { ActiveLayers = 3 }),
            "switch" => _project.Config(new LisaConfig { SwitchEvery = 0 }),
            _ => backward with { Training = backward.Training with { EmbeddingNoise = -1 } },
        };
        Assert.Contains(expected, Assert.Throws<PerenosException>(() => PreparedRun.Open(config, stop: TestContext.Current.CancellationToken)).Message, StringComparison.Ordinal);
    }

    private RunConfig Choice(string choice)
    {
        RunConfig With(MethodConfig method, Func<TrainingConfig, TrainingConfig> change, string dtype = "float32")
        {
            var config = _project.Config(method);
            return config with { Training = change(config.Training), Dtype = dtype };
        }

        static TrainingConfig OnTheWayBack(TrainingConfig training) => training with { OptimizerInBackward = true, GradientClip = 0, MicroBatchSize = null };
        var lisa = new LisaConfig { ActiveLayers = 1, SwitchEvery = 2 };
        return choice switch
        {
            "only" => With(new FullConfig { Only = ["layers.1", "norm"] }, training => training),
            "lisa" => With(lisa, training => training),
            "lisa in bfloat16" => With(lisa, training => training, "bfloat16"),
            "lisa on the way back" => With(lisa, OnTheWayBack),
            "noise" => With(new FullConfig(), training => training with { EmbeddingNoise = 5 }),
            "noise on a lora" => With(new LoraConfig { Rank = 2 }, training => training with { EmbeddingNoise = 5 }),
            "on the way back" => With(new FullConfig(), OnTheWayBack),
            _ => With(new FullConfig(), training => training with { Optimizer = new AdamWConfig { StochasticRounding = true } }, "bfloat16"),
        };
    }

    private static Pretrained Start(RunConfig config)
    {
        var start = (RandomStart)config.Start;
        return Pretrained.Start(start.Architecture, start.Tokenizer, config.Seed, ScalarType.Float32);
    }
}
