using System.Text.Json.Nodes;
using Perenos.Checkpoints;
using Perenos.Models;
using Perenos.Runs;
using Perenos.Testing;
using Perenos.Tests.Checkpoints;
using Perenos.Text.Data;
using Perenos.Transfer;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Transfer;

/// <summary>Estimates of the Fisher information against the exact diagonal and the reference's own estimates; the file that holds them.</summary>
public sealed class FisherInformationTests
{
    // 16 positions a pass: each value's standard error is about √(2 / passes), 6 %, and they share their passes.
    private const int SampledPasses = 600;

    [Fact]
    public void Labels_drawn_from_the_model_give_the_exact_fisher_in_the_mean()
    {
        string folder = Shared.ParityOrSkip("training", "fisher");
        using var scope = NewDisposeScope();
        using var model = Model(folder);
        var examples = Enumerable.Repeat(Examples(folder), SampledPasses).SelectMany(batch => batch).ToList();
        using var fisher = FisherInformation.Estimate(model, examples, FisherEstimator.Sampled, batchSize: Examples(folder).Count, seed: 1, stop: TestContext.Current.CancellationToken);
        Assert.Equal(SampledPasses, fisher.Passes);
        var (exact, sampled) = (Line(Read(folder, "fisher_exact_fp64")), Line(fisher.Importance));
        var used = exact.gt(Perenos.Arithmetic.Filled([1], 1e-12, ScalarType.Float64));
        var (wanted, found) = (exact.masked_select(used), sampled.masked_select(used));
        double ratio = (found / wanted).mean().item<double>();
        double correlation = corrcoef(stack([wanted, found]))[0, 1].item<double>();
        Assert.InRange(ratio, 0.95, 1.05);
        Assert.InRange(correlation, 0.95, 1);
        // Where the exact value is 0, so is the estimate.
        Assert.True(sampled.masked_select(used.logical_not()).max().item<double>() < 1e-12);
    }

