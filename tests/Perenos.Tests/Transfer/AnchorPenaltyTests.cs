using Perenos.Kernels;
using Perenos.Runs.Config;
using Perenos.Training;
using Perenos.Transfer;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Transfer;

/// <summary>The pull towards the start: its arithmetic, its two ends (no strength, endless strength), and the budget that steers it.</summary>
public sealed class AnchorPenaltyTests
{
    private const int Steps = 12;

    [Theory]
    [InlineData(false, false)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    [InlineData(true, true)]
    public void Every_width_equals_the_torch_form(bool isHalf, bool isPlain)
    {
        using var scope = NewDisposeScope();
        using var generator = new Generator(3);
        const int length = 70_003;
        Tensor Random() => randn(length, generator: generator);
        var (start, anchor, importance) = (Random(), Random(), Random().square());
        if (isHalf)
            (anchor, importance) = (anchor.to(ScalarType.BFloat16), importance.to(ScalarType.BFloat16));
        var share = isPlain ? null : importance;
        var expected = start.clone();
        double energy = AnchorPull.StepWithTorch(expected, null, share, anchor, 0.7, 0);
        void Compare(Tensor moved, double found)
        {
            Near.Equal(expected, moved, 1e-6, "weight");
            Assert.Equal(energy, found, 1e-5 * energy);
        }

        var weight = start.clone();
        var copy = zeros(length, ScalarType.BFloat16);
        Compare(weight, AnchorPull.Step(weight, copy, share, anchor, 0.7, 0));
        Assert.True(copy.equal(weight.to(ScalarType.BFloat16)).all().item<bool>());
        foreach (var step in new Func<Tensor, double>[]
        {
            moved => AnchorPull.StepAtWidth<Floats1>(moved, share, anchor, 0.7), moved => AnchorPull.StepAtWidth<Floats128>(moved, share, anchor, 0.7),
            moved => AnchorPull.StepAtWidth<Floats256>(moved, share, anchor, 0.7), moved => AnchorPull.StepAtWidth<Floats512>(moved, share, anchor, 0.7),
        })
        {
            var moved = start.clone();
            Compare(moved, step(moved));
            Assert.True(moved.equal(weight).all().item<bool>(), "widths must agree to the bit");
        }
    }

    [Fact]
    public void One_step_by_hand()
    {
        using var scope = NewDisposeScope();
        var weight = torch.tensor(new[] { 2f, 2f, 2f });
        // a = strength · F = 1, 3, 0: θ = (2 + a · 1) / (1 + a) = 1.5, 1.25, 2; ½ Σ F (θ − 1)² = (1 · 0.25 + 3 · 0.0625 + 0) / 2 / 0.5 with F = a / 0.5.
        double energy = AnchorPull.Step(weight, null, torch.tensor(new[] { 2f, 6f, 0f }), ones(3), 0.5, 0);
        Assert.Equal([1.5f, 1.25f, 2f], weight.data<float>().ToArray());
        Assert.Equal((2 * 0.25 + 6 * 0.0625) / 2, energy, 1e-6);
    }

    [Theory]
    [InlineData(PenaltyForm.Decoupled)]
    [InlineData(PenaltyForm.InLoss)]
    public void Without_strength_a_run_is_the_plain_run_bit_for_bit(PenaltyForm form)
    {
        var plain = Train(null, ScalarType.Float32);
        Assert.Equal(plain, Train(new L2SpConfig { Lambda = 0, Form = form }, ScalarType.Float32));
        Assert.Equal(plain, Train(new EwcConfig { Fisher = "", Lambda = 0, Form = form }, ScalarType.Float32));
    }

    [Theory]
    [InlineData(ScalarType.Float32)]
    [InlineData(ScalarType.BFloat16)]
    public void With_endless_strength_nothing_moves(ScalarType type)
    {
        var start = Train(null, type, steps: 0);
        Assert.Equal(start, Train(new L2SpConfig { Lambda = 1e30 }, type));
        Assert.Equal(start, Train(new EwcConfig { Fisher = "", Lambda = 1e30 }, type));
        Assert.NotEqual(start, Train(new EwcConfig { Fisher = "", Lambda = 1 }, type));
    }

    [Theory]
    [InlineData(ScalarType.Float32)]
    [InlineData(ScalarType.BFloat16)]
    public void Layers_that_are_drawn_have_the_same_two_ends(ScalarType type)
    {
        var plain = Train(null, type, isSampled: true);
        Assert.Equal(plain, Train(new EwcConfig { Fisher = "", Lambda = 0 }, type, isSampled: true));
        Assert.NotEqual(plain, Train(new EwcConfig { Fisher = "", Lambda = 100 }, type, isSampled: true));
        Assert.Equal(Train(null, type, steps: 0), Train(new EwcConfig { Fisher = "", Lambda = 1e30 }, type, isSampled: true));
    }

    [Theory]
    [InlineData(PenaltyForm.Decoupled)]
    [InlineData(PenaltyForm.InLoss)]
    public void A_forecast_counts_the_layers_at_rest(PenaltyForm form)
    {
        for (int steps = 1; steps <= Steps; steps++)
        {
            Train(new EwcConfig { Fisher = "", Lambda = 1, Form = form }, ScalarType.Float32, steps, isSampled: true, afterLast: (penalty, report) =>
                Assert.Equal(1, report.Pull!.Value.Forecast!.Value / penalty!.Energy(), 1e-9));
        }
    }

    [Fact]
    public void More_strength_stays_nearer_to_the_start()
    {
        double Distance(double strength)
        {
            double distance = 0;
            Train(new EwcConfig { Fisher = "", Lambda = strength }, ScalarType.Float32, after: penalty => distance = penalty!.Energy());
            return distance;
        }

        double[] distances = [.. new[] { 0.0, 1, 100, 1e4 }.Select(Distance)];
        Assert.Equal(distances.OrderDescending(), distances);
        Assert.True(distances[0] > 2 * distances[^1]);
    }

    [Fact]
    public void A_budget_steers_the_strength_until_the_forecast_keeps_to_it()
    {
        double free = 0;
        Train(new EwcConfig { Fisher = "", Lambda = 0 }, ScalarType.Float32, steps: 200, after: penalty => free = penalty!.Energy());
        double budget = free / 10;
        Train(new EwcConfig { Fisher = "", Lambda = 1, ForgetAtMost = budget }, ScalarType.Float32, steps: 200, after: penalty =>
        {
            Assert.InRange(penalty!.Energy(), 0.2 * budget, 1.3 * budget);
            Assert.NotEqual(1, penalty.Strength);
        });
    }

    [Theory]
    [InlineData(1, 2, 1.2214028)]
    [InlineData(1, 100, 1.2214028)]
    [InlineData(1, 1, 1)]
    [InlineData(1, 0, 0.8187308)]
    [InlineData(1e12, 9, 1e12)]
    public void A_budget_moves_the_strength_by_a_fifth_at_most(double strength, double forecast, double expected) =>
        Assert.Equal(expected, new ForgettingBudget(1).Next(strength, forecast), 1e-6 * expected);

    // Bits of all weights after so many steps on one batch; an importance of 1e-3 to 1 everywhere.
    private static List<string> Train(
        PenaltyConfig? settings, ScalarType type, int steps = Steps, Action<AnchorPenalty?>? after = null, bool isSampled = false, Action<AnchorPenalty?, StepReport>? afterLast = null)
    {
        using var scope = NewDisposeScope();
        using var model = TinyModel.Start("llama", type: type);
        var trainables = model.Parts.Weights.Select(weight => Trainable.Of(weight.Key, weight.Value, model.Parts.NormWeights.Contains(weight.Key))).ToList();
        foreach (var trainable in trainables)
            trainable.Tensor.requires_grad = true;
        var importance = settings is EwcConfig ? PenaltyTraining.Importance(model) : null;
        using var penalty = settings is null ? null : new AnchorPenalty(trainables, importance, settings);
        using var trainer = new Trainer(model, trainables, new TrainingConfig { WeightDecay = 0 }, new LearningRate(1e-3, Schedule.Constant, 0, 1000), penalty, sampling: isSampled ? new LayerSampling(new LisaConfig { ActiveLayers = 1, SwitchEvery = 2 }, model.Layers.Count, seed: 1) : null);
        var last = PenaltyTraining.TakeSteps(trainer, steps);
        after?.Invoke(penalty);
        afterLast?.Invoke(penalty, last);
        return PenaltyTraining.Bits(trainables);
    }
}
