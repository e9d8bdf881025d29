using System.Text.Json.Nodes;
using Perenos.Checkpoints;
using Perenos.Models;
using Perenos.Recipes;
using Perenos.Runs;
using Perenos.Testing;
using Perenos.Tests.Checkpoints;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Recipes;

/// <summary>Models written as GGUF and as folders, against the same models in the files of the reference, and back again.</summary>
public sealed class ExportTests
{
    // Letters in the byte alphabet; whatever else a text has vanishes, in every form alike.
    private const string Tokenizer = """
        {
          "version": "1.0",
          "added_tokens": [{ "id": 0, "content": "<end>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true }],
          "pre_tokenizer": { "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true },
          "decoder": { "type": "ByteLevel" },
          "model": { "type": "BPE", "vocab": { "<end>": 0, "a": 1, "b": 2, "e": 3, "l": 4, "o": 5, "Ġ": 6, "ll": 7, "Ġa": 8 }, "merges": [["l", "l"], ["Ġ", "a"]] }
        }
        """;

    public static TheoryData<string> Twins => [.. Fixtures.Folders("gguf", Path.Combine("hf", "config.json"))];

    public static TheoryData<string> Models => [.. Fixtures.Folders("models", "config.json")];

    public static TheoryData<string> Types => [.. ExportToGguf.Types];

    [Theory]
    [MemberData(nameof(Twins))]
    public void The_tensors_and_sizes_are_those_that_llama_cpps_converter_wrote(string name)
    {
        string folder = Fixtures.FolderOrSkip("gguf", name);
        using var work = new WorkFolder();
        using var source = OpenOrSkip(Path.Combine(folder, "hf"), name);
        ExportToGguf.Run(source, work.PathOf("m.gguf"), "f32");
        using var expected = GgufFile.Open(Path.Combine(folder, "model.gguf"));
        using var actual = GgufFile.Open(work.PathOf("m.gguf"));
        Assert.Equal(expected.Tensors.Keys.Order(StringComparer.Ordinal), actual.Tensors.Keys.Order(StringComparer.Ordinal));
        foreach (var (tensor, info) in expected.Tensors)
        {
            using var scope = NewDisposeScope();
            Assert.Equal((info.Type, string.Join(',', info.Shape)), (actual.Tensors[tensor].Type, string.Join(',', actual.Tensors[tensor].Shape)));
            Assert.True(expected.Read(tensor).bytes.SequenceEqual(actual.Read(tensor).bytes), $"{name}: {tensor}");
        }

        foreach (var (key, value) in expected.Metadata.Where(pair => pair.Key.StartsWith(expected.Architecture, StringComparison.Ordinal)))
            Assert.Equal((key, value.Value), (key, actual.Metadata[key].Value));
        var (wanted, found) = (GgufTokenizerParts.From(expected)!, GgufTokenizerParts.From(actual)!);
        Assert.Equal(wanted.Tokens, found.Tokens);
        Assert.Equal(wanted.Types, found.Types);
        Assert.Equal(wanted.Merges, found.Merges);
        Assert.Equal((wanted.Model, wanted.BeginningId, wanted.EndId), (found.Model, found.BeginningId, found.EndId));
    }

    [Theory]
    [MemberData(nameof(Twins))]
    public void A_GGUF_file_becomes_the_folder_of_its_twin(string name)
    {
        string folder = Fixtures.FolderOrSkip("gguf", name);
        using var work = new WorkFolder();
        using var source = OpenOrSkip(Path.Combine(folder, "model.gguf"), name);
        // Small enough for several files with an index.
        var written = ExportToFolder.Run(source, work.PathOf("out"), mostShardBytes: 40_000);
        Assert.True(File.Exists(Path.Combine(written.Path, "model.safetensors.index.json")));
        using var expected = CheckpointFolder.OpenWeights(Path.Combine(folder, "hf"));
        using var actual = CheckpointFolder.OpenWeights(written.Path);
        Assert.Equal(expected.Tensors.Keys.Order(StringComparer.Ordinal), actual.Tensors.Keys.Order(StringComparer.Ordinal));
        foreach (string tensor in expected.Tensors.Keys)
        {
            using var scope = NewDisposeScope();
            Assert.True(expected.Read(tensor).bytes.SequenceEqual(actual.Read(tensor).bytes), $"{name}: {tensor}");
        }
    }

