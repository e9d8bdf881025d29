using System.Text.Json.Nodes;
using Perenos.Checkpoints;
using Perenos.Recipes;
using Perenos.Runs.Config;
using Perenos.Testing;
using Perenos.Text.Data;
using Perenos.Training;
using Perenos.Transfer;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Transfer;

/// <summary>Divergences against the reference, value and gradient; distillation in chunks against the whole graph at once.</summary>
public sealed class DistillationTests
{
    public static TheoryData<string> Losses => ["forward_kl", "forward_kl_times_T2", "reverse_kl", "jensen_shannon", "combined"];

    [Theory]
    [MemberData(nameof(Losses))]
    public void A_divergence_equals_the_reference(string loss)
    {
        string folder = Shared.ParityOrSkip("training", "distillation");
        var expected = JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "expected.json")))!;
        using var file = SafetensorsFile.Open(Path.Combine(folder, "expected.safetensors"));
        using var scope = NewDisposeScope();
        double temperature = expected["temperature"]!.GetValue<double>(), alpha = expected["alpha"]!.GetValue<double>();
        Tensor Logits(string name) => file.Read(name).to(ScalarType.Float32);
        var (student, teacher, labels) = (Logits("student_logits").requires_grad_(), Logits("teacher_logits"), file.Read("labels").flatten());
        long[] places = [.. labels.data<long>().ToArray().Index().Where(label => label.Item != -100).Select(label => (long)label.Index)];
        var learnt = tensor(places);
        Tensor Rows(Tensor logits) => logits.view(-1, logits.shape[^1]).index_select(0, learnt);
        Tensor Mean(DivergenceKind kind, double factor) => Divergence.Sum(Rows(student), Rows(teacher), kind, temperature).Times(factor / places.Length);
        double square = temperature * temperature;
        var value = loss switch
        {
            "forward_kl" => Mean(DivergenceKind.ForwardKl, 1),
            "forward_kl_times_T2" => Mean(DivergenceKind.ForwardKl, square),
            "reverse_kl" => Mean(DivergenceKind.ReverseKl, 1),
            "jensen_shannon" => Mean(DivergenceKind.JensenShannon, 1),
            _ => Mean(DivergenceKind.ForwardKl, (1 - alpha) * square).Plus(nn.functional.cross_entropy(Rows(student), labels.index_select(0, learnt)).Times(alpha)),
        };
        value.backward();
        Assert.Equal(expected["values_fp64"]![loss]!.GetValue<double>(), value.item<float>(), Tolerance(expected, loss, "value"));
        Near.Equal(file.Read($"grad.{loss}"), student.grad!, Tolerance(expected, loss, "gradient"), loss);
    }

    [Theory]
    [InlineData("llama", "full")]
    [InlineData("llama", "lora")]
    [InlineData("llama tied", "lora with head")]
    [InlineData("gpt2", "full")]
    public void In_chunks_it_is_the_gradient_of_the_whole(string name, string method)
    {
        using var scope = NewDisposeScope();
        using var teacher = TinyModel.Start(name, seed: 1);
        using var student = TinyModel.Start(name, seed: method == "full" ? 2UL : 1UL);
        using var lora = method == "full" ? null : RoughLora.On(student, method);
        var weights = lora?.Weights ?? student.Parts.Weights;
        foreach (var weight in weights.Values)
            weight.requires_grad = true;
        // More positions than a chunk holds.
        var batch = Batch.Of([.. Enumerable.Range(0, 8).Select(row => Learnt(30, (ulong)row))]);
        var settings = new DistillationConfig { Weight = 0.7, Temperature = 2 };
        double scale = 1.0 / batch.Targets.Length;

        var hidden = BatchLoss.LearntStates(student, batch);
        var wanted = teacher.Logits(BatchLoss.LearntStates(teacher, batch)).detach();
        var loss = nn.functional.cross_entropy(student.Logits(hidden), tensor(batch.Targets)).Plus(Divergence.Sum(student.Logits(hidden), wanted, DivergenceKind.ForwardKl, 2).Times(0.7 * 4 * scale));
        loss.backward();
        var expected = weights.ToDictionary(weight => weight.Key, weight => weight.Value.grad!.clone());
        foreach (var weight in weights.Values)
            weight.grad = null;

        // With an adapter the teacher is the student itself with its adapter off.
        var distillation = lora is null ? new Distillation(student, teacher, settings, () => null) : new Distillation(student, student, settings, () => new BareBase(lora, noise: null));
        var found = distillation.Backward(batch, scale);
        Assert.Equal(loss.item<float>(), found.item<float>(), 1e-5 * loss.item<float>());
        foreach (var (key, gradient) in expected)
            Near.Equal(gradient, weights[key].grad!, 2e-5 * Math.Max(1, gradient.abs().max().item<float>()), key);
    }

    [Fact]
    public void A_student_that_is_its_teacher_has_the_plain_loss()
    {
        using var scope = NewDisposeScope();
        using var model = TinyModel.Start("llama");
        foreach (var weight in model.Parts.Weights.Values)
            weight.requires_grad = true;
        var batch = Batch.Of([Learnt(9, 1), Learnt(6, 2)]);
        double scale = 1.0 / batch.Targets.Length;
        float plain = CrossEntropy.Of(model)(batch, scale).item<float>();
        Assert.Equal(plain, new Distillation(model, model, new DistillationConfig { Weight = 5 }, () => null).Backward(batch, scale).item<float>(), 1e-5);
    }

    private static Example Learnt(int length, ulong seed)
    {
        int[] ids = TinyModel.Tokens(length, seed);
        return new Example(ids, [.. ids.Select((_, place) => place > 0)], "row");
    }

    private static double Tolerance(JsonNode expected, string loss, string what) =>
        Math.Max(5e-6, 10 * expected["max_abs_fp32_minus_fp64"]![loss]![what]!.GetValue<double>());
}
