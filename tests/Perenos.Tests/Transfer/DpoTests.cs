using Perenos.Models;
using Perenos.Recipes;
using Perenos.Runs.Config;
using Perenos.Text.Data;
using Perenos.Training;
using Perenos.Transfer;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Transfer;

/// <summary>Learning of preferences against the formula written out over whole logits, against finite differences, and in parts.</summary>
public sealed class DpoTests
{
    private static readonly DpoConfig Settings = new() { Beta = 0.3 };

    [Theory]
    [InlineData("llama", "full")]
    [InlineData("llama", "lora")]
    [InlineData("llama tied", "lora with head")]
    [InlineData("gpt2", "full")]
    public void Loss_margin_and_gradients_are_those_of_the_formula(string name, string method)
    {
        using var scope = NewDisposeScope();
        using var reference = TinyModel.Start(name, seed: 1);
        using var model = TinyModel.Start(name, seed: method == "full" ? 2UL : 1UL);
        using var lora = method == "full" ? null : RoughLora.On(model, method);
        var weights = lora?.Weights ?? model.Parts.Weights;
        foreach (var weight in weights.Values)
            weight.requires_grad = true;
        var pairs = Pairs(3);

        // ln p(answer), written out: every logit of every token.
        Tensor LogLikelihood(CausalModel of, Example example)
        {
            long[] ids = [.. example.Ids.Select(id => (long)id)];
            var tokens = tensor(ids, [1, ids.Length]);
            var logShares = of.Logits(of.Hidden(tokens)).squeeze(0).log_softmax(-1); // (T, V)
            var answer = Enumerable.Range(1, example.Ids.Length - 1).Where(place => example.IsLearnt[place]);
            return stack([.. answer.Select(place => logShares[place - 1, example.Ids[place]])]).sum();
        }

        var margins = stack([.. pairs.Select(pair =>
        {
            using var quiet = no_grad();
            double theirs = (LogLikelihood(reference, pair) - LogLikelihood(reference, pair.Rejected!)).item<float>();
            using var loud = enable_grad();
            return (LogLikelihood(model, pair) - LogLikelihood(model, pair.Rejected!)).Plus(-theirs).Times(Settings.Beta);
        })]);
        var loss = nn.functional.softplus(margins.neg()).mean();
        loss.backward();
        var expected = weights.ToDictionary(weight => weight.Key, weight => weight.Value.grad!.clone());
        foreach (var weight in weights.Values)
            weight.grad = null;

        var dpo = lora is null ? new Dpo(model, reference, Settings, () => null) : new Dpo(model, model, Settings, () => new BareBase(lora, noise: null));
        float[] found = dpo.Backward(Batch.Of(pairs), 1.0 / pairs.Length).data<float>().ToArray();
        Assert.Equal(loss.item<float>(), found[0], 1e-5);
        Assert.Equal(margins.mean().item<float>(), found[1], 1e-4);
        Assert.Equal(margins.data<float>().ToArray().Count(margin => margin > 0) / (double)pairs.Length, found[2], 1e-6);
        Assert.Equal(found[0], dpo.MeanLoss(pairs, batchTokens: 30), 1e-5);
        foreach (var (key, gradient) in expected)
            Near.Equal(gradient, weights[key].grad!, 5e-5 * Math.Max(1, gradient.abs().max().item<float>()), key);
    }

    [Fact]
    public void The_gradient_is_the_slope_of_the_loss()
    {
        using var scope = NewDisposeScope();
        using var reference = TinyModel.Start("llama", seed: 1);
        using var model = TinyModel.Start("llama", seed: 2);
        var weights = model.Parts.Weights.Values.ToList();
        weights.ForEach(weight => weight.requires_grad = true);
        var pairs = Pairs(2);
        var dpo = new Dpo(model, reference, Settings, () => null);
        dpo.Backward(Batch.Of(pairs), 0.5);
        var gradients = weights.ConvertAll(weight => weight.grad!.clone());
        double norm = Math.Sqrt(gradients.Sum(gradient => gradient.square().sum().item<float>()));

        // Along the gradient the slope is its norm.
        double LossAt(double step)
        {
            using var quiet = no_grad();
            foreach (var (weight, gradient) in weights.Zip(gradients))
                weight.Increase(gradient, step / norm);
            double loss = dpo.MeanLoss(pairs, 100);
            foreach (var (weight, gradient) in weights.Zip(gradients))
                weight.Increase(gradient, -step / norm);
            return loss;
        }

        const double Step = 3e-3;
        Assert.Equal(norm, (LossAt(Step) - LossAt(-Step)) / (2 * Step), 0.01 * norm);
    }

    [Fact]
    public void A_model_that_is_its_base_knows_no_preference_and_is_told_to_learn_one()
    {
        using var scope = NewDisposeScope();
        using var model = TinyModel.Start("llama");
        foreach (var weight in model.Parts.Weights.Values)
            weight.requires_grad = true;
        var pairs = Pairs(2);
        float[] found = new Dpo(model, model, Settings, () => null).Backward(Batch.Of(pairs), 0.5).data<float>().ToArray();
        // ln 2: a coin.
        Assert.Equal(Math.Log(2), found[0], 1e-6);
        Assert.Equal(0, found[1]);
        Assert.Equal(0, found[2]);
        Assert.True(model.Head.Weight.grad!.abs().max().item<float>() > 1e-3);
    }

    [Fact]
    public void A_step_cut_into_micro_batches_is_the_same_step()
    {
        using var scope = NewDisposeScope();
        using var reference = TinyModel.Start("llama", seed: 1);
        var pairs = Pairs(4);
        Assert.True(pairs.Select(pair => pair.LearntTokens).Distinct().Count() > 1);
        StepReport Step(IReadOnlyList<Batch> batches, out Tensor head)
        {
            using var model = TinyModel.Start("llama", seed: 2);
            var trainables = model.Parts.Weights.Select(weight => Trainable.Of(weight.Key, weight.Value)).ToList();
            trainables.ForEach(trainable => trainable.Tensor.requires_grad = true);
            var settings = new TrainingConfig { Optimizer = new SgdConfig(), GradientClip = 0 };
            using var trainer = new Trainer(model, trainables, settings, new LearningRate(0.1, Schedule.Constant, 0, 1), objective: new Dpo(model, reference, Settings, () => null).Backward);
            var report = trainer.TakeStep(batches);
            head = model.Head.Weight.detach().clone();
            return report;
        }

        var whole = Step([Batch.Of(pairs)], out var expected);
        var cut = Step([Batch.Of(pairs[..1]), Batch.Of(pairs[1..])], out var found);
        Assert.Equal(whole.Loss, cut.Loss, 1e-5);
        Assert.Equal(whole.Preference!.Value.Margin, cut.Preference!.Value.Margin, 1e-5);
        Assert.Equal(whole.Targets, cut.Targets);
        Near.Equal(expected, found, 1e-5, "head");
    }

    // Prompts of three tokens, answers of 2 to 9, the rejected one of another length.
    private static Example[] Pairs(int count) => [.. Enumerable.Range(0, count).Select(pair =>
        Answered(pair, 2 + 3 * pair % 7, 2 * pair) with { Rejected = Answered(pair, 3 + 2 * pair % 5, 2 * pair + 1) })];

    private static Example Answered(int pair, int length, int answer)
    {
        int[] ids = [.. TinyModel.Tokens(3, seed: (ulong)pair), .. TinyModel.Tokens(length, seed: 100 + (ulong)answer)];
        return new Example(ids, [.. ids.Select((_, place) => place >= 3)], $"pair {pair}");
    }
}