    [Theory]
    [InlineData(FisherEstimator.EmpiricalPerToken, "fisher_empirical_per_token")]
    [InlineData(FisherEstimator.EmpiricalPerSequence, "fisher_empirical_per_sequence")]
    public void True_labels_give_the_reference_s_estimates(FisherEstimator estimator, string file)
    {
        string folder = Shared.ParityOrSkip("training", "fisher");
        using var scope = NewDisposeScope();
        using var model = Model(folder);
        var expected = JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "expected.json")))!;
        using var fisher = FisherInformation.Estimate(model, Examples(folder), estimator, batchSize: 1, seed: 1, stop: TestContext.Current.CancellationToken);
        Assert.Equal(expected["scored_positions"]!.GetValue<long>(), fisher.Tokens);
        double tolerance = Math.Max(5e-6, 10 * expected["max_abs_fp32_minus_fp64"]!.GetValue<double>());
        foreach (var (name, values) in Read(folder, file))
            Near.Equal(values, fisher.Importance[name], tolerance, name);
        Assert.All(model.Parts.Weights.Values, weight => Assert.False(weight.requires_grad));
    }

    [Fact]
    public void The_same_seed_gives_the_same_estimate_and_another_seed_another()
    {
        using var scope = NewDisposeScope();
        using var model = TinyModel.Start("llama");
        using var first = FisherInformation.Estimate(model, Texts(4), FisherEstimator.Sampled, 2, seed: 1, stop: TestContext.Current.CancellationToken);
        using var second = FisherInformation.Estimate(model, Texts(4), FisherEstimator.Sampled, 2, seed: 1, stop: TestContext.Current.CancellationToken);
        using var other = FisherInformation.Estimate(model, Texts(4), FisherEstimator.Sampled, 2, seed: 2, stop: TestContext.Current.CancellationToken);
        Assert.True(Line(first.Importance).equal(Line(second.Importance)).all().item<bool>());
        Assert.False(Line(first.Importance).equal(Line(other.Importance)).all().item<bool>());
    }

    [Fact]
    public void Earlier_texts_are_added_with_their_decay()
    {
        using var scope = NewDisposeScope();
        using var model = TinyModel.Start("gpt2");
        using var earlier = FisherInformation.Estimate(model, Texts(3), FisherEstimator.EmpiricalPerSequence, 1, seed: 1, stop: TestContext.Current.CancellationToken);
        using var newer = FisherInformation.Estimate(model, Texts(5), FisherEstimator.EmpiricalPerSequence, 1, seed: 1, stop: TestContext.Current.CancellationToken);
        var expected = Line(newer.Importance).Plus(Line(earlier.Importance).Times(0.5));
        newer.Add(earlier.Importance, 0.5);
        Near.Equal(expected, Line(newer.Importance), 1e-6, "sum");
    }

    [Fact]
    public void A_file_gives_back_values_and_origin_and_belongs_to_its_base()
    {
        using var work = new WorkFolder();
        using var scope = NewDisposeScope();
        using var model = TinyModel.Start("llama");
        using var fisher = FisherInformation.Estimate(model, Texts(3), FisherEstimator.Sampled, 1, seed: 1, stop: TestContext.Current.CancellationToken);
        var origin = new FisherOrigin { Estimator = FisherEstimator.Sampled, Base = "tiny", BaseHash = "abc", Corpus = "texts", CorpusHash = "def", Tokens = fisher.Tokens, Passes = fisher.Passes, Seed = 1, ComputeType = "Float32", Tasks = 2, Decay = 0.25 };
        string path = work.PathOf("fisher.safetensors");
        FisherFile.Save(path, fisher, origin);

        using var file = FisherFile.Open(path);
        Assert.Equal(origin, file.Origin);
        var values = file.ValuesFor(model.Parts.Weights, "abc");
        Assert.True(Line(values).equal(Line(fisher.Importance)).all().item<bool>());
        Assert.Contains("another base", Assert.Throws<PerenosException>(() => file.ValuesFor(model.Parts.Weights, "xyz")).Message, StringComparison.Ordinal);
        using var other = TinyModel.Start("gpt2");
        Assert.Contains("no values for", Assert.Throws<PerenosException>(() => file.ValuesFor(other.Parts.Weights, "abc")).Message, StringComparison.Ordinal);

        var layers = FisherShares.ByLayer(file);
        Assert.Equal(["model.embed_tokens.weight", "model.layers.0", "model.layers.1"], layers.Take(3).Select(share => share.Name));
        Assert.Equal(1, layers.Sum(share => share.Share), 1e-6);
        Assert.Equal(1, FisherShares.ByKind(file).Sum(share => share.Share), 1e-6);
    }

    [Fact]
    public void Files_of_something_else_and_values_that_are_no_squares_are_refused()
    {
        using var work = new WorkFolder();
        using var scope = NewDisposeScope();
        string path = work.PathOf("weights.safetensors");
        SafetensorsWriter.Write(path, [("weight", ones(2))]);
        Assert.Contains("no Fisher information", Assert.Throws<PerenosException>(() => FisherFile.Open(path)).Message, StringComparison.Ordinal);

        var origin = new FisherOrigin { Estimator = FisherEstimator.Sampled, Base = "b", BaseHash = "abc", Corpus = "c", CorpusHash = "d", Tokens = 1, Passes = 1, Seed = 0, ComputeType = "Float32" };
        foreach (float wrong in new[] { -1f, float.NaN, float.PositiveInfinity })
        {
            using var fisher = new FisherInformation(new Dictionary<string, Tensor> { ["weight"] = torch.tensor(new[] { 1f, wrong }) }, 1, 1);
            FisherFile.Save(path, fisher, origin);
            using var file = FisherFile.Open(path);
            Assert.Contains("negative", Assert.Throws<PerenosException>(() => file.ValuesFor(new Dictionary<string, Tensor> { ["weight"] = ones(2) }, "abc")).Message, StringComparison.Ordinal);
        }
    }

    private static List<Example> Texts(int count) => [.. Enumerable.Range(0, count).Select(row =>
    {
        int[] ids = TinyModel.Tokens(4 + row, seed: (ulong)row);
        return new Example(ids, [.. ids.Select((_, place) => place > 0)], $"row {row}");
    })];

    private static CausalModel Model(string folder)
    {
        string path = Path.Combine(folder, "base");
        using var weights = CheckpointFolder.OpenWeights(path);
        return ModelCatalogue.Load(JsonNode.Parse(File.ReadAllText(Path.Combine(path, "config.json")))!.AsObject(), path, weights, ScalarType.Float32);
    }

    private static List<Example> Examples(string folder)
    {
        using var file = SafetensorsFile.Open(Path.Combine(folder, "batch.safetensors"));
        long[] Numbers(string name)
        {
            using var tensor = file.Read(name);
            return tensor.data<long>().ToArray();
        }

        var (ids, mask, labels) = (Numbers("input_ids"), Numbers("attention_mask"), Numbers("labels"));
        int width = (int)file.Tensors["input_ids"].Shape[1];
        return [.. Enumerable.Range(0, ids.Length / width).Select(row =>
        {
            var (start, length) = (row * width, (int)mask.Skip(row * width).Take(width).Sum());
            return new Example([.. ids[start..(start + length)].Select(id => (int)id)], [.. labels[start..(start + length)].Select(label => label != -100)], $"{row}");
        })];
    }

    private static Dictionary<string, Tensor> Read(string folder, string name)
    {
        using var file = SafetensorsFile.Open(Path.Combine(folder, name + ".safetensors"));
        return file.Tensors.Keys.ToDictionary(weight => weight, weight => file.Read(weight));
    }

    private static Tensor Line(IReadOnlyDictionary<string, Tensor> tensors) =>
        cat([.. tensors.OrderBy(tensor => tensor.Key, StringComparer.Ordinal).Select(tensor => tensor.Value.flatten().to(ScalarType.Float64))]);
}
