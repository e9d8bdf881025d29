using Perenos.Adapters;
using Perenos.Layers;
using Perenos.Runs;
using Perenos.Text.Tokenization;
using static TorchSharp.torch;

namespace Perenos.Recipes;

/// <summary>
/// Where the virtual tokens of a run stand: how far they have moved from their start and, where they stand among the embeddings of
/// real tokens, how far they lie from those and which ones are nearest.
/// </summary>
internal sealed class PromptReading : IDisposable
{
    private readonly Adapter _adapter;
    private readonly ModelParts _parts;
    private readonly Tensor _start;

    private PromptReading(Adapter adapter, ModelParts parts)
    {
        (_adapter, _parts) = (adapter, parts);
        using var scope = NewDisposeScope();
        _start = Vectors().clone().DetachFromDisposeScope();
    }

    /// <summary>A reading of the virtual tokens as they are now; none where the adapter has none.</summary>
    public static PromptReading? Of(Adapter? adapter, ModelParts parts) =>
        adapter is not null && (parts.Prompt ?? (object?)parts.Prefix) is not null ? new PromptReading(adapter, parts) : null;

    /// <summary>What is logged after a step.</summary>
    public RunEvent.VirtualTokens At(long step)
    {
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        var vectors = Vectors();
        double moved = Math.Sqrt((vectors - _start).square().mean().item<float>() / _start.square().mean().item<float>());
        double? distance = null;
        if (_parts.Prompt is not null)
        {
            var (nearest, _) = Nearest(vectors);
            var rows = PromptTuning.Rows(_parts, nearest);
            distance = ((vectors - rows).norm(1).mean() / rows.norm(1).mean()).item<float>();
        }

        return new RunEvent.VirtualTokens(step, moved, distance);
    }

    /// <summary>For each vector the token whose embedding points most nearly its way, with the cosine; none for keys and values.</summary>
    public IReadOnlyList<string> NearestTokens(Tokenizer tokenizer)
    {
        if (_parts.Prompt is null)
            return [];
        using var scope = NewDisposeScope();
        using var quiet = no_grad();
        var (tokens, cosines) = Nearest(Vectors());
        return [.. tokens.Zip(cosines, (token, cosine) => string.Create(System.Globalization.CultureInfo.InvariantCulture, $"{tokenizer.Decode([token], skipSpecialTokens: false)} ({cosine:F2})"))];
    }

    /// <summary>Frees the start.</summary>
    public void Dispose() => _start.Dispose();

    private Tensor Vectors() => _adapter.Saved.Single(weight => weight.Name == "prompt_embeddings").Tensor.detach();

    private (int[] Tokens, float[] Cosines) Nearest(Tensor vectors)
    {
        var table = _parts.Embeddings[0].Weight.detach().to(ScalarType.Float32);
        var unit = table / table.norm(1, keepdim: true).Plus(1e-12);
        var (cosines, tokens) = (vectors / vectors.norm(1, keepdim: true)).matmul(unit.t()).max(1);
        return ([.. tokens.cpu().data<long>().Select(token => (int)token)], cosines.cpu().data<float>().ToArray());
    }
}
