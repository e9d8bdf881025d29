using Perenos.Layers;
using Perenos.Models;
using TorchSharp.Modules;
using TorchSharp.Utils;
using static TorchSharp.torch;

namespace Perenos.Benchmarks;

/// <summary>A linear layer with PEFT's LoRA beside it, written with TorchSharp's own modules.</summary>
internal sealed class NaiveLoraLinear : nn.Module<Tensor, Tensor>
{
    private readonly double _scale;

    [ComponentName(Name = "base_layer")]
    private readonly Linear _base;

    [ComponentName(Name = "lora_A")]
    private readonly Linear _down;

    [ComponentName(Name = "lora_B")]
    private readonly Linear _up;

    internal NaiveLoraLinear(long inputs, long outputs, int rank, double scale, ScalarType type)
        : base(nameof(NaiveLoraLinear))
    {
        _scale = scale;
        _base = nn.Linear(inputs, outputs, hasBias: false, dtype: type);
        _down = nn.Linear(inputs, rank, hasBias: false, dtype: type);
        _up = nn.Linear(rank, outputs, hasBias: false, dtype: type);
        RegisterComponents();
    }

    public override Tensor forward(Tensor input) => _base.call(input) + _up.call(_down.call(input)) * _scale;
}

/// <summary>Mean of squares in float32, as in Llama's published code.</summary>
internal sealed class NaiveNorm : nn.Module<Tensor, Tensor>
{
    [ComponentName(Name = "weight")]
    private readonly Parameter _weight;

    internal NaiveNorm(long width, ScalarType type)
        : base(nameof(NaiveNorm))
    {
        _weight = nn.Parameter(ones(width, dtype: type));
        RegisterComponents();
    }

    public override Tensor forward(Tensor input)
    {
        var wide = input.to(ScalarType.Float32);
        var normed = wide * rsqrt(wide.pow(2).mean([-1L], keepdim: true) + Shape.NormEpsilon);
        return normed.to(input.dtype) * _weight;
    }
}

internal sealed class NaiveAttention : nn.Module<Tensor, Tensor, Tensor, Tensor>
{
    private readonly Shape _shape;

    [ComponentName(Name = "q_proj")]
    private readonly nn.Module<Tensor, Tensor> _query;

    [ComponentName(Name = "k_proj")]
    private readonly nn.Module<Tensor, Tensor> _key;

    [ComponentName(Name = "v_proj")]
    private readonly nn.Module<Tensor, Tensor> _value;

    [ComponentName(Name = "o_proj")]
    private readonly nn.Module<Tensor, Tensor> _output;

    internal NaiveAttention(Shape shape, Func<long, long, nn.Module<Tensor, Tensor>> linear)
        : base(nameof(NaiveAttention))
    {
        _shape = shape;
        long groups = shape.KeyValueHeads * shape.HeadSize;
        (_query, _key, _value, _output) = (linear(shape.Width, shape.Width), linear(shape.Width, groups), linear(shape.Width, groups), linear(shape.Width, shape.Width));
        RegisterComponents();
    }

    public override Tensor forward(Tensor input, Tensor cosine, Tensor sine)
    {
        var (batch, time) = (input.shape[0], input.shape[1]);
        // (B, T, N · D) -> (B, N, T, D)
        Tensor SplitHeads(Tensor x) => x.view(batch, time, -1, _shape.HeadSize).transpose(1, 2);
        Tensor Rotate(Tensor x)
        {
            var halves = x.chunk(2, dim: -1);
            return x * cosine + cat([-halves[1], halves[0]], dim: -1) * sine;
        }

        var query = Rotate(SplitHeads(_query.call(input)));
        var key = Rotate(SplitHeads(_key.call(input)));
        var value = SplitHeads(_value.call(input));
        long times = _shape.Heads / _shape.KeyValueHeads;
        (key, value) = (key.repeat_interleave(times, dim: 1), value.repeat_interleave(times, dim: 1));
        var mixed = nn.functional.scaled_dot_product_attention(query, key, value, is_casual: true);
        return _output.call(mixed.transpose(1, 2).reshape(batch, time, _shape.Width));
    }
}

internal sealed class NaiveFeedForward : nn.Module<Tensor, Tensor>
{
    [ComponentName(Name = "gate_proj")]
    private readonly nn.Module<Tensor, Tensor> _gate;

    [ComponentName(Name = "up_proj")]
    private readonly nn.Module<Tensor, Tensor> _up;

    [ComponentName(Name = "down_proj")]
    private readonly nn.Module<Tensor, Tensor> _down;

    internal NaiveFeedForward(Shape shape, Func<long, long, nn.Module<Tensor, Tensor>> linear)
        : base(nameof(NaiveFeedForward))
    {
        (_gate, _up, _down) = (linear(shape.Width, shape.InnerWidth), linear(shape.Width, shape.InnerWidth), linear(shape.InnerWidth, shape.Width));
        RegisterComponents();
    }

    public override Tensor forward(Tensor input) => _down.call(nn.functional.silu(_gate.call(input)) * _up.call(input));
}

