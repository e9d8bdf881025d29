using Perenos.Generation;
using Perenos.Runs.Config;
using Perenos.Testing;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Models;

/// <summary>Every family against transformers: logits, padding, loss, gradients, greedy text (the fixtures' README has the definitions).</summary>
public sealed class ModelFixtureTests
{
    public static TheoryData<string> Folders => [.. Fixtures.Folders("models", "expected.safetensors")];

    [Theory]
    [MemberData(nameof(Folders))]
    public void Logits_equal_the_reference(string name)
    {
        using var fixture = ModelFixture.OpenOrSkip(name);
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        double tolerance = fixture.Tolerance("logits");
        Near.Equal(fixture["logits"], fixture.Logits(fixture["input_ids"]), tolerance, "logits");
        var right = fixture.Logits(fixture["input_ids_right"]);
        fixture.Compare("logits_right", right, fixture["attention_mask_right"], tolerance);
        var left = fixture.Logits(fixture["input_ids_left"], fixture["attention_mask_left"], fixture["position_ids_left"]);
        fixture.Compare("logits_left", left, fixture["attention_mask_left"], tolerance);

        // The fixture repeats these logits only where they differ by more than rounding.
        const double sameWithoutPositions = 1e-4;
        var unplaced = fixture.Logits(fixture["input_ids_left"], fixture["attention_mask_left"]);
        if (fixture.Has("logits_left_default_positions"))
            fixture.Compare("logits_left_default_positions", unplaced, fixture["attention_mask_left"], tolerance);
        else
            fixture.Compare("logits_left", unplaced, fixture["attention_mask_left"], tolerance + sameWithoutPositions);
    }

    [Theory]
    [MemberData(nameof(Folders))]
    public void Loss_and_gradients_equal_the_reference(string name)
    {
        using var fixture = ModelFixture.OpenOrSkip(name);
        using var scope = NewDisposeScope();
        var model = fixture.Model;
        Near.Equal(fixture["loss"], fixture.LossWithGradients(), fixture.Tolerance("loss"), "loss");
        double tolerance = fixture.Tolerance("grad");
        // Every norm stands in expected.json; whole gradients of some tensors in the file.
        var norms = fixture.Expected["grad_l2_norms"]!.AsObject();
        Assert.Equal(norms.Count, model.Parts.Weights.Count);
        int compared = 0;
        foreach (var (weightName, weight) in model.Parts.Weights)
        {
            string onDisk = fixture.NameOnDisk(weightName);
            double norm = norms[onDisk]!.GetValue<double>();
            // An expert that no token chose has none.
            using var gradient = weight.grad ?? (norm == 0 ? zeros_like(weight) : null);
            Assert.True(gradient is not null, $"{weightName} has no gradient");
            Assert.Equal(norm, gradient!.norm().item<float>(), Math.Max(1e-4 * norm, tolerance * Math.Sqrt(gradient.numel())));
            if (!fixture.Has($"grad.{onDisk}"))
                continue;
            Near.Equal(fixture[$"grad.{onDisk}"], gradient, tolerance, onDisk);
            compared++;
        }

        Assert.Equal(fixture.CountOf("grad."), compared);
    }

    [Theory]
    [MemberData(nameof(Folders))]
    public void Greedy_text_equals_the_reference_alone_padded_and_stopped(string name)
    {
        using var fixture = ModelFixture.OpenOrSkip(name);
        var prompt = fixture.Ids("prompt_ids")[0];
        var expected = fixture.Ids("generated")[0];
        var settings = new GenerationConfig { MaxNewTokens = expected.Length - prompt.Length };
        var generator = new TextGenerator(fixture.Model, settings, []);
        Assert.Equal(expected[prompt.Length..], generator.Stream(prompt));

        var masks = fixture.Ids("prompt_mask_left");
        var padded = fixture.Ids("prompt_ids_left");
        var prompts = padded.Zip(masks, (ids, mask) => ids.Where((_, place) => mask[place] == 1).ToArray()).ToArray();
        var generatedLeft = fixture.Ids("generated_left");
        var texts = generator.Generate(prompts, cancellation: TestContext.Current.CancellationToken);
        for (int row = 0; row < prompts.Length; row++)
            Assert.Equal(generatedLeft[row][padded[row].Length..], texts[row]);

        int stop = fixture.Expected["stop_token_of_generated_stop_left"]!.GetValue<int>();
        var stopped = new TextGenerator(fixture.Model, settings, [stop]).Generate(prompts, cancellation: TestContext.Current.CancellationToken);
        var generatedStop = fixture.Ids("generated_stop_left");
        for (int row = 0; row < prompts.Length; row++)
            Assert.Equal(generatedStop[row][padded[row].Length..].TakeWhile(token => token != stop), stopped[row]);
    }
}
