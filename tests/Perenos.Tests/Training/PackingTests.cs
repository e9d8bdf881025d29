using Perenos.Models;
using Perenos.Runs.Config;
using Perenos.Text.Data;
using Perenos.Training;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Training;

/// <summary>Rows that several examples share, and layers that are computed twice: both give the loss and the gradients of the plain way, in every family.</summary>
public sealed class PackingTests
{
    // Sums over the same tokens in another order, relative to the largest gradient of the tensor.
    private const double Tolerance = 5e-5;

    public static TheoryData<string> Names => [.. TinyModel.Names];

    [Theory]
    [MemberData(nameof(Names))]
    public void Packed_rows_equal_padded_ones(string name)
    {
        using (var model = TinyModel.Start(name))
            Assert.SkipWhen(model.BalanceWeight != 0, "the balance of experts counts the last token of a padded row, from which nothing is predicted and which a packed row leaves out");
        var examples = Examples(7);
        var packed = Batch.Pack(examples, 20);
        Assert.True(packed.Rows < examples.Length, "something must share a row");
        Compare(name, Batch.Of(examples), CrossEntropy.Of, packed, CrossEntropy.Of);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Layers_computed_again_give_the_same_gradients(string name)
    {
        using (var model = TinyModel.Start(name))
            Assert.SkipWhen(model.BalanceWeight != 0, "refused together with the balance of experts");
        Compare(name, Batch.Of(Examples(5)), CrossEntropy.Of, Batch.Of(Examples(5)), Recomputation.Of);
        Compare(name, Batch.Of(Examples(5)), CrossEntropy.Of, Batch.Pack(Examples(5), 20), Recomputation.Of);
    }

    [Fact]
    public void Packing_keeps_every_token_once_and_no_row_is_too_long()
    {
        var examples = Examples(40);
        var packed = Batch.Pack(examples, 25);
        Assert.True(packed.Width <= Math.Max(25, examples.Max(example => example.Ids.Length) - 1));
        Assert.Equal(examples.Sum(example => example.Ids.Length - 1), packed.IsReal.Count(isReal => isReal));
        Assert.Equal(examples.Sum(example => example.LearntTokens), packed.Targets.Length);
        var wanted = examples.Select(example => string.Join(' ', example.Ids[..^1])).Order(StringComparer.Ordinal);
        var found = Enumerable.Range(0, packed.Rows).SelectMany(row => Enumerable.Range(row * packed.Width, packed.Width).Where(place => packed.IsReal[place])
            .GroupBy(place => packed.Texts![place]).Select(text => string.Join(' ', text.Select(place => packed.Tokens[place])))).Order(StringComparer.Ordinal);
        Assert.Equal(wanted, found);
    }

    [Theory]
    [InlineData(null)]
    [InlineData(60)]
    public void Packed_batches_hold_every_example_of_an_epoch_once(int? tokens)
    {
        var examples = Examples(23);
        var order = new BatchOrder(examples, new TrainingConfig { Pack = true, BatchSize = 5, BatchTokens = tokens, Epochs = 1 }, seed: 1);
        var batches = Enumerable.Range(0, order.TotalSteps).SelectMany(order.At).ToList();
        Assert.Equal(examples.Sum(example => example.LearntTokens), batches.Sum(batch => batch.Targets.Length));
        if (tokens is { } most)
            Assert.All(batches, batch => Assert.True(batch.IsReal.Count(isReal => isReal) <= most));
    }

    private static void Compare(string name, Batch expectedBatch, Func<CausalModel, Objective> expectedWay, Batch batch, Func<CausalModel, Objective> way)
    {
        using var scope = NewDisposeScope();
        using var model = TinyModel.Start(name);
        foreach (var weight in model.Parts.Weights.Values)
            weight.requires_grad = true;
        double scale = 1.0 / batch.Targets.Length;
        float expected = expectedWay(model)(expectedBatch, scale).item<float>();
        var gradients = model.Parts.Weights.ToDictionary(weight => weight.Key, weight => weight.Value.grad?.clone());
        foreach (var weight in model.Parts.Weights.Values)
            weight.grad = null;
        Assert.Equal(expected, way(model)(batch, scale).item<float>(), 1e-5 * expected);
        foreach (var (key, gradient) in gradients)
        {
            if (gradient is null)
                Assert.Null(model.Parts.Weights[key].grad);
            else
                Near.Equal(gradient, model.Parts.Weights[key].grad!, Tolerance * Math.Max(1, gradient.abs().max().item<float>()), key);
        }
    }

    // Lengths of 3 to 14; prompts of two tokens are not learnt.
    private static Example[] Examples(int count) => [.. Enumerable.Range(0, count).Select(row =>
    {
        int[] ids = TinyModel.Tokens(3 + row * 5 % 12, seed: (ulong)row);
        return new Example(ids, [.. ids.Select((_, place) => place > 1)], $"row {row}");
    })];
}
