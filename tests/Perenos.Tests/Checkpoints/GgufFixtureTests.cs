using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Nodes;
using Perenos.Checkpoints;
using Perenos.Testing;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Checkpoints;

/// <summary>Whole GGUF files against the same models in Hugging Face's form.</summary>
public sealed class GgufFixtureTests
{
    private static List<string> ModelFolders()
    {
        var folders = Directory.EnumerateDirectories(Shared.ParityOrSkip("gguf"))
            .Where(f => File.Exists(Path.Combine(f, "model.gguf"))).Order(StringComparer.Ordinal).ToList();
        Assert.NotEmpty(folders);
        return folders;
    }

    private static List<string> FoldersWithTwin()
    {
        var folders = ModelFolders().Where(f => Directory.Exists(Path.Combine(f, "hf"))).ToList();
        Assert.NotEmpty(folders);
        return folders;
    }

    [Fact]
    public void Tensors_have_the_names_shapes_and_bits_of_the_Hugging_Face_twin()
    {
        foreach (string folder in FoldersWithTwin())
        {
            using var scope = NewDisposeScope();
            using var actual = CheckpointFolder.OpenWeights(Path.Combine(folder, "model.gguf"));
            using var expected = CheckpointFolder.OpenWeights(Path.Combine(folder, "hf"));
            Assert.Equal(expected.Tensors.Keys.Order(StringComparer.Ordinal), actual.Tensors.Keys.Order(StringComparer.Ordinal));
            foreach (var (name, info) in expected.Tensors)
            {
                var (a, e) = (actual.Read(name), expected.Read(name));
                Assert.Equal(info.Shape, actual.Tensors[name].Shape);
                Assert.Equal(e.shape, a.shape);
                Assert.Equal(e.dtype, a.dtype);
                Assert.True(a.is_contiguous());
                Assert.True(a.bytes.SequenceEqual(e.bytes), $"{folder}: {name}");
                Assert.True(actual.Read(name, torch.ScalarType.BFloat16).bytes.SequenceEqual(e.to(torch.ScalarType.BFloat16).bytes), name);
            }
        }
    }

    [Fact]
    public void The_configuration_agrees_with_the_twins_config_json()
    {
        foreach (string folder in FoldersWithTwin())
            AssertAgrees(Path.Combine(folder, "model.gguf"), Path.Combine(folder, "hf", "config.json"));
    }

    [Fact]
    public void The_configuration_of_the_real_model_agrees_with_its_config_json()
    {
        string folder = Shared.SharedOrSkip("models", "smollm2-135m-instruct");
        AssertAgrees(Directory.EnumerateFiles(folder, "*.gguf").Single(), Path.Combine(folder, "config.json"));
    }

    /// <summary>Every key that was derived must be there with the same value, in the spelling of version 4 or 5.</summary>
    private static void AssertAgrees(string gguf, string configPath)
    {
        var expected = JsonNode.Parse(File.ReadAllBytes(configPath))!.AsObject();
        if (expected["rope_parameters"] is JsonObject rope)
        {
            expected["rope_theta"] = rope["rope_theta"]!.DeepClone();
            expected["rotary_emb_base"] = rope["rope_theta"]!.DeepClone();
            expected["rotary_pct"] = rope["partial_rotary_factor"]?.DeepClone();
        }

        using var file = GgufFile.Open(gguf);
        var actual = GgufConfig.ToHuggingFace(file);
        Assert.True(actual.Count > 10);
        foreach (var (key, value) in actual)
        {
            if (key == "rope_scaling" && !expected.ContainsKey(key))
                Assert.Null(value);
            else
                Assert.True(Same(expected[key], value), $"{gguf}: {key} is {value}, expected {expected[key]}");
        }

        static bool Same(JsonNode? a, JsonNode? b) =>
            a?.GetValueKind() == JsonValueKind.Number && b?.GetValueKind() == JsonValueKind.Number
                ? double.Parse(a.ToJsonString()) == double.Parse(b.ToJsonString())
                : JsonNode.DeepEquals(a, b);
    }

    [Fact]
    public void The_tokenizer_parts_agree_with_the_twins_tokenizer_json()
    {
        foreach (string folder in FoldersWithTwin())
        {
            using var file = GgufFile.Open(Path.Combine(folder, "model.gguf"));
            AssertVocabulary(GgufTokenizerParts.From(file), Path.Combine(folder, "hf", "tokenizer.json"));
        }
    }

    [Fact]
    public void The_real_model_carries_its_tokenizer_and_chat_template()
    {
        string folder = Shared.SharedOrSkip("models", "smollm2-135m-instruct");
        using var file = GgufFile.Open(Directory.EnumerateFiles(folder, "*.gguf").Single());
        var parts = GgufTokenizerParts.From(file);
        AssertVocabulary(parts, Path.Combine(folder, "tokenizer.json"));
        Assert.Equal(("gpt2", "smollm", 1, 2), (parts!.Model, parts.Pre, parts.BeginningId, parts.EndId));
        var settings = JsonNode.Parse(File.ReadAllBytes(Path.Combine(folder, "tokenizer_config.json")))!;
        Assert.Equal(settings["chat_template"]!.GetValue<string>(), parts.ChatTemplate);
    }

