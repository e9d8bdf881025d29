using System.Text.Json.Nodes;
using Perenos.Checkpoints;
using Perenos.Layers;
using Perenos.Models;
using Perenos.Runs;
using Perenos.Tests.Checkpoints;
using Perenos.Text.Data;
using Perenos.Training;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Models;

/// <summary>The same questions to every family of the catalogue.</summary>
public sealed class ModelConformanceTests
{
    // Sums in another order, over logits of a few units.
    private const double RoundingTolerance = 2e-5;

    // A float32 gradient beside differences in float64.
    private const double GradientTolerance = 1e-4;

    public static TheoryData<string> Names => [.. TinyModel.Names];

    [Fact]
    public void Every_family_of_the_catalogue_has_a_tiny_model()
    {
        Assert.NotEmpty(ModelCatalogue.Families);
        Assert.Equal(
            ModelCatalogue.Families.Select(family => family.ModelType).Order(StringComparer.Ordinal),
            TinyModel.Names.Select(TinyModel.FamilyOf).Distinct().Order(StringComparer.Ordinal));
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Shapes_are_as_configured_and_a_later_token_changes_nothing_before_it(string name)
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        using var model = TinyModel.Start(name);
        var tokens = Tokens(2, 9);
        var hidden = model.Hidden(tokens);
        Assert.Equal([2, 9, model.Head.Inputs], hidden.shape);
        var logits = model.Logits(hidden);
        Assert.Equal([2, 9, TinyModel.Vocabulary], logits.shape);

        var changed = tokens.clone();
        changed[TensorIndex.Colon, 6] = (tokens[TensorIndex.Colon, 6] + 1) % TinyModel.Vocabulary;
        var others = model.Logits(model.Hidden(changed));
        // The tokens of an expert are rows of one product, and it rounds by their number.
        bool hasExperts = model.Parts.Projections.Any(projection => projection.Path.Contains(".experts.", StringComparison.Ordinal));
        Near.Equal(logits.narrow(1, 0, 6), others.narrow(1, 0, 6), hasExperts ? RoundingTolerance : 0, "before");
        for (int time = 6; time < 9; time++)
            Assert.True(Near.Largest(logits.select(1, time), others.select(1, time)) > 1e-3, $"token {time} does not see token 6");
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void With_a_cache_the_logits_are_the_same_whatever_the_pieces(string name)
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        using var model = TinyModel.Start(name);
        var tokens = Tokens(2, 12);
        var expected = model.Logits(model.Hidden(tokens));
        foreach (int[] pieces in new int[][] { [12], [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], [5, 1, 4, 2] })
        {
            using var cache = new KeyValueCache(model.Layers.Count, capacity: 12);
            List<Tensor> parts = [];
            foreach (int length in pieces)
                parts.Add(model.Logits(model.Hidden(tokens.narrow(1, cache.Length, length), cache: cache)));
            Assert.Equal(12, cache.Length);
            Near.Equal(expected, cat([.. parts], 1), RoundingTolerance, $"pieces of {string.Join(", ", pieces)}");
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void In_bfloat16_it_computes_in_bfloat16_whole_padded_and_with_a_cache(string name)
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        using var model = TinyModel.Start(name, type: ScalarType.BFloat16);
        using var cache = new KeyValueCache(model.Layers.Count, capacity: 7);
        var mask = tensor(new long[] { 0, 0, 1, 1, 1, 1, 1 }, [1, 7]);
        var tokens = Tokens(1, 7);
        foreach (var hidden in new[] { model.Hidden(tokens), model.Hidden(tokens.narrow(1, 0, 6), mask.narrow(1, 0, 6), cache: cache), model.Hidden(tokens.narrow(1, 6, 1), mask, cache: cache) })
        {
            var logits = model.Logits(hidden);
            Assert.Equal(ScalarType.BFloat16, logits.dtype);
            Assert.True(logits.isfinite().all().item<bool>());
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Padding_on_the_left_changes_nothing_with_or_without_a_cache(string name)
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        using var model = TinyModel.Start(name);
        var tokens = Tokens(1, 8);
        var expected = model.Logits(model.Hidden(tokens));
        foreach (long filler in new long[] { 0, 17 })
        {
            var padded = cat([full([1, 3], filler, ScalarType.Int64), tokens], 1);
            var mask = cat([zeros([1, 3], ScalarType.Int64), ones([1, 8], ScalarType.Int64)], 1);
            var positions = cat([zeros([1, 3], ScalarType.Int64), arange(8, ScalarType.Int64).unsqueeze(0)], 1);
            Near.Equal(expected, model.Logits(model.Hidden(padded, mask, positions)).narrow(1, 3, 8), RoundingTolerance, "whole");

            using var cache = new KeyValueCache(model.Layers.Count, capacity: 11);
            List<Tensor> parts = [];
            foreach (var (start, length) in new[] { (0, 6), (6, 4), (10, 1) })
                parts.Add(model.Logits(model.Hidden(padded.narrow(1, start, length), mask.narrow(1, 0, start + length), positions.narrow(1, start, length), cache)));
            Near.Equal(expected, cat([.. parts], 1).narrow(1, 3, 8), RoundingTolerance, "in pieces");
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Rows_of_a_batch_do_not_see_each_other(string name)
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        using var model = TinyModel.Start(name);
        var tokens = Tokens(5, 10);
        var together = model.Logits(model.Hidden(tokens));
        for (int row = 0; row < 5; row++)
            Near.Equal(model.Logits(model.Hidden(tokens.narrow(0, row, 1))), together.narrow(0, row, 1), RoundingTolerance, $"row {row}");
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void The_gradient_of_the_loss_is_what_finite_differences_say(string name)
    {
        using var scope = NewDisposeScope();
        using var model = TinyModel.Start(name);
        using var wide = TinyModel.Start(name, type: ScalarType.Float64);
        var batch = Batch.Of([Learnt(9, 1), Learnt(6, 2)]);
        foreach (var weight in model.Parts.Weights.Values)
            weight.requires_grad = true;
        var loss = BatchLoss.Training(model, batch, 1.0 / batch.Targets.Length);
        loss.backward();
        Assert.Equal(Loss(wide, batch), loss.item<float>(), 1e-5);

        using var quiet = no_grad();
        foreach (var (key, weight) in model.Parts.Weights)
        {
            // An expert that no token chose has no gradient.
            var gradient = (weight.grad ?? zeros_like(weight)).to(ScalarType.Float64).flatten();
            var numbers = wide.Parts.Weights[key].view(-1);
            // The number with the largest gradient, and three others.
            long[] places = [gradient.abs().argmax().item<long>(), 0, numbers.shape[0] / 3, numbers.shape[0] - 1];
            foreach (long place in places.Distinct())
            {
                double difference = Difference(wide, batch, numbers[place]);
                Assert.True(Math.Abs(difference - gradient[place].item<double>()) < GradientTolerance, $"{key}[{place}]: {gradient[place].item<double>():G5}, by differences {difference:G5}");
            }
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void A_tied_head_is_one_weight_and_an_untied_one_two(string name)
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        using var model = TinyModel.Start(name);
        Assert.Equal(model.Config.IsTied, model.Head.IsTied);
        string head = ModelCatalogue.FamilyOf(model.Config.Json, name).HeadName;
        Assert.Equal(!model.Config.IsTied, model.Parts.Weights.ContainsKey(head));
        Assert.Equal(head, model.Head.Path + ".weight");
        Assert.Same(model.Head, model.Parts.Projections[^1]);
        var hidden = ones(1, model.Head.Inputs);
        var before = model.Head.Forward(hidden);
        model.Embedding.Weight[3].add_(1);
        double moved = Near.Largest(before, model.Head.Forward(hidden));
        // A row of ones more, times a vector of ones.
        Assert.Equal(model.Config.IsTied ? model.Head.Inputs : 0, moved, 1e-4);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Saved_and_opened_again_it_is_the_same_bit_for_bit(string name)
    {
        using var work = new WorkFolder();
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        using var model = Save(work, name, dtype: null);
        using var opened = Pretrained.Open(work.PathOf("model"), ScalarType.Float32);
        Assert.Equal(model.Model.Parts.Weights.Keys, opened.Model.Parts.Weights.Keys);
        foreach (var (key, weight) in model.Model.Parts.Weights)
            Assert.True(weight.equal(opened.Model.Parts.Weights[key]).all().item<bool>(), key);
        Assert.Equal(model.Model.Head.IsTied, opened.Model.Head.IsTied);
        var tokens = Tokens(2, 6);
        Assert.True(model.Model.Logits(model.Model.Hidden(tokens)).equal(opened.Model.Logits(opened.Model.Hidden(tokens))).all().item<bool>());
        Assert.Equal(model.StopTokens, opened.StopTokens);
        string text = "Vent d'ouest — 40 %\n";
        Assert.Equal(model.Tokenizer.Encode(text), opened.Tokenizer.Encode(text));
        string architecture = JsonNode.Parse(File.ReadAllText(Path.Combine(work.PathOf("model"), "config.json")))!["architectures"]![0]!.ToString();
        Assert.Equal(ModelCatalogue.Families.Single(family => family.ModelType == TinyModel.FamilyOf(name)).Architecture, architecture);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void A_model_of_a_bfloat16_checkpoint_is_saved_in_bfloat16(string name)
    {
        using var work = new WorkFolder();
        using var scope = NewDisposeScope();
        using var model = Save(work, name, dtype: "bfloat16");
        using var file = SafetensorsFile.Open(Path.Combine(work.PathOf("model"), "model.safetensors"));
        Assert.All(file.Tensors.Values, info => Assert.Equal(2 * info.Shape.Aggregate(1L, (product, size) => product * size), info.Length));
        using var narrow = Pretrained.Open(work.PathOf("model"), ScalarType.BFloat16);
        using var wide = Pretrained.Open(work.PathOf("model"), ScalarType.Float32);
        foreach (var (key, weight) in model.Model.Parts.Weights)
        {
            var rounded = weight.to(ScalarType.BFloat16);
            Assert.True(rounded.equal(narrow.Model.Parts.Weights[key]).all().item<bool>(), key);
            Assert.True(rounded.to(ScalarType.Float32).equal(wide.Model.Parts.Weights[key]).all().item<bool>(), key);
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void A_checkpoint_that_lacks_a_weight_or_has_one_too_many_is_refused_by_name(string name)
    {
        using var work = new WorkFolder();
        using var scope = NewDisposeScope();
        using var model = TinyModel.Start(name);
        var weights = model.Parts.Weights.ToList();
        PerenosException Refused(IEnumerable<(string, Tensor)> tensors)
        {
            SafetensorsWriter.Write(work.PathOf("model.safetensors"), tensors);
            using var source = CheckpointFolder.OpenWeights(work.Root);
            return Assert.Throws<PerenosException>(() => ModelCatalogue.Load(TinyModel.Config(name), "config.json", source, ScalarType.Float32));
        }

        string missing = weights[5].Key;
        Assert.Contains(missing, Refused(weights.Where(weight => weight.Key != missing).Select(weight => (weight.Key, weight.Value))).Message, StringComparison.Ordinal);
        Assert.Contains("stranger", Refused([.. weights.Select(weight => (weight.Key, weight.Value)), ("stranger", ones(2))]).Message, StringComparison.Ordinal);
        var reshaped = Refused(weights.Select(weight => (weight.Key, weight.Key == missing ? weight.Value.flatten().narrow(0, 0, 3) : weight.Value)));
        Assert.Contains($"{missing} is [3]", reshaped.Message, StringComparison.Ordinal);
    }

    private static Pretrained Save(WorkFolder work, string name, string? dtype)
    {
        var config = TinyModel.Config(name, vocabulary: 260);
        config["eos_token_id"] = 0;
        if (dtype is not null)
            config["dtype"] = dtype;
        File.WriteAllText(work.PathOf("config.json"), config.ToJsonString());
        TinyModel.ByteTokenizer().Save(work.PathOf("tokenizer.json"));
        var model = Pretrained.Start(work.Root, work.Root, seed: 4, ScalarType.Float32);
        TinyModel.Roughen(model.Model, seed: 4);
        model.Save(work.PathOf("model"));
        return model;
    }

    private static double Difference(CausalModel model, Batch batch, Tensor number)
    {
        const double step = 1e-5;
        double here = number.item<double>();
        number.fill_(here + step);
        double above = Loss(model, batch);
        number.fill_(here - step);
        double below = Loss(model, batch);
        number.fill_(here);
        return (above - below) / (2 * step);
    }

    // From whole logits in float64, not from the fused kernel.
    private static double Loss(CausalModel model, Batch batch)
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        using var balance = new RouterBalance(tensor(batch.IsReal, [batch.Rows, batch.Width]));
        var logits = model.Logits(BatchLoss.LearntStates(model, batch, balance));
        double loss = nn.functional.cross_entropy(logits, tensor(batch.Targets)).item<double>();
        return model.BalanceWeight == 0 ? loss : loss + model.BalanceWeight * balance.Loss().to(ScalarType.Float64).item<double>();
    }

    private static Example Learnt(int length, ulong seed)
    {
        int[] ids = TinyModel.Tokens(length, seed);
        return new Example(ids, [.. ids.Select((_, place) => place > 1)], "row");
    }

    private static Tensor Tokens(int rows, int length) =>
        tensor(TinyModel.Tokens(rows * length, seed: 8).Select(id => (long)id).ToArray(), [rows, length]);
}
