using System.Globalization;
using System.Text.Json.Nodes;
using Perenos.Layers;
using Perenos.Models;
using Xunit;

namespace Perenos.Tests.Models;

/// <summary>What configurations mean where they leave something out, in both spellings.</summary>
public sealed class ModelConfigTests
{
    private const string Sizes = """ "vocab_size": 32, "hidden_size": 16, "num_hidden_layers": 7, "num_attention_heads": 2, "intermediate_size": 24 """;

    [Theory]
    [InlineData("", "4096")]
    [InlineData(""", "sliding_window": null """, "none")]
    [InlineData(""", "sliding_window": 9 """, "9")]
    public void Mistral_has_a_window_unless_it_says_null(string more, string expected) =>
        Assert.Equal(expected, Shown(new MistralConfig(Reader(""" "num_key_value_heads": 2 """ + more)).Window));

    [Theory]
    [InlineData(""" "sliding_window": 8, "max_window_layers": 5 """, "none none none none none none none")]
    [InlineData(""" "use_sliding_window": true, "sliding_window": 8, "max_window_layers": 5 """, "none none none none none 8 8")]
    [InlineData(""" "use_sliding_window": true, "sliding_window": 8 """, "none none none none none none none")]
    [InlineData(""" "use_sliding_window": true, "max_window_layers": 6 """, "none none none none none none 4096")]
    public void Qwen_slides_only_where_it_says_so_and_only_from_a_layer_on(string more, string expected) =>
        Assert.Equal(expected, Shown(new Qwen2Config(Reader(""" "num_key_value_heads": 2, """ + more)).Windows));

    [Fact]
    public void Every_second_layer_of_gemma_2_slides_and_all_but_every_sixth_of_gemma_3()
    {
        Assert.Equal("6 none 6 none 6 none 6", Shown(new Gemma2Config(Reader(""" "num_key_value_heads": 2, "sliding_window": 6 """)).Windows));
        Assert.Equal("6 6 6 6 6 none 6", Shown(new Gemma3Config(Reader(""" "num_key_value_heads": 2, "sliding_window": 6 """)).Windows));
        Assert.Equal("6 6 none 6 6 none 6", Shown(new Gemma3Config(Reader(""" "num_key_value_heads": 2, "sliding_window": 6, "sliding_window_pattern": 3 """)).Windows));
    }

    [Fact]
    public void Gemma_2_caps_unless_it_says_null_and_its_heads_have_256_channels()
    {
        var plain = new Gemma2Config(Reader(""" "num_key_value_heads": 2 """));
        Assert.Equal((50.0, 30.0, 256.0, 256L), (plain.ScoreCap, plain.LogitCap, plain.QueryScalar, plain.Sizes.Heads.Size));
        var bare = new Gemma2Config(Reader(""" "num_key_value_heads": 2, "attn_logit_softcapping": null, "final_logit_softcapping": null """));
        Assert.Null(bare.ScoreCap);
        Assert.Null(bare.LogitCap);
    }

    [Theory]
    [InlineData("", 1_000_000, 10_000, false)]
    [InlineData(""", "rope_theta": 5000, "rope_local_base_freq": 300, "rope_scaling": { "rope_type": "linear", "factor": 8 } """, 5000, 300, true)]
    [InlineData(""", "rope_parameters": { "full_attention": { "rope_type": "linear", "factor": 8, "rope_theta": 70 }, "sliding_attention": { "rope_theta": 9 } } """, 70, 9, true)]
    public void Gemma_3_has_two_rotary_bases_and_stretches_the_full_layers_only(string more, double full, double local, bool isStretched)
    {
        var config = new Gemma3Config(Reader(""" "num_key_value_heads": 2 """ + more));
        Assert.Equal((full, local), (config.Rotary.Base, config.LocalRotary.Base));
        Assert.Equal(isStretched, config.Rotary.Scaling is RotaryScaling.Linear { Factor: 8 });
        Assert.IsType<RotaryScaling.None>(config.LocalRotary.Scaling);
    }

    [Theory]
    [InlineData("", "True True True False True True True")]
    [InlineData(""" "no_rope_layer_interval": 2, """, "True False True False True False True")]
    [InlineData(""" "no_rope_layers": [0, 1, 0, 0, 0, 0, 1], """, "False True False False False False True")]
    public void SmolLM3_leaves_positions_out_of_the_layers_marked_0(string more, string expected) =>
        Assert.Equal(expected, string.Join(' ', new SmolLm3Config(Reader(more + """ "num_key_value_heads": 2 """)).IsRotary));

    [Fact]
    public void Phi_3_takes_the_original_length_from_beside_the_section_and_the_growth_from_both_lengths()
    {
        string factors = """ "short_factor": [1, 1, 1, 1], "long_factor": [2, 2, 2, 2] """;
        var config = new Phi3Config(Reader($$""" "max_position_embeddings": 64, "original_max_position_embeddings": 16, "rope_scaling": { "type": "su", "original_max_position_embeddings": 99, {{factors}} } """));
        var scaling = Assert.IsType<RotaryScaling.LongRope>(config.Rotary.Scaling);
        Assert.Equal(16, scaling.OriginalLength);
        Assert.Equal(Math.Sqrt(1 + Math.Log(4) / Math.Log(16)), scaling.AttentionFactor, 1e-12);
        Assert.False(config.Rotary.Outgrows(0, 20));
        Assert.True(config.Rotary.Outgrows(16, 17));
        Assert.False(config.Rotary.Outgrows(17, 18));
    }

    [Theory]
    [InlineData("", "True True True True True True True")]
    [InlineData(""", "mlp_only_layers": [0, 6] """, "False True True True True True False")]
    [InlineData(""", "decoder_sparse_step": 3, "mlp_only_layers": [5] """, "False False True False False False False")]
    public void Qwen_3s_experts_lie_in_every_so_many_layers_but_those_excepted(string more, string expected) =>
        Assert.Equal(expected, string.Join(' ', new Qwen3MoeConfig(Reader(""" "num_key_value_heads": 2 """ + more)).HasExperts));

    [Fact]
    public void The_experts_balance_counts_only_where_router_logits_are_asked_for()
    {
        Assert.Equal(0, new OlmoeConfig(Reader(""" "router_aux_loss_coef": 0.5 """)).Experts.BalanceWeight);
        Assert.Equal(0.5, new OlmoeConfig(Reader(""" "router_aux_loss_coef": 0.5, "output_router_logits": true """)).Experts.BalanceWeight);
        Assert.Equal(0.01, new OlmoeConfig(Reader(""" "output_router_logits": true """)).Experts.BalanceWeight);
    }

    [Fact]
    public void Heads_that_are_null_are_as_many_as_query_heads_and_absent_ones_the_familys()
    {
        Assert.Equal(new HeadCounts(2, 2, 8), HeadCounts.Read(Reader(""" "num_key_value_heads": null, "head_dim": null """), 16, absentKeys: 1));
        Assert.Equal(new HeadCounts(2, 1, 128), HeadCounts.Read(Reader(""" "rms_norm_eps": 1 """), 16, absentKeys: 1, absentSize: 128));
    }

    private static ConfigReader Reader(string more) => new(JsonNode.Parse($"{{ {Sizes}, {more} }}")!.AsObject(), "config.json");

    private static string Shown(long? window) => window?.ToString(CultureInfo.InvariantCulture) ?? "none";

    private static string Shown(IEnumerable<long?> windows) => string.Join(' ', windows.Select(Shown));
}
