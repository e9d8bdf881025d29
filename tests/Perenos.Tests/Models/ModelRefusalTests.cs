using System.Text.Json.Nodes;
using Perenos.Models;
using Perenos.Runs;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Models;

/// <summary>What no code here implements is refused by name, before any weight is read.</summary>
public sealed class ModelRefusalTests
{
    [Theory]
    [InlineData("bloom", "n_inner", "100")]
    [InlineData("codegen", "n_head", "2")]
    [InlineData("codegen", "rotary_dim", "7")]
    [InlineData("falcon", "num_ln_in_parallel_attn", "2")]
    [InlineData("falcon grouped", "num_ln_in_parallel_attn", "3")]
    [InlineData("falcon grouped", "parallel_attn", "false")]
    [InlineData("falcon grouped", "num_kv_heads", "3")]
    [InlineData("gpt2", "add_cross_attention", "true")]
    [InlineData("gpt2", "n_head", "4294967296")]
    [InlineData("gpt2", "layer_norm_epsilon", "1e999")]
    [InlineData("gpt_bigcode", "add_cross_attention", "true")]
    [InlineData("gpt_bigcode", "activation_function", "\"snake\"")]
    [InlineData("gpt_neo", "attention_types", "[[[\"global\"], 1]]")]
    [InlineData("gpt_neo", "attention_types", "[[[\"global\", \"sparse\"], 1]]")]
    [InlineData("gpt_neo", "attention_types", "\"local\"")]
    [InlineData("gpt_neox", "num_attention_heads", "5")]
    [InlineData("gpt_neox", "rotary_pct", "0.4")]
    [InlineData("gptj", "rotary_dim", "10")]
    [InlineData("gptj", "rotary_dim", "null")]
    [InlineData("phi", "num_key_value_heads", "3")]
    [InlineData("stablelm", "hidden_act", "\"snake\"")]
    [InlineData("cohere", "rope_scaling", "{ \"rope_type\": \"spiral\" }")]
    [InlineData("gemma", "use_bidirectional_attention", "true")]
    [InlineData("gemma2", "attn_logit_softcapping", "-1")]
    [InlineData("gemma2", "layer_types", "[\"full_attention\", \"chunked_attention\"]")]
    [InlineData("gemma2", "layer_types", "[\"full_attention\"]")]
    [InlineData("gemma3_text", "attn_logit_softcapping", "30")]
    [InlineData("gemma3_text", "rope_parameters", "{ \"rope_theta\": 10000 }")]
    [InlineData("granite", "logits_scaling", "0")]
    [InlineData("llama", "partial_rotary_factor", "0.5")]
    [InlineData("mistral", "hidden_act", "\"snake\"")]
    [InlineData("mixtral", "router_jitter_noise", "0.1")]
    [InlineData("mixtral", "num_experts_per_tok", "5")]
    [InlineData("olmoe", "clip_qkv", "0")]
    [InlineData("phi3", "rope_scaling", "{ \"type\": \"linear\", \"factor\": 2 }")]
    [InlineData("phi3 for long texts", "rope_scaling", "{ \"type\": \"longrope\", \"short_factor\": [1, 1], \"long_factor\": [1, 1, 1] }")]
    [InlineData("qwen2 tied", "layer_types", "[\"sliding_attention\", \"full_attention\"]")]
    [InlineData("smollm3", "no_rope_layers", "[1]")]
    public void A_value_that_is_not_implemented_is_refused_by_name(string name, string key, string value)
    {
        var config = TinyModel.Config(name);
        config[key] = JsonNode.Parse(value);
        var problem = Assert.Throws<PerenosException>(() => ModelCatalogue.Start(config, "config.json", 1, ScalarType.Float32));
        string named = key switch
        {
            "rotary_pct" => "rotated share of 0.4",
            "partial_rotary_factor" => "rotated share of 0.5",
            "rope_scaling" when name == "phi3" => "Linear",
            "layer_types" when value.Contains("chunked", StringComparison.Ordinal) => "chunked_attention",
            "layer_types" when value.Contains("sliding", StringComparison.Ordinal) => "sliding_window",
            _ when value.Contains("snake", StringComparison.Ordinal) => "snake",
            _ => key,
        };
        Assert.Contains(named, problem.Message, StringComparison.Ordinal);
        Assert.NotEmpty(problem.Hint);
    }

    [Fact]
    public void An_unknown_family_is_refused_with_the_known_ones_and_the_nearest()
    {
        var problem = Assert.Throws<PerenosException>(() => ModelCatalogue.FamilyOf(new JsonObject { ["model_type"] = "gpt-neox" }, "config.json"));
        Assert.Contains("gpt-neox", problem.Message, StringComparison.Ordinal);
        Assert.Contains("Nearest: gpt_neox.", problem.Hint, StringComparison.Ordinal);
        Assert.All(ModelCatalogue.Families, family => Assert.Contains(family.ModelType, problem.Hint, StringComparison.Ordinal));
        var missing = Assert.Throws<PerenosException>(() => ModelCatalogue.FamilyOf([], "config.json"));
        Assert.Contains("missing", missing.Message, StringComparison.Ordinal);
    }
}
