using Perenos.Layers;
using Perenos.Runs.Config;
using static TorchSharp.torch;

namespace Perenos.Adapters;

/// <summary>
/// P-tuning: a prompt that a small network computes from trained vectors (Liu et al. 2021, https://arxiv.org/abs/2103.10385). Only its
/// result is kept: PEFT saves no encoder. Differs from the paper: the network adds to the vectors, as in residual prompt tuning
/// (Razdaibiedina et al. 2023, https://arxiv.org/abs/2305.03937), so that the prompt can start as real tokens instead of at random:
/// p = ρ (e + f(e)), with ρ the embedding's root mean square, e at the start rows of the embedding / ρ, and f's last layer at 0.
/// </summary>
public static class PTuning
{
    internal const string Method = "P_TUNING";

    /// <summary>A fresh encoder whose prompt starts as the embedding of these tokens, attached; as many virtual tokens as there are tokens.</summary>
    public static Adapter Start(ModelParts parts, PTuningConfig settings, IReadOnlyList<int> tokens, ulong seed)
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        var config = PromptTuning.Describe(parts, Method, tokens.Count);
        config["encoder_dropout"] = 0.0;
        config["encoder_hidden_size"] = settings.HiddenSize ?? (int)parts.Embeddings[0].Width;
        config["encoder_num_layers"] = 2;
        config["encoder_reparameterization_type"] = settings.Encoder == PromptEncoderKind.Lstm ? "LSTM" : "MLP";
        return PeftMethods.Start(config, parts, seed, start: PromptTuning.Rows(parts, tokens).Times(1 / PromptTuning.Scale(parts)));
    }

    internal static UpdateDropout? Place(PeftConfig config, AdapterWeights weights, ModelParts parts, List<AdapterPart> pieces)
    {
        config.RefuseUnknown("num_virtual_tokens", "token_dim", "num_attention_heads", "num_layers",
            "encoder_reparameterization_type", "encoder_hidden_size", "encoder_num_layers", "encoder_dropout");
        if (!weights.IsFresh)
        {
            pieces.Add(new PromptPart(parts, PromptTuning.TakeVectors(config, weights, parts)));
            return null;
        }

        var embedding = parts.Embeddings[0];
        var (count, width, hidden) = ((long)config.Size("num_virtual_tokens"), embedding.Width, (long)config.Size("encoder_hidden_size"));
        var encoder = new EncoderWeights(weights, embedding.Weight);
        var table = encoder.Normal("encoder.embedding.weight", count, width);
        double scale = PromptTuning.Scale(parts);
        Tensor Prompt(Tensor added) => table.Plus(added).Times(scale);
        if (config.Text("encoder_reparameterization_type") == "LSTM")
        {
            var cells = Enumerable.Range(0, config.Size("encoder_num_layers", 2)).Select(layer => (
                Forward: LstmCell.Take(encoder, $"l{layer}", layer == 0 ? width : 2 * hidden, hidden),
                Backward: LstmCell.Take(encoder, $"l{layer}_reverse", layer == 0 ? width : 2 * hidden, hidden))).ToList();
            var (first, last) = (encoder.Linear("encoder.mlp_head.0", 2 * hidden, 2 * hidden), encoder.LinearAtZero("encoder.mlp_head.2", 2 * hidden, width));
            pieces.Add(new EncodedPromptPart(parts, count, encoder.Taken, () =>
                Prompt(last.Apply(nn.functional.relu(first.Apply(cells.Aggregate(table, (line, layer) => cat([layer.Forward.Run(line, isReverse: false), layer.Backward.Run(line, isReverse: true)], 1))))))));
            return null;
        }

        var layers = new[] { encoder.Linear("encoder.mlp_head.0", width, hidden), encoder.Linear("encoder.mlp_head.2", hidden, hidden), encoder.LinearAtZero("encoder.mlp_head.4", hidden, width) };
        pieces.Add(new EncodedPromptPart(parts, count, encoder.Taken, () =>
            Prompt(layers[2].Apply(nn.functional.relu(layers[1].Apply(nn.functional.relu(layers[0].Apply(table))))))));
        return null;
    }
}

/// <summary>A prompt that is computed anew at each call.</summary>
internal sealed class EncodedPromptPart(ModelParts parts, long count, IReadOnlyList<(string Name, Tensor Tensor)> weights, Func<Tensor> encode) : AdapterPart, IPromptVectors
{
    public override string Path => "prompt";

    public override bool IsSpared => true;

    public override IEnumerable<(string Name, Tensor Tensor)> Weights => weights;

