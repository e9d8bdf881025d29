using Perenos.Layers;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Layers;

/// <summary>The auxiliary loss of mixtures, with numbers by hand.</summary>
public sealed class RouterBalanceTests
{
    [Fact]
    public void It_is_experts_times_choices_times_probability_over_all_layers_together()
    {
        using var scope = NewDisposeScope();
        using var balance = new RouterBalance();
        // Two tokens, three experts, one choice each: expert 0 twice, then expert 1 and expert 2.
        balance.Add(tensor(new float[,] { { 0.6f, 0.3f, 0.1f }, { 0.8f, 0.1f, 0.1f } }), tensor(new long[,] { { 0 }, { 0 } }));
        balance.Add(tensor(new float[,] { { 0.2f, 0.5f, 0.3f }, { 0.1f, 0.1f, 0.8f } }), tensor(new long[,] { { 1 }, { 2 } }));
        // f = (2, 1, 1) / 4, P = (1.7, 1.0, 1.3) / 4: 3 · (3.4 + 1.0 + 1.3) / 16
        Assert.Equal(3 * 5.7 / 16, balance.Loss().item<float>(), 1e-6);
    }

    [Fact]
    public void Where_all_is_even_it_is_the_number_of_choices()
    {
        using var scope = NewDisposeScope();
        using var balance = new RouterBalance();
        balance.Add(tensor(new float[,] { { 0.25f, 0.25f, 0.25f, 0.25f }, { 0.25f, 0.25f, 0.25f, 0.25f } }), tensor(new long[,] { { 0, 1 }, { 2, 3 } }));
        Assert.Equal(2, balance.Loss().item<float>(), 1e-6);
    }

    [Fact]
    public void Padding_does_not_count_virtual_tokens_do_and_no_router_is_an_error()
    {
        using var scope = NewDisposeScope();
        using var balance = new RouterBalance(tensor(new[] { true, false }, [1, 2]));
        Assert.Throws<InvalidOperationException>(() => balance.Loss());
        balance.Add(tensor(new float[,] { { 0.7f, 0.3f }, { 0.1f, 0.9f } }), tensor(new long[,] { { 0 }, { 1 } }));
        Assert.Equal(2 * 0.7, balance.Loss().item<float>(), 1e-6);
        // With one virtual token before the text: f = (1, 2) / 3, P = (0.7 + 0.6 + 0.2, 0.3 + 0.4 + 0.8) / 3.
        balance.Add(tensor(new float[,] { { 0.6f, 0.4f }, { 0.2f, 0.8f }, { 0.5f, 0.5f } }), tensor(new long[,] { { 1 }, { 1 }, { 0 } }));
        Assert.Equal(2 * (1 * 1.5 + 2 * 1.5) / 9, balance.Loss().item<float>(), 1e-6);
    }
}