internal sealed class NaiveBlock : nn.Module<Tensor, Tensor, Tensor, Tensor>
{
    [ComponentName(Name = "input_layernorm")]
    private readonly NaiveNorm _attentionNorm;

    [ComponentName(Name = "self_attn")]
    private readonly NaiveAttention _attention;

    [ComponentName(Name = "post_attention_layernorm")]
    private readonly NaiveNorm _feedForwardNorm;

    [ComponentName(Name = "mlp")]
    private readonly NaiveFeedForward _feedForward;

    internal NaiveBlock(Shape shape, Func<long, long, nn.Module<Tensor, Tensor>> linear, ScalarType type)
        : base(nameof(NaiveBlock))
    {
        (_attentionNorm, _attention) = (new NaiveNorm(shape.Width, type), new NaiveAttention(shape, linear));
        (_feedForwardNorm, _feedForward) = (new NaiveNorm(shape.Width, type), new NaiveFeedForward(shape, linear));
        RegisterComponents();
    }

    public override Tensor forward(Tensor input, Tensor cosine, Tensor sine)
    {
        var hidden = input + _attention.call(_attentionNorm.call(input), cosine, sine);
        return hidden + _feedForward.call(_feedForwardNorm.call(hidden));
    }
}

/// <summary>
/// The same Llama as <see cref="Llama"/>, the way one writes it with TorchSharp alone: its modules and functions, logits of all
/// tokens, no fused kernel. (B, T) int64 -> (B, T, V).
/// </summary>
internal sealed class NaiveLlama : nn.Module<Tensor, Tensor>
{
    private readonly Shape _shape;
    private readonly ScalarType _type;

    [ComponentName(Name = "embed_tokens")]
    private readonly Embedding _embedding;

    [ComponentName(Name = "layers")]
    private readonly ModuleList<NaiveBlock> _layers;

    [ComponentName(Name = "norm")]
    private readonly NaiveNorm _norm;

    /// <param name="shape">Sizes.</param>
    /// <param name="rank">Rank of a LoRA on all projections, with everything else frozen; null trains all weights.</param>
    /// <param name="scale">The LoRA's factor.</param>
    /// <param name="type">Type of weights and activations.</param>
    /// <param name="seed">The weights are those of <see cref="ModelCatalogue.Start"/> and <see cref="Adapters.Lora.Start"/> with this seed.</param>
    internal NaiveLlama(Shape shape, int? rank, double scale, ScalarType type, ulong seed)
        : base(nameof(NaiveLlama))
    {
        (_shape, _type) = (shape, type);
        nn.Module<Tensor, Tensor> Projection(long inputs, long outputs) => rank is null
            ? nn.Linear(inputs, outputs, hasBias: false, dtype: type)
            : new NaiveLoraLinear(inputs, outputs, rank.Value, scale, type);
        _embedding = nn.Embedding(shape.Vocabulary, shape.Width, dtype: type);
        _layers = nn.ModuleList(Enumerable.Range(0, shape.Layers).Select(_ => new NaiveBlock(shape, Projection, type)).ToArray());
        _norm = new NaiveNorm(shape.Width, type);
        RegisterComponents();
        Fill(rank is not null, seed);
    }

    public override Tensor forward(Tensor tokens)
    {
        var (cosine, sine) = Angles(tokens.shape[1]);
        var hidden = _embedding.call(tokens);
        foreach (var layer in _layers)
            hidden = layer.call(hidden, cosine, sine);
        return nn.functional.linear(_norm.call(hidden), _embedding.weight!);
    }

    // (T, D) each, the halves alike
    private (Tensor Cosine, Tensor Sine) Angles(long time)
    {
        var exponents = arange(0, _shape.HeadSize, 2, dtype: ScalarType.Float32) / _shape.HeadSize;
        var angles = outer(arange(time, dtype: ScalarType.Float32), 1 / full_like(exponents, Shape.RotaryBase).pow(exponents));
        var both = cat([angles, angles], dim: -1);
        return (both.cos().to(_type), both.sin().to(_type));
    }

    private void Fill(bool isAdapted, ulong seed)
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        var source = new SeededWeights(seed, _type);
        foreach (var (name, parameter) in named_parameters())
        {
            string path = "model." + name.Replace(".base_layer", "", StringComparison.Ordinal);
            parameter.requires_grad = !isAdapted || name.Contains("lora_", StringComparison.Ordinal);
            if (path.EndsWith(".lora_A.weight", StringComparison.Ordinal))
                parameter.copy_(FirstDown(parameter.shape, Runs.Seed.Of(seed, path[..^".lora_A.weight".Length])));
            else if (path.EndsWith(".lora_B.weight", StringComparison.Ordinal))
                parameter.zero_();
            else
                parameter.copy_(source.Create(path, parameter.shape, path.Contains("norm", StringComparison.Ordinal) ? new Initialization.Ones() : new Initialization.Normal(Shape.InitialSpread)));
        }
    }

    private static Tensor FirstDown(long[] shape, ulong seed)
    {
        using var generator = new Generator(seed);
        double bound = 1 / Math.Sqrt(shape[1]);
        return rand(shape, generator: generator).mul_(2 * bound).sub_(bound);
    }
}
