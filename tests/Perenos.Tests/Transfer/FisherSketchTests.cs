using Perenos.Models;
using Perenos.Runs;
using Perenos.Tests.Checkpoints;
using Perenos.Text.Data;
using Perenos.Training;
using Perenos.Transfer;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Transfer;

/// <summary>What the diagonal leaves out: the sketch's energy against the divergence that it forecasts, its place in the file, sums of texts.</summary>
public sealed class FisherSketchTests
{
    // Length of a step that is short enough for the second order.
    private const double Step = 0.05;

    [Fact]
    public void The_energy_is_the_divergence_of_the_moved_model_where_the_diagonal_is_far_below()
    {
        using var scope = NewDisposeScope();
        using var model = TinyModel.Start("llama");
        var texts = Texts(400);
        using var fisher = FisherInformation.Estimate(model, texts, FisherEstimator.Sampled, 1, seed: 1, sketchRows: 200, stop: TestContext.Current.CancellationToken);
        using var sketch = new FisherSketch(Copies(fisher.Sketch!));
        // As training moves them: along the gradient of a text, all weights in step.
        var changes = Gradient(model, texts[0]);
        double length = Math.Sqrt(changes.Values.Sum(change => change.square().sum().item<float>()));
        foreach (var change in changes.Values)
            change.Scale(Step / length);
        double diagonal = changes.Sum(change => (fisher.Importance[change.Key] * change.Value.square()).sum().item<float>()) / 2;
        double expected = Divergence(model, changes, texts);
        double found = sketch.Energy(changes.Select(change => (change.Key, (Func<Tensor>)(() => change.Value))), diagonal);
        Assert.InRange(found / expected, 0.7, 1.4);
        Assert.True(diagonal < 0.3 * expected, $"{diagonal} is near {expected}, so the case tells nothing");
    }

    [Fact]
    public void Nothing_moved_is_nothing_forgotten_and_the_diagonal_is_the_least()
    {
        using var scope = NewDisposeScope();
        using var model = TinyModel.Start("gpt2");
        using var fisher = FisherInformation.Estimate(model, Texts(3), FisherEstimator.Sampled, 1, seed: 1, sketchRows: 16, stop: TestContext.Current.CancellationToken);
        using var sketch = new FisherSketch(Copies(fisher.Sketch!));
        Assert.All(fisher.Sketch!.Values, rows => Assert.Equal(3, rows.shape[0]));
        Assert.Equal(0, sketch.Energy([], 0));
        Assert.Equal(0.25, sketch.Energy(model.Parts.Weights.Select(weight => (weight.Key, (Func<Tensor>)(() => zeros_like(weight.Value)))), 0.25));
    }

    [Fact]
    public void True_labels_have_no_sketch()
    {
        using var scope = NewDisposeScope();
        using var model = TinyModel.Start("gpt2");
        using var fisher = FisherInformation.Estimate(model, Texts(3), FisherEstimator.EmpiricalPerSequence, 1, seed: 1, sketchRows: 16, stop: TestContext.Current.CancellationToken);
        Assert.Null(fisher.Sketch);
    }

    [Fact]
    public void A_file_gives_the_rows_back_and_refuses_those_of_another_shape_or_without_numbers()
    {
        using var work = new WorkFolder();
        using var scope = NewDisposeScope();
        using var model = TinyModel.Start("llama");
        using var fisher = FisherInformation.Estimate(model, Texts(4), FisherEstimator.Sampled, 1, seed: 1, sketchRows: 2, stop: TestContext.Current.CancellationToken);
        string path = work.PathOf("fisher.safetensors");
        FisherFile.Save(path, fisher, Origin);
        using (var file = FisherFile.Open(path))
        {
            Assert.Equal(2, file.SketchRows);
            Assert.Equal(model.Parts.Weights.Keys.Order(StringComparer.Ordinal), file.Tensors.Keys.Order(StringComparer.Ordinal));
            foreach (var (name, rows) in file.SketchFor(model.Parts.Weights)!)
            {
                Assert.True(rows.equal(fisher.Sketch![name].to(ScalarType.BFloat16)).all().item<bool>());
                rows.Dispose();
            }

            using var other = TinyModel.Start("gpt2");
            Assert.Contains("missing or of another shape", Assert.Throws<PerenosException>(() => file.SketchFor(other.Parts.Weights)).Message, StringComparison.Ordinal);
        }

        fisher.Sketch!.Values.First().fill_(float.NaN);
        FisherFile.Save(path, fisher, Origin);
        using var wrong = FisherFile.Open(path);
        Assert.Contains("no numbers", Assert.Throws<PerenosException>(() => wrong.SketchFor(model.Parts.Weights)).Message, StringComparison.Ordinal);
    }

