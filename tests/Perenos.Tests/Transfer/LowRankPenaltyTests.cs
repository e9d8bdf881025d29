using Perenos.Adapters;
using Perenos.Models;
using Perenos.Runs;
using Perenos.Runs.Config;
using Perenos.Training;
using Perenos.Transfer;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Transfer;

/// <summary>The pull of a LoRA's product: its gradient, its proximal step, its two ends, and that it means what the pull of merged weights means.</summary>
public sealed class LowRankPenaltyTests
{
    private const int Steps = 12;

    [Theory]
    [InlineData("llama")]
    [InlineData("gpt2")]
    public void The_gradient_in_the_loss_is_that_of_finite_differences(string name)
    {
        const double lambda = 3, distance = 1e-2;
        using var scope = NewDisposeScope();
        using var model = TinyModel.Start(name);
        using var adapter = Moved(model);
        using var penalty = new LowRankPenalty(adapter, PenaltyTraining.Importance(model), new EwcConfig { Fisher = "", Lambda = lambda, Form = PenaltyForm.InLoss });
        Assert.Equal(lambda * penalty.Energy(), penalty.AddToGradients(), 1e-9);
        int compared = 0;
        using var quiet = no_grad();
        foreach (var weight in adapter.Weights.Values.Take(6))
        {
            using var gradient = weight.grad!;
            double At(double shift)
            {
                weight.view(-1)[1].add_(shift);
                double value = lambda * penalty.Energy();
                weight.view(-1)[1].sub_(shift);
                return value;
            }

            // The energy is a square in each number: central differences are exact up to rounding.
            double expected = (At(distance) - At(-distance)) / (2 * distance);
            Assert.Equal(expected, gradient.view(-1)[1].item<float>(), 1e-3 * Math.Abs(expected) + 1e-5);
            compared++;
        }

        Assert.Equal(6, compared);
    }

    [Fact]
    public void After_the_step_each_factor_stands_at_the_least_of_distance_and_penalty()
    {
        const double rate = 0.1, lambda = 40;
        using var scope = NewDisposeScope();
        using var model = TinyModel.Start("llama");
        using var adapter = Moved(model);
        using var penalty = new LowRankPenalty(adapter, PenaltyTraining.Importance(model), new EwcConfig { Fisher = "", Lambda = lambda });
        using var inLoss = new LowRankPenalty(adapter, PenaltyTraining.Importance(model), new EwcConfig { Fisher = "", Lambda = lambda, Form = PenaltyForm.InLoss });
        using var quiet = no_grad();
        foreach (var (name, weight) in adapter.Weights.Take(4))
        {
            var before = weight.clone();
            penalty.AfterUpdate(Trainable.Of(name, weight), weight, null, rate, 0);
            inLoss.AddToGradients();
            using var gradient = weight.grad!;
            // x = argmin |x − x₀|² / 2 + rate · penalty(x), so x₀ − x = rate · gradient at x.
            Near.Equal(before - weight, gradient.mul(rate), 1e-5, name);
            Assert.True((before - weight).abs().max().item<float>() > 1e-3, "the step must be visible");
            foreach (var other in adapter.Weights.Values)
                other.grad = null;
        }
    }

    [Theory]
    [InlineData("llama")]
    [InlineData("gpt2")]
    public void The_forecast_is_that_of_the_merged_weights(string name)
    {
        using var scope = NewDisposeScope();
        using var model = TinyModel.Start(name);
        var trainables = model.Parts.Weights.Select(weight => Trainable.Of(weight.Key, weight.Value)).ToList();
        var importance = PenaltyTraining.Importance(model);
        using var whole = new AnchorPenalty(trainables, importance, new EwcConfig { Fisher = "" });
        using var adapter = Moved(model);
        using var penalty = new LowRankPenalty(adapter, importance, new EwcConfig { Fisher = "" });
        double expected = penalty.Energy();
        Assert.True(expected > 1e-3);
        adapter.Merge();
        Assert.Equal(expected, whole.Energy(), 1e-4 * expected);
    }

