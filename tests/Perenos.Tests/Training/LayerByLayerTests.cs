using Perenos.Runs.Config;
using Perenos.Text.Data;
using Perenos.Training;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Training;

/// <summary>Updates on the way back, layers that are drawn, and noise on the embedding, tensor by tensor.</summary>
public sealed class LayerByLayerTests
{
    public static TheoryData<string> Names => [.. TinyModel.Names];

    [Theory]
    [MemberData(nameof(Names))]
    public void Updates_on_the_way_back_are_those_after_it_bit_for_bit(string name)
    {
        using (var model = TinyModel.Start(name))
            Assert.SkipWhen(model.BalanceWeight != 0, "refused together with the balance of experts");
        var (after, losses, norm) = Weights(name, isOnTheWayBack: false);
        var (during, sameLosses, sameNorm) = Weights(name, isOnTheWayBack: true);
        Assert.Equal(losses, sameLosses);
        Assert.Equal(norm, sameNorm, 1e-9 * norm);
        Assert.Equal(after.Keys, during.Keys);
        Assert.All(after, weight => Assert.True(weight.Value.SequenceEqual(during[weight.Key]), weight.Key));
    }

    [Theory]
    [InlineData("llama")]
    [InlineData("llama tied")]
    [InlineData("gpt2")]
    public void On_the_way_back_no_more_than_one_layer_has_gradients(string name)
    {
        using var scope = NewDisposeScope();
        using var model = TinyModel.Start(name);
        foreach (var weight in model.Parts.Weights.Values)
            weight.requires_grad = true;
        List<HashSet<int?>> stages = [];
        Recomputation.Of(model, isLast =>
        {
            var present = model.Parts.Weights.Where(weight => weight.Value.grad is not null && !ReferenceEquals(weight.Value, model.Embedding.Weight)).ToList();
            stages.Add([.. present.Select(weight => LayerRates.LayerOf(weight.Key))]);
            present.ForEach(weight => weight.Value.grad = null);
        })(Batch.Of(Examples()), 0.1);
        Assert.Equal(model.Layers.Count + 2, stages.Count);
        Assert.All(stages, stage => Assert.True(stage.Count <= 1));
        Assert.Equal([1, 0], stages.Skip(1).Take(2).Select(stage => stage.Single()!.Value));
    }

    [Fact]
    public void Only_drawn_layers_learn_and_each_stretch_begins_with_fresh_moments()
    {
        using var scope = NewDisposeScope();
        using var model = TinyModel.Start("llama");
        var trainables = model.Parts.Weights.Select(weight => Trainable.Of(weight.Key, weight.Value)).ToList();
        trainables.ForEach(trainable => trainable.Tensor.requires_grad = true);
        // A seed whose first two draws differ.
        var sampling = Enumerable.Range(0, 50).Select(seed => new LayerSampling(new LisaConfig { ActiveLayers = 1, SwitchEvery = 3 }, model.Layers.Count, (ulong)seed))
            .First(sampling => !sampling.At(0).SetEquals(sampling.At(3)));
        const double Rate = 1e-3;
        var settings = new TrainingConfig { WeightDecay = 0, GradientClip = 0 };
        using var trainer = new Trainer(model, trainables, settings, new LearningRate(Rate, Schedule.Constant, 0, 6), sampling: sampling);
        var batch = Batch.Of(Examples());
        for (int step = 0; step < 6; step++)
        {
            var before = trainables.ConvertAll(trainable => trainable.Tensor.detach().clone());
            trainer.TakeStep([batch]);
            int drawn = sampling.At(step).Single();
            foreach (var (trainable, old) in trainables.Zip(before))
            {
                double moved = (trainable.Tensor.detach() - old).abs().max().item<float>();
                int? layer = LayerRates.LayerOf(trainable.Name);
                Assert.Equal(layer is null || layer == drawn, moved > 0);
                // Adam's first step is the rate, whatever the gradient; with old counts a fresh moment would give thrice as much.
                if (layer == drawn && step % 3 == 0)
                    Assert.Equal(Rate, moved, 0.01 * Rate);
            }

            Assert.DoesNotContain(trainer.State(), entry => LayerRates.LayerOf(entry.Name) is { } layer && layer != drawn);
        }
    }

    [Fact]
    public void Noise_is_within_its_bound_of_its_seed_and_only_in_a_step()
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        using var model = TinyModel.Start("llama");
        const double Alpha = 5;
        long[] ids = [.. TinyModel.Tokens(40, 1).Select(id => (long)id)];
        var tokens = tensor(ids, [2, 20]);
        Tensor Embedded() => model.Embed(tokens, model.Begin(tokens, null, null));
        var plain = Embedded();
        using (var noise = new EmbeddingNoise(model.Embedding, Alpha))
        {
            Tensor With(ulong? seed)
            {
                noise.Renew(seed);
                return Embedded();
            }

            double most = Alpha / Math.Sqrt(20 * plain.shape[2]);
            var difference = (With(1) - plain).abs();
            Assert.InRange(difference.max().item<float>(), 0.9 * most, 1.0001 * most);
            Assert.Equal(most / 2, difference.mean().item<float>(), 0.05 * most);
            Assert.True(With(1).equal(With(1)).all().item<bool>());
            Assert.False(With(1).equal(With(2)).all().item<bool>());
            Assert.True(With(null).equal(plain).all().item<bool>());
            noise.Renew(3);
            noise.IsSilent = true;
            Assert.True(Embedded().equal(plain).all().item<bool>());
        }

        using (var none = new EmbeddingNoise(model.Embedding, alpha: 0))
        {
            none.Renew(1);
            Assert.True(Embedded().equal(plain).all().item<bool>());
        }

        Assert.True(Embedded().equal(plain).all().item<bool>());
    }

    private static (Dictionary<string, byte[]> Weights, List<double> Losses, double Norm) Weights(string name, bool isOnTheWayBack)
    {
        using var scope = NewDisposeScope();
        using var model = TinyModel.Start(name);
        var trainables = model.Parts.Weights.Select(weight => Trainable.Of(weight.Key, weight.Value)).ToList();
        trainables.ForEach(trainable => trainable.Tensor.requires_grad = true);
        var settings = new TrainingConfig { GradientClip = 0, OptimizerInBackward = isOnTheWayBack };
        using var trainer = new Trainer(model, trainables, settings, new LearningRate(1e-2, Schedule.Constant, 0, 3), objective: Recomputation.Of(model));
        var reports = Enumerable.Range(0, 3).Select(_ => trainer.TakeStep([Batch.Of(Examples())])).ToList();
        return (trainables.ToDictionary(trainable => trainable.Name, trainable => trainable.Tensor.detach().bytes.ToArray()), [.. reports.Select(report => report.Loss)], reports[^1].GradientNorm);
    }

    private static Example[] Examples() => [.. Enumerable.Range(0, 4).Select(row =>
    {
        int[] ids = TinyModel.Tokens(4 + 2 * row, seed: (ulong)row);
        return new Example(ids, [.. ids.Select((_, place) => place > 0)], $"row {row}");
    })];
}
