using Perenos.Checkpoints;
using Perenos.Recipes;
using Perenos.Testing;
using Perenos.Tests.Checkpoints;
using Xunit;

namespace Perenos.Tests.Recipes;

public sealed class InspectModelTests
{
    public static TheoryData<string> Models => [.. Fixtures.Folders("models", "config.json")];

    [Theory]
    [MemberData(nameof(Models))]
    public void Every_tensor_of_a_known_family_has_its_part(string name)
    {
        string folder = Fixtures.FolderOrSkip("models", name);
        var report = InspectModel.Run(folder);
        Assert.SkipUnless(report.IsKnown, $"{name}: the family {report.Family} is not built yet");
        using var tensors = CheckpointFolder.OpenWeights(folder);
        Assert.Equal(tensors.Tensors.Count, report.Parts.Sum(part => part.Tensors));
        Assert.Equal(tensors.Tensors.Values.Sum(ParameterParts.Count), report.Parameters);
        string[] buffers = [.. tensors.Tensors.Keys.Where(tensor => ParameterParts.PartOf(tensor) == "other")];
        // Masks and frequencies that old versions saved belong to no part.
        Assert.All(buffers, tensor => Assert.Matches("inv_freq|bias$", tensor));
        Assert.Contains(report.Parts, part => part.Name == "attention");
        Assert.Contains(report.Parts, part => part.Name is "feed-forward" or "experts");
        Assert.Contains(report.Parts, part => part.Name == "norms");
        Assert.Equal(3, report.Memory.Count);
    }

    [Fact]
    public void The_real_model_is_described_from_its_header()
    {
        string folder = Shared.SharedOrSkip("models", "smollm2-135m-instruct");
        var report = InspectModel.Run(folder, batch: 2, length: 1024);
        Assert.Equal((134_515_008L, 30, 8192L, true), (report.Parameters, report.Layers, report.ContextLength, report.IsTied));
        Assert.Equal(("ChatML", "apache-2.0"), (report.ChatTemplate, report.License));
        Assert.Equal(["<|im_end|>"], report.StopTokens);
        Assert.Equal((49_152, 21, 17), (report.Tokenizer!.Entries, report.Tokenizer.MissingBytes.Count, report.Tokenizer.Specials.Count));
        // 2 bytes a weight, and keys and values of 2 · 1,024 tokens in 30 layers, 3 heads of 64 for each; logits of two sequences.
        Assert.Equal(2L * 134_515_008 + 2L * 2048 * 30 * 2 * 3 * 64 + 4L * 2 * 49_152, report.Memory.Single(need => need.Use == "inference").Bytes);
        Assert.Empty(report.Problems);
    }

    [Fact]
    public void Adapters_are_described_in_both_forms()
    {
        string folder = Shared.ParityOrSkip("gguf", "tiny-llama");
        foreach (var report in new[] { InspectModel.Run(Path.Combine(folder, "peft")), InspectModel.Run(Path.Combine(folder, "lora.gguf")) })
        {
            Assert.Equal(("LORA", 4.0, 12.0, 10), (report.Adapter!.Method, report.Adapter.Rank, report.Adapter.Alpha, report.Adapter.Layers));
            Assert.Equal(["down_proj", "k_proj", "o_proj", "q_proj", "v_proj"], report.Adapter.Targets);
        }
    }

    [Fact]
    public void An_unknown_family_is_named_and_its_tensors_are_counted_all_the_same()
    {
        using var work = new WorkFolder();
        string file = work.Safetensors("model.safetensors", """{"encoder.block.0.attn.w.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}""", 24);
        File.WriteAllText(work.PathOf("config.json"), """{ "model_type": "zebra" }""");
        var report = InspectModel.Run(work.Root);
        Assert.Equal((false, "zebra", 6L), (report.IsKnown, report.Family, report.Parameters));
        Assert.Contains(report.Problems, problem => problem.Contains("zebra", StringComparison.Ordinal));
        Assert.Contains(report.Problems, problem => problem.Contains("tokenizer.json", StringComparison.Ordinal));
        Assert.Equal(file, report.Files.Single().Key);
    }

    [Fact]
    public void The_front_matter_of_a_card_is_read_in_its_usual_forms()
    {
        var card = ModelCard.Parse("---\nlicense: \"cc-by-4.0\"\nlanguage: [en, fr]\nbase_model:\n  - a/b\n---\nlicense: mit");
        Assert.Equal(("cc-by-4.0", "a/b"), (card.License, card.BaseModel));
        Assert.Equal(["en", "fr"], card.Languages);
        Assert.Null(ModelCard.Parse("# No front matter\nlicense: mit").License);
    }
}
