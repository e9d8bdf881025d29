using Perenos.Layers;
using Perenos.Models;
using static TorchSharp.torch;

namespace Perenos.Training;

/// <summary>
/// The usual loss with less memory (Chen et al. 2016, https://arxiv.org/abs/1604.06174): forward without a graph, keeping only what
/// enters each layer; then layer by layer from the last, forward again with a graph and backward. The gradients are those of the
/// plain way; memory holds the inside of one layer, time grows by a forward pass.
/// </summary>
public static class Recomputation
{
    /// <summary>The objective for the loop. Nothing may be dropped at random: the second forward pass must be the first one.</summary>
    public static Objective Of(CausalModel model) => Of(model, arrived: null);

    /// <summary>The same, telling each time that gradients are complete.</summary>
    /// <param name="model">The model that learns.</param>
    /// <param name="arrived">Called after the head, after each layer and, told that it is the last time, after the embedding, whose weight may be the head's.</param>
    internal static Objective Of(CausalModel model, Action<bool>? arrived) => (batch, scale) =>
    {
        using var scope = NewDisposeScope();
        Tensor InRows(long[] numbers) => tensor(numbers, [batch.Rows, batch.Width], device: model.Device);
        var tokens = InRows(batch.Tokens);
        var context = model.Begin(tokens, batch.Places is { } places ? InRows(places) : null, batch.Texts is { } texts ? InRows(texts) : null);
        var inputs = Forward(model, tokens, context);
        var (loss, gradient) = Top(model, batch, inputs[^1], scale);
        arrived?.Invoke(false);
        for (int layer = model.Layers.Count - 1; layer >= 0; layer--)
        {
            var (input, index) = (inputs[layer], layer);
            gradient = Replaced(gradient, Back(input, gradient, states => model.Layers[index].Forward(states, context)));
            input.Dispose();
            arrived?.Invoke(false);
        }

        using var bottom = NewDisposeScope();
        var embedded = model.Embed(tokens, context);
        if (embedded.requires_grad)
            embedded.backward([gradient]);
        arrived?.Invoke(true);
        return loss.MoveToOuterDisposeScope();
    };

    // What enters each layer, and what leaves the last.
    private static List<Tensor> Forward(CausalModel model, Tensor tokens, ForwardContext context)
    {
        using var quiet = no_grad();
        List<Tensor> states = [model.Embed(tokens, context)];
        foreach (var layer in model.Layers)
            states.Add(layer.Forward(states[^1], context));
        return states;
    }

    private static (Tensor Loss, Tensor Gradient) Top(CausalModel model, Batch batch, Tensor states, double scale)
    {
        using var scope = NewDisposeScope();
        var leaf = states.detach().requires_grad_();
        var hidden = model.FinalNorm(leaf);
        var rows = hidden.view(-1, hidden.shape[^1]).index_select(0, tensor(batch.Positions, device: model.Device));
        var loss = BatchLoss.Sum(model, rows, batch, scale);
        loss.backward();
        return (loss.detach().MoveToOuterDisposeScope(), leaf.grad!.MoveToOuterDisposeScope());
    }

    private static Tensor Back(Tensor input, Tensor gradient, Func<Tensor, Tensor> forward)
    {
        using var scope = NewDisposeScope();
        var leaf = input.detach().requires_grad_();
        forward(leaf).backward([gradient]);
        return leaf.grad!.MoveToOuterDisposeScope();
    }

    private static Tensor Replaced(Tensor old, Tensor fresh)
    {
        old.Dispose();
        return fresh;
    }
}
