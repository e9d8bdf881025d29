using System.Text.Json.Nodes;
using Perenos.Adapters;
using Perenos.Checkpoints;
using Perenos.Models;
using static TorchSharp.torch;

namespace Perenos.Fuzz.Targets;

/// <summary>adapter_config.json of PEFT and of mlx-lm, with weights beside it that fit the seeds, opened on a model of one layer.</summary>
internal static class AdapterTarget
{
    private const string Weights = "adapter_model.safetensors", MlxWeights = "adapters.safetensors";

    private static readonly Lazy<CausalModel> Model = new(() => ModelCatalogue.Start(JsonNode.Parse("""
        {"model_type":"llama","hidden_size":8,"intermediate_size":12,"num_hidden_layers":1,"num_attention_heads":2,"num_key_value_heads":1,"vocab_size":16,"max_position_embeddings":32,
         "rms_norm_eps":1e-5,"hidden_act":"silu","tie_word_embeddings":false}
        """)!.AsObject(), "llama", 1, ScalarType.Float32));

    public static FuzzTarget Create() => new("adapter",
    [
        """
        {"alpha_pattern":{},"auto_mapping":null,"base_model_name_or_path":"base","bias":"none","fan_in_fan_out":false,"inference_mode":true,"init_lora_weights":true,"layers_pattern":null,"layers_to_transform":null,
         "lora_alpha":4,"lora_dropout":0.0,"modules_to_save":null,"peft_type":"LORA","r":2,"rank_pattern":{},"revision":null,"target_modules":["q_proj"],"task_type":"CAUSAL_LM","use_dora":false,"use_rslora":false}
        """u8.ToArray(),
        """{"fine_tune_type":"lora","num_layers":1,"lora_parameters":{"rank":2,"scale":4.0,"dropout":0.0,"keys":["self_attn.q_proj"]}}"""u8.ToArray(),
        """{"peft_type":"LORA","r":2,"lora_alpha":4.5,"lora_dropout":0.1,"target_modules":".*\\.q_proj","bias":"none","task_type":"CAUSAL_LM","rank_pattern":{"q_proj":2},"alpha_pattern":{"q_proj":8}}"""u8.ToArray(),
    ],
    TextDamage.Json, Read);

    private static long Read(FuzzInput input)
    {
        string weights = input.FileBeside(Weights);
        if (!File.Exists(weights))
        {
            using var scope = NewDisposeScope();
            SafetensorsWriter.Write(weights,
            [
                ("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", ones(2, 8)), ("base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight", ones(8, 2)),
            ]);
            SafetensorsWriter.Write(input.FileBeside(MlxWeights),
            [
                ("model.layers.0.self_attn.q_proj.lora_a", ones(8, 2)), ("model.layers.0.self_attn.q_proj.lora_b", ones(2, 8)),
            ]);
        }

        using var adapter = PeftFolder.Open(Path.GetDirectoryName(input.FileNamed("adapter_config.json"))!, Model.Value.Parts);
        return 0;
    }
}