    /// <summary>Every family with a place in GGUF, in both directions; for qwen and gemma there is no file of llama.cpp to compare with.</summary>
    [Theory]
    [MemberData(nameof(Models))]
    public void A_model_that_went_through_GGUF_computes_the_same_or_is_refused_for_a_named_setting(string name)
    {
        string folder = Fixtures.FolderOrSkip("models", name);
        var config = JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "config.json")))!.AsObject();
        string type = config["model_type"]!.ToString();
        Assert.SkipUnless(GgufHyperparameters.ArchitectureOf(type) is not null, $"{type} has no place in GGUF here");
        Assert.SkipUnless(ModelCatalogue.Families.Any(family => family.ModelType == type), $"{name}: the family {type} is not built yet");
        using var work = new WorkFolder();
        string copy = Copy(folder, work.Folder("hf"), Expressible(config));
        using var source = ModelSource.Open(copy);
        string path = work.PathOf("m.gguf");
        if (WhyNot(config) is { } setting)
        {
            Assert.Contains(setting, Assert.Throws<PerenosException>(() => ExportToGguf.Run(source, path, "f32")).ToString(), StringComparison.Ordinal);
            Assert.Empty(Directory.EnumerateFiles(work.Root));
            return;
        }

        var written = ExportToGguf.Run(source, path, "f32");
        // GGUF's llama has no window; the command says so, and within the window nothing changes.
        long? window = type == "mistral" ? config["sliding_window"]?.GetValue<long>() : null;
        Assert.Equal(window is not null, written.Losses.Any(loss => loss.Contains("window", StringComparison.Ordinal)));
        int length = (int)Math.Min(12, window ?? 12);
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        using var before = Pretrained.Open(copy, ScalarType.Float32);
        using var after = Pretrained.Open(path, ScalarType.Float32);
        var tokens = tensor(TinyModel.Tokens(2 * length, seed: 1, 90).Select(id => (long)id).ToArray(), [2, length]);
        var expected = before.Model.Logits(before.Model.Hidden(tokens));
        // Gemma's norms went through 1 + w in float32, and rows of query and key are summed in another order.
        Near.Equal(expected, after.Model.Logits(after.Model.Hidden(tokens)), 1e-5 * Math.Max(1, expected.abs().max().item<float>()), name);
    }

    [Theory]
    [MemberData(nameof(Types))]
    public void Every_type_is_written_and_read_back_within_its_error(string type)
    {
        string file = Shared.ParityOrSkip("gguf", "tiny-mixed", "model.gguf");
        using var work = new WorkFolder();
        using var source = ModelSource.Open(file);
        var written = ExportToGguf.Run(source, work.PathOf("m.gguf"), type);
        Assert.Equal(source.Tensors.Tensors.Count, written.Types.Sum(entry => entry.Tensors));
        Assert.Equal(written.Parameters, written.Types.Sum(entry => entry.Parameters));
        // Rows of this model are multiples of 256: the type that was asked for is there. Measured on normal numbers: 0.5 % to 9 %.
        var main = written.Types.Single(entry => string.Equals(entry.Type, type, StringComparison.OrdinalIgnoreCase));
        Assert.InRange(main.Error, 0, 0.12);
        using var actual = GgufFile.Open(work.PathOf("m.gguf"));
        Assert.All(actual.Tensors.Values, tensor => Assert.Equal(0, tensor.Offset % 32));
        Assert.All(actual.Tensors.Values.Where(tensor => tensor.Shape.Length == 1), tensor => Assert.Equal("F32", tensor.Type));
        if (type is "q4_k" or "q4_0" or "q4_1" or "q6_k")
            Assert.Equal("Q6_K", actual.Tensors["output.weight"].Type);
    }

    [Fact]
    public void Several_stop_tokens_the_template_and_the_licence_survive()
    {
        string folder = Shared.ParityOrSkip("gguf", "tiny-gpt2", "hf");
        using var work = new WorkFolder();
        string copy = work.Folder("hf");
        foreach (string path in Directory.EnumerateFiles(folder))
            File.Copy(path, Path.Combine(copy, Path.GetFileName(path)));
        File.WriteAllText(Path.Combine(copy, "generation_config.json"), """{ "eos_token_id": [0, 5, 6] }""");
        File.WriteAllText(Path.Combine(copy, "chat_template.jinja"), "{{ messages[0].content }}");
        File.WriteAllText(Path.Combine(copy, "README.md"), "---\nlicense: mit\nlanguage:\n- en\n- fr\n---\n# A model\n");
        using (var source = ModelSource.Open(copy))
            ExportToGguf.Run(source, work.PathOf("m.gguf"), "f16");
        using var written = ModelSource.Open(work.PathOf("m.gguf"));
        Assert.Equal([0, 5, 6], written.StopTokens);
        Assert.Equal("{{ messages[0].content }}", written.ChatTemplate);
        Assert.Equal("mit", written.Gguf!.Text("general.license"));
        Assert.Equal(["en", "fr"], written.Gguf.Values<string>("general.languages")!);
        Assert.Equal(1, written.Gguf.Integer("general.file_type"));
    }

    [Fact]
    public void What_would_be_overwritten_or_cannot_be_written_is_refused()
    {
        using var source = ModelSource.Open(Shared.ParityOrSkip("gguf", "tiny-gpt2", "model.gguf"));
        using var work = new WorkFolder();
        File.WriteAllText(Path.Combine(work.Folder("full"), "x"), "");
        Assert.Contains("not empty", Assert.Throws<PerenosException>(() => ExportToFolder.Run(source, work.PathOf("full"))).Message, StringComparison.Ordinal);
        Assert.Contains("\"q3\"", Assert.Throws<PerenosException>(() => ExportToGguf.Run(source, work.PathOf("m.gguf"), "q3")).Message, StringComparison.Ordinal);
        Assert.Contains("\"q8_0\"", Assert.Throws<PerenosException>(() => ExportToFolder.Run(source, work.PathOf("new"), "q8_0")).Message, StringComparison.Ordinal);
        Assert.Empty(Directory.EnumerateFiles(work.Root));
    }

    [Fact]
    public void A_value_beyond_half_precision_is_refused_and_leaves_no_file()
    {
        using var work = new WorkFolder();
        string copy = work.Folder("hf");
        foreach (string path in Directory.EnumerateFiles(Shared.ParityOrSkip("gguf", "tiny-gpt2", "hf")))
            File.Copy(path, Path.Combine(copy, Path.GetFileName(path)));
        using (var scope = NewDisposeScope())
        using (var file = CheckpointFolder.OpenWeights(copy))
        {
            var tensors = file.Tensors.Keys.Select(name => (name, file.Read(name))).ToList();
            tensors.First(entry => entry.name.EndsWith("wte.weight", StringComparison.Ordinal)).Item2.bytes[3] = 0x7E; // about 1e38
            SafetensorsWriter.Write(work.PathOf("m.safetensors"), tensors);
            tensors.ForEach(entry => entry.Item2.Dispose());
        }

        File.Move(work.PathOf("m.safetensors"), Path.Combine(copy, "model.safetensors"), overwrite: true);
        using var source = ModelSource.Open(copy);
        Assert.Contains("wte", Assert.Throws<PerenosException>(() => ExportToGguf.Run(source, work.PathOf("m.gguf"), "f16")).Message, StringComparison.Ordinal);
        Assert.Empty(Directory.EnumerateFiles(work.Root));
    }

    [Theory]
    [InlineData("llama")]
    [InlineData("gpt2")]
    [InlineData("gpt_neox")]
    public void The_spread_of_random_weights_need_not_survive(string name)
    {
        using var work = new WorkFolder();
        Assert.NotEqual(0.02, TinyModel.Config(name)["initializer_range"]!.GetValue<double>());
        using var source = ModelSource.Open(SaveTiny(name, work));
        var written = ExportToGguf.Run(source, work.PathOf("m.gguf"), "f32");
        Assert.Equal(source.Tensors.Tensors.Count, written.Types.Sum(entry => entry.Tensors));
    }

    [Fact]
    public void A_transposed_layer_of_GPT2_is_compared_in_the_blocks_that_share_a_scale()
    {
        using var work = new WorkFolder();
        using var source = ModelSource.Open(SaveTiny("gpt2", work));
        var written = ExportToGguf.Run(source, work.PathOf("m.gguf"), "q8_0");
        Assert.Contains(written.Types, type => type.Type == "Q8_0");
    }

    [Fact]
    public void A_pickled_checkpoint_is_converted_to_the_tensors_of_its_twin()
    {
        using var work = new WorkFolder();
        string folder = SaveTiny("gpt2", work);
        var (entries, storages) = (new List<object>(), new List<(string Key, byte[] Data)>());
        using (var twin = CheckpointFolder.OpenWeights(folder))
        {
            foreach (var (name, info) in twin.Tensors)
            {
                using var tensor = twin.Read(name);
                entries.Add(TorchBytes.Unicode(name));
                entries.Add(TorchBytes.Tensor(TorchBytes.Storage($"{storages.Count}", tensor.numel()), 0, info.Shape, tensor.stride()));
                storages.Add(($"{storages.Count}", tensor.bytes.ToArray()));
            }
        }

        File.Move(Path.Combine(folder, "model.safetensors"), work.PathOf("twin.safetensors"));
        File.WriteAllBytes(Path.Combine(folder, "pytorch_model.bin"), TorchBytes.Archive(TorchBytes.Pickle(TorchBytes.Dictionary([.. entries])), [.. storages]));
        using var source = ModelSource.Open(folder);
        using var expected = SafetensorsFile.Open(work.PathOf("twin.safetensors"));
        ExportToGguf.Run(source, work.PathOf("m.gguf"), "f32");
        using var actual = CheckpointFolder.OpenWeights(ExportToFolder.Run(source, work.PathOf("out")).Path);
        Assert.Equal(expected.Tensors.Keys.Order(StringComparer.Ordinal), actual.Tensors.Keys.Order(StringComparer.Ordinal));
        foreach (string tensor in expected.Tensors.Keys)
        {
            using var scope = NewDisposeScope();
            Assert.True(expected.Read(tensor).bytes.SequenceEqual(actual.Read(tensor).bytes), tensor);
        }
    }

    [Fact]
    public void A_setting_that_is_lost_is_named_by_itself_however_deep_it_lies()
    {
        string Lost(string key, JsonNode value)
        {
            var other = TinyModel.Config("llama");
            other[key] = value;
            return Assert.Throws<PerenosException>(() => ConfigDifference.Refuse(TinyModel.Config("llama"), "model", JsonNode.Parse(other.ToJsonString())!.AsObject(), "the GGUF file")).Message;
        }

        Assert.Equal("model: the GGUF file cannot say that Sizes.Heads.Keys is 2; it would read back as 4.", Lost("num_key_value_heads", 4));
        Assert.Equal("model: the GGUF file cannot say that Rotary.Base is 10000; it would read back as 500000.", Lost("rope_theta", 500000.0));
        Assert.Equal("model: the GGUF file cannot say that HasInnerBias is False; it would read back as True.", Lost("mlp_bias", true));
    }

    private static string SaveTiny(string name, WorkFolder work)
    {
        var config = TinyModel.Config(name);
        config["eos_token_id"] = 0;
        File.WriteAllText(work.PathOf("config.json"), config.ToJsonString());
        File.WriteAllText(work.PathOf("tokenizer.json"), Tokenizer);
        using var started = Pretrained.Start(work.PathOf("config.json"), work.PathOf("tokenizer.json"), seed: 1, ScalarType.Float32);
        started.Save(work.PathOf("hf"));
        return work.PathOf("hf");
    }

    private static ModelSource OpenOrSkip(string location, string name)
    {
        var source = ModelSource.Open(location);
        string type = source.Config["model_type"]!.ToString();
        if (ModelCatalogue.Families.All(family => family.ModelType != type))
            source.Dispose();
        Assert.SkipUnless(ModelCatalogue.Families.Any(family => family.ModelType == type), $"{name}: the family {type} is not built yet");
        return source;
    }

    private static string Copy(string from, string to, JsonObject config)
    {
        foreach (string path in Directory.EnumerateFiles(from, "*.safetensors*").Where(path => !Path.GetFileName(path).StartsWith("expected", StringComparison.Ordinal)))
            File.Copy(path, Path.Combine(to, Path.GetFileName(path)));
        File.WriteAllText(Path.Combine(to, "config.json"), config.ToJsonString());
        File.WriteAllText(Path.Combine(to, "generation_config.json"), """{ "eos_token_id": 0 }""");
        File.WriteAllText(Path.Combine(to, "tokenizer.json"), Tokenizer);
        return to;
    }

    /// <summary>Gemma 2 and 3 as llama.cpp knows them: windows in all layers but every second or sixth, scores divided by the root of the head's size.</summary>
    private static JsonObject Expressible(JsonObject config)
    {
        config = (JsonObject)config.DeepClone();
        if (config["model_type"]!.ToString() is "gemma2" or "gemma3_text")
        {
            config["query_pre_attn_scalar"] = config["head_dim"]!.DeepClone();
            config.Remove("layer_types");
            config.Remove("sliding_window_pattern");
            config.Remove("_sliding_window_pattern");
        }

        return config;
    }

    private static string? WhyNot(JsonObject config)
    {
        if (config["model_type"]!.ToString() is "llama" or "mistral" && config["hidden_act"]?.ToString() is not (null or "silu"))
            return "hidden_act";
        var rope = (config["rope_parameters"] ?? config["rope_scaling"]) as JsonObject;
        return rope?["rope_type"]?.ToString() == "dynamic" ? "dynamic" : null;
    }
}
