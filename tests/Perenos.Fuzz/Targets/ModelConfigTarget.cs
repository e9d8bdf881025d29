using Perenos.Models;
using Perenos.Runs;

namespace Perenos.Fuzz.Targets;

/// <summary>config.json: read as its family reads it.</summary>
internal static class ModelConfigTarget
{
    public static FuzzTarget Create() => new("config",
    [
        """
        {"model_type":"llama","architectures":["LlamaForCausalLM"],"hidden_size":64,"intermediate_size":96,"num_hidden_layers":2,"num_attention_heads":4,"num_key_value_heads":2,"head_dim":16,"vocab_size":100,
         "max_position_embeddings":128,"rms_norm_eps":1e-05,"hidden_act":"silu","tie_word_embeddings":false,"attention_bias":false,"mlp_bias":false,"rope_theta":10000.0,"torch_dtype":"bfloat16",
         "rope_scaling":{"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":64}}
        """u8.ToArray(),
        """{"model_type":"gpt2","n_embd":32,"n_head":4,"n_layer":2,"n_positions":48,"n_inner":null,"vocab_size":100,"activation_function":"gelu_new","layer_norm_epsilon":1e-05}"""u8.ToArray(),
    ],
    TextDamage.Json, Read);

    private static long Read(FuzzInput input)
    {
        string path = input.FileNamed("config.json");
        var config = JsonFile.ReadObject(path, "");
        _ = ModelCatalogue.FamilyOf(config, path).Read(config, path);
        return 0;
    }
}