    [Fact]
    public void The_energy_of_texts_that_were_added_is_the_sum_of_theirs()
    {
        using var scope = NewDisposeScope();
        using var model = TinyModel.Start("gpt2");
        using var earlier = FisherInformation.Estimate(model, Texts(3), FisherEstimator.Sampled, 1, seed: 1, sketchRows: 4, stop: TestContext.Current.CancellationToken);
        using var newer = FisherInformation.Estimate(model, Texts(5), FisherEstimator.Sampled, 1, seed: 2, sketchRows: 4, stop: TestContext.Current.CancellationToken);
        double Energy(FisherInformation fisher)
        {
            using var sketch = new FisherSketch(Copies(fisher.Sketch!));
            return sketch.Energy(model.Parts.Weights.Select(weight => (weight.Key, (Func<Tensor>)(() => ones_like(weight.Value)))), 0);
        }

        double expected = Energy(newer) + 0.5 * Energy(earlier);
        newer.Add(earlier.Importance, 0.5, earlier.Sketch);
        Assert.Equal(expected, Energy(newer), 1e-4 * expected);
        newer.Add(earlier.Importance, 0.5);
        Assert.Null(newer.Sketch);
    }

    private static FisherOrigin Origin => new() { Estimator = FisherEstimator.Sampled, Base = "tiny", BaseHash = "abc", Corpus = "texts", CorpusHash = "def", Tokens = 1, Passes = 1, Seed = 1, ComputeType = "Float32" };

    private static Dictionary<string, Tensor> Copies(IReadOnlyDictionary<string, Tensor> rows) => rows.ToDictionary(entry => entry.Key, entry => entry.Value.clone());

    // Mean KL(base ‖ moved) over all predicted positions, exactly.
    private static double Divergence(CausalModel model, Dictionary<string, Tensor> changes, IReadOnlyList<Example> texts)
    {
        using var quiet = no_grad();
        List<Tensor> Predictions() => [.. texts.Select(text => nn.functional.log_softmax(model.Logits(model.Hidden(tensor(text.Ids.Select(id => (long)id).ToArray()).unsqueeze(0))).to(ScalarType.Float64)[0], -1)[..^1])];
        var before = Predictions();
        foreach (var (name, change) in changes)
            model.Parts.Weights[name].Increase(change);
        var after = Predictions();
        return before.Zip(after, (p, q) => (p.exp() * (p - q)).sum().item<double>()).Sum() / before.Sum(p => (double)p.shape[0]);
    }

    private static Dictionary<string, Tensor> Gradient(CausalModel model, Example text)
    {
        foreach (var weight in model.Parts.Weights.Values)
            weight.requires_grad = true;
        var batch = Batch.Of([text]);
        BatchLoss.Sum(model, BatchLoss.LearntStates(model, batch), batch, 1).backward();
        var gradients = model.Parts.Weights.ToDictionary(weight => weight.Key, weight => weight.Value.grad!.detach().clone());
        foreach (var weight in model.Parts.Weights.Values)
        {
            weight.grad = null;
            weight.requires_grad = false;
        }

        return gradients;
    }

    private static List<Example> Texts(int count) => [.. Enumerable.Range(0, count).Select(row =>
    {
        int[] ids = TinyModel.Tokens(6 + row % 7, seed: (ulong)row);
        return new Example(ids, [.. ids.Select((_, place) => place > 0)], $"row {row}");
    })];
}
