using System.Text.Json.Nodes;
using Perenos.Adapters;
using Perenos.Checkpoints;
using Perenos.Models;
using Perenos.Recipes;
using Perenos.Runs;
using Perenos.Testing;
using Perenos.Tests.Checkpoints;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Recipes;

/// <summary>The same LoRA as PEFT and as llama.cpp's converter wrote it.</summary>
public sealed class ConvertAdapterTests
{
    // The fixtures' README: own float32 code against the logits of the reference.
    private const double Tolerance = 1e-4;

    public static TheoryData<string> Names => [.. Fixtures.Folders("gguf", "lora.gguf")];

    [Theory]
    [MemberData(nameof(Names))]
    public void A_peft_folder_becomes_the_file_that_llama_cpps_converter_wrote(string name)
    {
        string folder = Fixtures.FolderOrSkip("gguf", name);
        using var work = new WorkFolder();
        using var source = ModelSource.Open(Path.Combine(folder, "hf"));
        ConvertAdapter.ToGguf(source, Path.Combine(folder, "peft"), work.PathOf("lora.gguf"));
        using var expected = GgufFile.Open(Path.Combine(folder, "lora.gguf"));
        using var actual = GgufFile.Open(work.PathOf("lora.gguf"));
        foreach (string key in new[] { "general.architecture", "general.type", "adapter.type", "adapter.lora.alpha" })
            Assert.Equal(expected.Metadata[key].Value, actual.Metadata[key].Value);
        Assert.Equal(expected.Tensors.Keys.Order(StringComparer.Ordinal), actual.Tensors.Keys.Order(StringComparer.Ordinal));
        foreach (string tensor in expected.Tensors.Keys)
        {
            using var scope = NewDisposeScope();
            Assert.True(expected.Read(tensor).bytes.SequenceEqual(actual.Read(tensor).bytes), tensor);
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void A_GGUF_adapter_becomes_a_peft_folder_that_computes_what_the_reference_computes(string name)
    {
        string folder = Fixtures.FolderOrSkip("gguf", name);
        using var work = new WorkFolder();
        using (var source = ModelSource.Open(Path.Combine(folder, "hf")))
            ConvertAdapter.ToPeft(source, Path.Combine(folder, "lora.gguf"), work.PathOf("peft"));
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        using var pretrained = Pretrained.Open(Path.Combine(folder, "model.gguf"), ScalarType.Float32);
        using var adapter = PeftFolder.Open(work.PathOf("peft"), pretrained.Model.Parts);
        string root = Path.GetDirectoryName(folder)!;
        using var expected = SafetensorsFile.Open(Path.Combine(root, "tiny_expected.safetensors"));
        var sequences = JsonNode.Parse(File.ReadAllText(Path.Combine(root, "tiny_expected.json")))!["sequences_llama"]!.AsArray();
        long[] ids = [.. sequences.SelectMany(sequence => sequence!.AsArray().Select(id => id!.GetValue<long>()))];
        Near.Equal(expected.Read($"{name}-lora/logits"), pretrained.Model.Logits(pretrained.Model.Hidden(tensor(ids, [sequences.Count, ids.Length / sequences.Count]))), Tolerance, name);
    }

    /// <summary>llama.cpp multiplies by alpha / rank: other factors must be in B.</summary>
    [Theory]
    [InlineData("use_rslora", "true", 12 / 2.0)]
    [InlineData("alpha_pattern", """{ "q_proj": 36 }""", 36 / 4.0)]
    public void Factors_that_llama_cpp_does_not_read_are_folded_in(string key, string value, double factor)
    {
        string folder = Shared.ParityOrSkip("gguf", "tiny-llama");
        using var work = new WorkFolder();
        string peft = Varied(folder, work, key, value);
        using var source = ModelSource.Open(Path.Combine(folder, "hf"));
        ConvertAdapter.ToGguf(source, peft, work.PathOf("lora.gguf"));
        using var file = GgufFile.Open(work.PathOf("lora.gguf"));
        using var plain = GgufFile.Open(Path.Combine(folder, "lora.gguf"));
        const string tensor = "blk.1.attn_q.weight.lora_b";
        using var scope = NewDisposeScope();
        double alpha = file.Number("adapter.lora.alpha")!.Value;
        Near.Equal(plain.Read(tensor).to(ScalarType.Float64).mul(factor), file.Read(tensor).to(ScalarType.Float64).mul(alpha / 4), 1e-6, key);
    }

    [Theory]
    [InlineData("use_dora", "true")]
    [InlineData("bias", "\"all\"")]
    [InlineData("modules_to_save", "[\"lm_head\"]")]
    [InlineData("peft_type", "\"IA3\"")]
    public void What_has_no_form_in_GGUF_is_refused_with_the_advice_to_merge(string key, string value)
    {
        string folder = Shared.ParityOrSkip("gguf", "tiny-llama");
        using var work = new WorkFolder();
        using var source = ModelSource.Open(Path.Combine(folder, "hf"));
        var problem = Assert.Throws<PerenosException>(() => ConvertAdapter.ToGguf(source, Varied(folder, work, key, value), work.PathOf("lora.gguf")));
        Assert.Contains(key, problem.Message, StringComparison.Ordinal);
        Assert.Contains("perenos merge", problem.Hint, StringComparison.Ordinal);
    }

    [Fact]
    public void An_adapter_of_another_base_is_refused()
    {
        string folder = Shared.ParityOrSkip("gguf", "tiny-llama");
        using var work = new WorkFolder();
        using var other = ModelSource.Open(Shared.ParityOrSkip("gguf", "tiny-mixed", "model.gguf"));
        Assert.Contains("and the base has", Assert.Throws<PerenosException>(() => ConvertAdapter.ToGguf(other, Path.Combine(folder, "peft"), work.PathOf("a.gguf"))).Message, StringComparison.Ordinal);
        Assert.Throws<PerenosException>(() => ConvertAdapter.ToPeft(other, Path.Combine(folder, "lora.gguf"), work.PathOf("peft")));
        Assert.Throws<PerenosException>(() => ConvertAdapter.ToPeft(other, Path.Combine(folder, "model.gguf"), work.PathOf("peft")));
    }

    [Fact]
    public void Merging_reports_how_little_the_logits_move()
    {
        string folder = Shared.ParityOrSkip("gguf", "tiny-llama");
        using var work = new WorkFolder();
        string model = Path.Combine(folder, "hf"), adapter = Path.Combine(folder, "peft");
        var merged = MergeAdapters.Run(model, [(adapter, 1)], work.PathOf("merged"));
        Assert.Equal("float32", merged.Type);
        Assert.InRange(merged.Difference, 0, Tolerance);
        Assert.InRange(merged.StoredDifference, 0, Tolerance);
        Assert.True(merged.Effect > 0.01);
        var narrow = MergeAdapters.Run(model, [(adapter, 1)], work.PathOf("narrow"), new MergeSettings { Type = ScalarType.BFloat16 });
        Assert.True(narrow.StoredDifference > narrow.Difference);
        Assert.Throws<PerenosException>(() => MergeAdapters.Run(model, [(adapter, 1)], work.PathOf("merged")));
        // The same adapter with weights that add up to 1 is the adapter itself.
        var sum = MergeAdapters.Run(model, [(adapter, 0.25), (adapter, 0.75)], work.PathOf("sum"));
        Assert.InRange(sum.Effect, merged.Effect - Tolerance, merged.Effect + Tolerance);
        Assert.InRange(sum.Difference, 0, Tolerance);
    }

    [Fact]
    [Trait("speed", "slow")]
    public void The_real_adapter_merges_into_the_real_model_and_survives_GGUF_bit_for_bit()
    {
        string model = Shared.SharedOrSkip("models", "smollm2-135m-instruct"), adapter = Shared.ParityOrSkip("real-adapter", "smollm2-weather-lora");
        using var work = new WorkFolder();
        var merged = MergeAdapters.Run(model, [(adapter, 1)], work.PathOf("merged"), new MergeSettings { Type = ScalarType.Float32 });
        // The README of the real adapter allows 2e-3 on logits in float32.
        Assert.InRange(merged.StoredDifference, 0, 2e-3);
        Assert.True(merged.Effect > 1);
        using var source = ModelSource.Open(model);
        ConvertAdapter.ToGguf(source, adapter, work.PathOf("a.gguf"));
        ConvertAdapter.ToPeft(source, work.PathOf("a.gguf"), work.PathOf("peft"));
        Assert.Equal(File.ReadAllBytes(Path.Combine(adapter, "adapter_model.safetensors")), File.ReadAllBytes(Path.Combine(work.PathOf("peft"), "adapter_model.safetensors")));
    }

    private static string Varied(string folder, WorkFolder work, string key, string value)
    {
        string peft = work.Folder("peft");
        File.Copy(Path.Combine(folder, "peft", "adapter_model.safetensors"), Path.Combine(peft, "adapter_model.safetensors"));
        var config = JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "peft", "adapter_config.json")))!.AsObject();
        config[key] = JsonNode.Parse(value);
        File.WriteAllText(Path.Combine(peft, "adapter_config.json"), config.ToJsonString());
        return peft;
    }
}