    [Theory]
    [InlineData(PenaltyForm.Decoupled)]
    [InlineData(PenaltyForm.InLoss)]
    public void Without_strength_a_run_is_the_plain_run_bit_for_bit(PenaltyForm form)
    {
        var plain = Train(null);
        Assert.Equal(plain, Train(new L2SpConfig { Lambda = 0, Form = form }));
        Assert.Equal(plain, Train(new EwcConfig { Fisher = "", Lambda = 0, Form = form }));
    }

    [Fact]
    public void With_endless_strength_the_product_stays_at_nothing()
    {
        double Energy(double strength)
        {
            double energy = 0;
            Train(new EwcConfig { Fisher = "", Lambda = strength }, after: penalty => energy = penalty!.Energy());
            return energy;
        }

        double[] energies = [.. new[] { 0, 1, 100, 1e4, 1e30 }.Select(Energy)];
        Assert.Equal(energies.OrderDescending(), energies);
        // Squares of what is left beside a plain run: nothing that a float32 sum with a weight would keep.
        Assert.True(energies[^1] < 1e-16 * energies[0], $"{energies[^1]} of {energies[0]}");
    }

    [Fact]
    public void A_budget_steers_the_strength_until_the_forecast_keeps_to_it()
    {
        double free = 0;
        Train(new EwcConfig { Fisher = "", Lambda = 0 }, steps: 120, after: penalty => free = penalty!.Energy());
        double budget = free / 10;
        Train(new EwcConfig { Fisher = "", Lambda = 1, ForgetAtMost = budget }, steps: 120, after: penalty => Assert.InRange(penalty!.Energy(), 0.1 * budget, 1.3 * budget));
    }

    [Fact]
    public void What_the_product_does_not_hold_is_refused()
    {
        using var scope = NewDisposeScope();
        using var model = TinyModel.Start("llama");
        using var adapter = Lora.Start(model.Parts, new LoraConfig { Rank = 2, TrainableTokens = [3] }, seed: 1);
        Assert.Contains("retention.penalty", Assert.Throws<PerenosException>(() => new LowRankPenalty(adapter, null, new L2SpConfig())).Message, StringComparison.Ordinal);
    }

    // A LoRA that has learnt something: B is not 0.
    private static Adapter Moved(CausalModel model)
    {
        using var quiet = no_grad();
        using var generator = new Generator(9);
        var adapter = Lora.Start(model.Parts, new LoraConfig { Rank = 3, Alpha = 6 }, seed: 1);
        foreach (var weight in adapter.Weights.Values)
            weight.copy_(randn(weight.shape, generator: generator).mul(0.3));
        return adapter;
    }

    // Bits of the adapter after so many steps on one batch.
    private static List<string> Train(PenaltyConfig? settings, int steps = Steps, Action<LowRankPenalty?>? after = null)
    {
        using var scope = NewDisposeScope();
        using var model = TinyModel.Start("llama");
        using var adapter = Lora.Start(model.Parts, new LoraConfig { Rank = 4 }, seed: 1);
        var trainables = adapter.Weights.Select(weight => Trainable.Of(weight.Key, weight.Value)).ToList();
        foreach (var trainable in trainables)
            trainable.Tensor.requires_grad = true;
        using var penalty = settings is null ? null : new LowRankPenalty(adapter, settings is EwcConfig ? PenaltyTraining.Importance(model) : null, settings);
        using var trainer = new Trainer(model, trainables, new TrainingConfig { WeightDecay = 0 }, new LearningRate(1e-2, Schedule.Constant, 0, 1000), penalty);
        PenaltyTraining.TakeSteps(trainer, steps);
        after?.Invoke(penalty);
        return PenaltyTraining.Bits(trainables);
    }
}