    public override IEnumerable<(string Name, Tensor Tensor)> Saved
    {
        get
        {
            using var quiet = no_grad();
            yield return ("prompt_embeddings", Vectors().squeeze(0));
        }
    }

    public override string WhyNotMerged => "virtual tokens are no weights of the base";

    public long Count => count;

    public Tensor Vectors()
    {
        using var scope = NewDisposeScope();
        return encode().unsqueeze(0).MoveToOuterDisposeScope(); // (1, N, C)
    }

    public override void Attach() => PromptSlot.Fill(parts, this);

    public override void Detach() => parts.Prompt = null;

    public override void Merge() => throw new InvalidOperationException(WhyNotMerged);

    public override void Unmerge() => throw new InvalidOperationException(WhyNotMerged);

    public override void Dispose()
    {
        foreach (var (_, tensor) in weights)
            tensor.Dispose();
    }
}

/// <summary>Weights of an encoder as they are taken, by the names of PEFT's modules; they start as torch's layers do.</summary>
internal sealed class EncoderWeights(AdapterWeights weights, Tensor like)
{
    private readonly List<(string Name, Tensor Tensor)> _taken = [];

    public IReadOnlyList<(string Name, Tensor Tensor)> Taken => _taken;

    /// <summary>An embedding [rows, columns], normal.</summary>
    public Tensor Normal(string name, long rows, long columns) => Take(name, [rows, columns], generator => randn([rows, columns], generator: generator));

    /// <summary>Uniform within ±1/√<paramref name="fan"/>.</summary>
    public Tensor Uniform(string name, long[] shape, long fan) =>
        Take(name, shape, generator => rand(shape, generator: generator).Scale(2 / Math.Sqrt(fan)).Increase(-1 / Math.Sqrt(fan)));

    public EncoderLinear Linear(string name, long inputs, long outputs) =>
        new(Uniform($"{name}.weight", [outputs, inputs], inputs), Uniform($"{name}.bias", [outputs], inputs));

    /// <summary>A layer that adds nothing at the start.</summary>
    public EncoderLinear LinearAtZero(string name, long inputs, long outputs) =>
        new(Take($"{name}.weight", [outputs, inputs], _ => zeros([outputs, inputs])), Take($"{name}.bias", [outputs], _ => zeros([outputs])));

    private Tensor Take(string name, long[] shape, Func<Generator, Tensor> start)
    {
        var tensor = weights.Take("", name, shape, like, start).DetachFromDisposeScope();
        _taken.Add((name, tensor));
        return tensor;
    }
}

/// <summary>A linear layer of an encoder.</summary>
internal sealed record EncoderLinear(Tensor Weight, Tensor Bias)
{
    public Tensor Apply(Tensor input) => nn.functional.linear(input, Weight, Bias);
}

/// <summary>One direction of one layer of an LSTM (Hochreiter and Schmidhuber 1997); gates in torch's order: input, forget, cell, output.</summary>
internal sealed record LstmCell(Tensor InputWeight, Tensor HiddenWeight, Tensor InputBias, Tensor HiddenBias)
{
    public static LstmCell Take(EncoderWeights encoder, string suffix, long inputs, long hidden) => new(
        encoder.Uniform($"encoder.lstm_head.weight_ih_{suffix}", [4 * hidden, inputs], hidden),
        encoder.Uniform($"encoder.lstm_head.weight_hh_{suffix}", [4 * hidden, hidden], hidden),
        encoder.Uniform($"encoder.lstm_head.bias_ih_{suffix}", [4 * hidden], hidden),
        encoder.Uniform($"encoder.lstm_head.bias_hh_{suffix}", [4 * hidden], hidden));

    /// <summary>(N, inputs) -> (N, hidden), first to last or the other way.</summary>
    public Tensor Run(Tensor line, bool isReverse)
    {
        using var scope = NewDisposeScope();
        long count = line.shape[0], hidden = HiddenWeight.shape[1];
        Tensor state = zeros([1, hidden], line.dtype, line.device), memory = zeros([1, hidden], line.dtype, line.device);
        var outputs = new Tensor[count];
        for (long step = 0; step < count; step++)
        {
            long place = isReverse ? count - 1 - step : step;
            var gates = nn.functional.linear(line.narrow(0, place, 1), InputWeight, InputBias)
                .Plus(nn.functional.linear(state, HiddenWeight, HiddenBias)).chunk(4, 1);
            memory = gates[1].sigmoid().mul(memory).Plus(gates[0].sigmoid().mul(gates[2].tanh()));
            state = gates[3].sigmoid().mul(memory.tanh());
            outputs[place] = state;
        }

        return cat(outputs, 0).MoveToOuterDisposeScope();
    }
}
