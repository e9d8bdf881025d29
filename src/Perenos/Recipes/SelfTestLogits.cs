using Perenos.Layers;
using Perenos.Models;
using static TorchSharp.torch;

namespace Perenos.Recipes;

/// <summary>Logits of texts, computed in the ways that must make no difference.</summary>
internal sealed class SelfTestLogits(CausalModel model)
{
    /// <summary>(N, V): the logits of texts, one after the other, each computed alone.</summary>
    public Tensor Alone(params int[][] texts)
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        return cat([.. texts.Select(ids => Call(tensor(Long(ids), [1, ids.Length], device: model.Device)).squeeze(0))]).MoveToOuterDisposeScope();
    }

    /// <summary>(N, V): the same, computed side by side with padding.</summary>
    public Tensor Batched(int[][] texts, bool isLeft)
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        int width = texts.Max(ids => ids.Length);
        int Start(int[] ids) => isLeft ? width - ids.Length : 0;
        long[] Rows(Func<int[], int, long> value) => [.. texts.SelectMany(ids => Enumerable.Range(0, width).Select(time => time - Start(ids)).Select(place => place >= 0 && place < ids.Length ? value(ids, place) : 0))];
        Tensor Table(long[] rows) => tensor(rows, [texts.Length, width], device: model.Device);
        var mask = isLeft ? Table(Rows((_, _) => 1)) : null;
        var positions = isLeft ? Table(Rows((_, place) => place)) : null;
        var logits = Call(Table(Rows((ids, place) => ids[place])), mask, positions); // (B, T, V)
        return cat([.. texts.Select((ids, row) => logits[row].narrow(0, Start(ids), ids.Length))]).MoveToOuterDisposeScope();
    }

    /// <summary>(T, V): a text, its beginning at once and then token by token.</summary>
    public Tensor Cached(int[] ids)
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        using var cache = new KeyValueCache(model.Layers.Count, ids.Length);
        Tensor Part(int from, int count) => Call(tensor(Long(ids[from..(from + count)]), [1, count], device: model.Device), cache: cache).squeeze(0);
        int begin = Math.Max(1, ids.Length / 3);
        return cat([Part(0, begin), .. Enumerable.Range(begin, ids.Length - begin).Select(place => Part(place, 1))]).MoveToOuterDisposeScope();
    }

    private Tensor Call(Tensor tokens, Tensor? mask = null, Tensor? positions = null, KeyValueCache? cache = null) =>
        model.Logits(model.Hidden(tokens, mask, positions, cache)).to(ScalarType.Float32);

    // Of each row its mean is taken first: a number added to all logits of a place changes no probability.
    public static double Difference(Tensor expected, Tensor actual)
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        Tensor Centred(Tensor rows) => rows.Plus(rows.mean([-1], keepdim: true).neg());
        var reference = Centred(expected);
        return Spread(Centred(actual).Plus(reference.neg())) / Spread(reference);
    }

    public static double Spread(Tensor values)
    {
        using var scope = NewDisposeScope();
        return Math.Sqrt(values.square().mean([], type: ScalarType.Float64).item<double>());
    }

    private static long[] Long(int[] ids) => [.. ids.Select(id => (long)id)];
}