    private static void AssertVocabulary(GgufTokenizerParts? parts, string tokenizerJson)
    {
        Assert.NotNull(parts);
        var tokenizer = JsonNode.Parse(File.ReadAllBytes(tokenizerJson))!;
        var vocabulary = tokenizer["model"]!["vocab"]!.AsObject();
        Assert.NotEmpty(vocabulary);
        foreach (var (token, id) in vocabulary)
            Assert.Equal(token, parts.Tokens[id!.GetValue<int>()]);
        if (parts.Merges.Length > 0)
        {
            var merges = tokenizer["model"]!["merges"]!.AsArray()
                .Select(m => m is JsonArray pair ? $"{pair[0]} {pair[1]}" : m!.GetValue<string>());
            Assert.Equal(merges, parts.Merges);
        }
        else
        {
            Assert.Equal(parts.Tokens.Length, parts.Scores.Length);
        }

        Assert.Equal(parts.Tokens.Length, parts.Types.Length);
    }

    [Fact]
    public void Metadata_of_every_kind_and_quantised_tensors_are_read_as_expected()
    {
        string root = Shared.ParityOrSkip("gguf");
        using var expectations = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(root, "tiny_expected.json")));
        var files = expectations.RootElement.GetProperty("files").EnumerateObject().ToList();
        Assert.NotEmpty(files);
        foreach (var expected in files)
        {
            using var file = GgufFile.Open(Path.Combine(root, expected.Name, "model.gguf"));
            Assert.Equal(expected.Value.GetProperty("tensor_count").GetInt32(), file.Tensors.Count);
            Assert.Equal(expected.Value.GetProperty("data_offset").GetInt64(), file.Tensors.Values.Min(t => t.Offset));
            if (expected.Value.TryGetProperty("metadata", out var metadata))
            {
                foreach (var pair in metadata.EnumerateObject())
                    Assert.True(JsonNode.DeepEquals(JsonNode.Parse(pair.Value.GetRawText()), AsJson(file.Metadata[pair.Name])), pair.Name);
            }

            if (expected.Value.TryGetProperty("tensors", out var tensors))
                AssertTensors(file, tensors);
        }
    }

    [Fact]
    public void The_real_models_tensors_have_the_expected_bits()
    {
        string root = Shared.ParityOrSkip("gguf", "smollm2");
        string folder = Shared.SharedOrSkip("models", "smollm2-135m-instruct");
        using var expectations = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(root, "expected.json")));
        using var file = GgufFile.Open(Directory.EnumerateFiles(folder, "*.gguf").Single());
        AssertTensors(file, expectations.RootElement.GetProperty("tensors"));

        using var rows = SafetensorsFile.Open(Path.Combine(root, "expected.safetensors"));
        const string Prefix = "dequant/";
        var names = rows.Tensors.Keys.Where(k => k.StartsWith(Prefix, StringComparison.Ordinal)).ToList();
        Assert.NotEmpty(names);
        foreach (string name in names)
        {
            using var scope = NewDisposeScope();
            string gguf = name[Prefix.Length..];
            var actual = file.Read(gguf);
            if (actual.dim() == 2)
            {
                long[] chosen = expectations.RootElement.GetProperty("tensors").GetProperty(gguf).GetProperty("rows").Deserialize<long[]>()!;
                actual = actual.index_select(0, tensor(chosen));
            }

            Assert.True(actual.bytes.SequenceEqual(rows.Read(name).bytes), gguf);
        }
    }

    private static void AssertTensors(GgufFile file, JsonElement tensors)
    {
        Assert.NotEmpty(tensors.EnumerateObject());
        foreach (var expected in tensors.EnumerateObject())
        {
            var info = file.Tensors[expected.Name];
            Assert.Equal(expected.Value.GetProperty("type").GetString(), info.Type);
            Assert.Equal(expected.Value.GetProperty("shape_row_major").Deserialize<long[]>(), info.Shape);
            using var values = file.Read(expected.Name, torch.ScalarType.Float32);
            Assert.Equal(expected.Value.GetProperty("sha256_f32_le").GetString(), Convert.ToHexStringLower(SHA256.HashData(values.bytes)));
            if (values.numel() > 1 << 20)
                continue; // a second on a busy machine; the small ones take the same path
            using var half = file.Read(expected.Name, torch.ScalarType.BFloat16);
            using var rounded = values.to(torch.ScalarType.BFloat16);
            Assert.True(half.bytes.SequenceEqual(rounded.bytes), expected.Name);
        }
    }

    /// <summary>Single precision widened, as Python writes it.</summary>
    private static JsonNode? AsJson(GgufValue value)
    {
        object widened = value.Value switch { float f => (double)f, float[] f => f.Select(x => (double)x).ToArray(), var other => other };
        return JsonSerializer.SerializeToNode(widened, widened.GetType());
    }
}
