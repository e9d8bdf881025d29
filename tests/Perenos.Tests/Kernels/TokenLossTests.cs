using Perenos.Kernels;
using Perenos.Runs;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Kernels;

public sealed class TokenLossTests
{
    // Against float64. Torch's own float32 form is up to 1.3e-6 away where long sums cancel.
    private const double Float32Tolerance = 2e-6;

    // Products of bfloat16 numbers have 8 bits.
    private const double BFloat16Tolerance = 2e-2;

    [Theory]
    [InlineData(37, 16, 101, true, true)]
    [InlineData(37, 16, 101, false, false)]
    [InlineData(1, 8, 5, true, false)]
    [InlineData(1030, 12, 77, true, true)] // three chunks, the last one shorter
    [InlineData(3, 4, 3001, true, false)]
    public void Value_and_gradients_equal_cross_entropy_on_full_logits(int positions, int channels, int vocabulary, bool trainHead, bool useBias)
    {
        using var scope = NewDisposeScope();
        var problem = new Problem(positions, channels, vocabulary, trainHead, useBias);
        var (expectedLoss, expected) = problem.Solve(ScalarType.Float64, Naive, 0.37);
        var (loss, gradients) = problem.Solve(ScalarType.Float32, TokenLoss.Sum, 0.37);
        Assert.Equal(1.0, loss / expectedLoss, Float32Tolerance);
        for (int index = 0; index < expected.Length; index++)
        {
            Assert.Equal(expected[index] is null, gradients[index] is null);
            if (expected[index] is { } wanted)
                Assert.InRange(Difference(gradients[index]!, wanted), 0, Float32Tolerance);
        }
    }

    [Theory]
    [InlineData(ScalarType.Float32, 1.5, Float32Tolerance)]
    [InlineData(ScalarType.Float32, 30, Float32Tolerance)]
    [InlineData(ScalarType.BFloat16, 4, BFloat16Tolerance)]
    public void Capped_logits_give_the_loss_and_the_gradients_of_their_tanh(ScalarType type, double cap, double tolerance)
    {
        using var scope = NewDisposeScope();
        var problem = new Problem(1030, 12, 77, trainHead: true, useBias: true);
        var (expectedLoss, expected) = problem.Solve(ScalarType.Float64, Naive, 1.0 / 1030, cap);
        var (loss, gradients) = problem.Solve(type, TokenLoss.Sum, 1.0 / 1030, cap);
        Assert.Equal(1.0, loss / expectedLoss, Math.Max(tolerance / 10, Float32Tolerance));
        for (int index = 0; index < expected.Length; index++)
            Assert.InRange(Difference(gradients[index]!, expected[index]!), 0, tolerance);
        var losses = TokenLoss.NegativeLogLikelihood(problem.Hidden, problem.Weight, problem.Bias, problem.Targets, cap);
        Assert.Equal(1.0, losses.mean().item<float>() / expectedLoss, Float32Tolerance);
    }

    [Fact]
    public void In_double_it_equals_torch_to_rounding_and_finite_differences()
    {
        using var scope = NewDisposeScope();
        var problem = new Problem(5, 3, 7, trainHead: true, useBias: true);
        var (expectedLoss, expected) = problem.Solve(ScalarType.Float64, Naive, 1);
        var (loss, gradients) = problem.Solve(ScalarType.Float64, TokenLoss.Sum, 1);
        Assert.Equal(expectedLoss, loss, 12);
        for (int index = 0; index < 3; index++)
            Assert.InRange(Difference(gradients[index]!, expected[index]!), 0, 1e-12);

        const double Step = 1e-5;
        double Moved(double by)
        {
            var hidden = problem.Hidden.to(ScalarType.Float64).clone();
            hidden[2, 1] = hidden[2, 1] + by;
            return TokenLoss.Sum(hidden, problem.Weight.to(ScalarType.Float64), problem.Bias!.to(ScalarType.Float64), problem.Targets).item<double>();
        }

        Assert.Equal((Moved(Step) - Moved(-Step)) / (2 * Step), gradients[0]![2, 1].item<double>(), 1e-8);
    }

    [Fact]
    public void Bfloat16_stays_near_float32()
    {
        using var scope = NewDisposeScope();
        var problem = new Problem(600, 32, 301, trainHead: true, useBias: true);
        var (expectedLoss, expected) = problem.Solve(ScalarType.Float64, Naive, 1.0 / 600);
        var (loss, gradients) = problem.Solve(ScalarType.BFloat16, TokenLoss.Sum, 1.0 / 600);
        Assert.Equal(1.0, loss / expectedLoss, 2e-3);
        for (int index = 0; index < 3; index++)
        {
            Assert.Equal(ScalarType.BFloat16, gradients[index]!.dtype);
            Assert.InRange(Difference(gradients[index]!, expected[index]!), 0, BFloat16Tolerance);
        }
    }

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(1000)]
    [InlineData(2051)]
    public void Every_width_equals_the_torch_form_on_rows(int vocabulary)
    {
        using var scope = NewDisposeScope();
        using var generator = new Generator(11);
        var logits = torch.randn([70, vocabulary], generator: generator) * 8;
        var targets = torch.arange(70) % vocabulary;
        (ScalarType, double)[] types = [(ScalarType.Float32, Float32Tolerance), (ScalarType.BFloat16, 1e-2)];
        foreach (var (type, tolerance) in types)
        {
            foreach (var run in new Action<Tensor, Tensor, Tensor, double?>[]
            {
                CrossEntropyRows.Run, CrossEntropyRows.RunAtWidth<Floats1>, CrossEntropyRows.RunAtWidth<Floats128>,
                CrossEntropyRows.RunAtWidth<Floats256>, CrossEntropyRows.RunAtWidth<Floats512>,
            })
            {
                var (expected, actual) = (logits.to(type).clone(), logits.to(type).clone());
                var (expectedLosses, losses) = (torch.zeros(70, dtype: ScalarType.Float64), torch.zeros(70));
                CrossEntropyRows.RunWithTorch(expected, targets, expectedLosses, 0.5);
                run(actual, targets, losses, null);
                Assert.True(actual.equal(logits.to(type)).all().item<bool>(), "without a scale the logits stay");
                run(actual, targets, losses, 0.5);
                // Half a unit in the last place of a loss near 40 (1.9e-6), and the single lane's long float32 sum.
                Assert.InRange((losses.to(ScalarType.Float64) - expectedLosses).abs().max().item<double>(), 0, 3.5e-6);
                Assert.InRange((actual.to(ScalarType.Float32) - expected.to(ScalarType.Float32)).abs().max().item<float>(), 0, tolerance);
            }
        }
    }

    [Fact]
    public void No_positions_give_no_loss_and_zero_gradients()
    {
        using var scope = NewDisposeScope();
        var problem = new Problem(0, 4, 6, trainHead: true, useBias: true);
        var (loss, gradients) = problem.Solve(ScalarType.Float32, TokenLoss.Sum, 1);
        Assert.Equal(0, loss);
        Assert.Equal([0L, 4L], gradients[0]!.shape);
        Assert.Equal(0, gradients[1]!.abs().sum().item<float>());
        Assert.Equal(0, gradients[2]!.abs().sum().item<float>());
        Assert.Equal(0, TokenLoss.NegativeLogLikelihood(problem.Hidden, problem.Weight, null, problem.Targets).NumberOfElements);
    }

    [Fact]
    public void Per_token_losses_equal_unreduced_cross_entropy_and_carry_no_graph()
    {
        using var scope = NewDisposeScope();
        var problem = new Problem(1030, 12, 77, trainHead: true, useBias: false);
        var hidden = problem.Hidden.detach().requires_grad_();
        var losses = TokenLoss.NegativeLogLikelihood(hidden, problem.Weight, null, problem.Targets);
        var expected = nn.functional.cross_entropy(hidden.mm(problem.Weight.t()), problem.Targets, reduction: nn.Reduction.None);
        Assert.False(losses.requires_grad);
        Assert.InRange((losses - expected).abs().max().item<float>(), 0, 3e-6);
        using var noGraph = no_grad();
        Assert.False(TokenLoss.Sum(hidden, problem.Weight, null, problem.Targets).requires_grad);
    }

    [Fact]
    public void Gradients_pass_through_what_came_before_and_scale_with_what_comes_after()
    {
        using var scope = NewDisposeScope();
        var problem = new Problem(9, 4, 11, trainHead: false, useBias: false);
        Tensor GradientOf(LossForm form)
        {
            var input = problem.Hidden.detach().requires_grad_();
            (form((input * 2).tanh(), problem.Weight, null, problem.Targets, 1, null) * 3).backward();
            return input.grad!;
        }

        Assert.InRange(Difference(GradientOf(TokenLoss.Sum), GradientOf(Naive)), 0, Float32Tolerance);
    }

    [Fact]
    public void A_frozen_body_still_trains_the_head()
    {
        using var scope = NewDisposeScope();
        var problem = new Problem(9, 4, 11, trainHead: true, useBias: false);
        var weight = problem.Weight.detach().requires_grad_();
        TokenLoss.Sum(problem.Hidden, weight, null, problem.Targets).backward();
        var naive = problem.Weight.detach().requires_grad_();
        Naive(problem.Hidden, naive, null, problem.Targets, 1).backward();
        Assert.InRange(Difference(weight.grad!, naive.grad!), 0, Float32Tolerance);
    }

    [Fact]
    public void A_target_outside_the_vocabulary_is_refused_by_number()
    {
        using var scope = NewDisposeScope();
        var (hidden, weight) = (torch.zeros(2, 3), torch.zeros(5, 3));
        foreach (long wrong in new[] { 5L, -100L })
        {
            var failure = Assert.Throws<PerenosException>(() => TokenLoss.Sum(hidden, weight, null, torch.tensor(new[] { 1L, wrong })));
            Assert.Contains(wrong.ToString(), failure.Message, StringComparison.Ordinal);
        }

        Assert.Throws<ArgumentException>(() => TokenLoss.Sum(hidden, weight, null, torch.tensor(new[] { 1L })));
    }

    [Theory]
    [InlineData(100_000, 50_257, 4)]
    [InlineData(100_000, 50_257, 2)]
    [InlineData(1_000, 8_192, 4)]
    [InlineData(100_000, 256_000, 4)]
    [InlineData(7, 5, 4)]
    [InlineData(0, 5, 4)]
    public void Chunks_hold_at_most_512_rows_and_about_64_megabytes(long positions, long vocabulary, long elementSize)
    {
        long rows = TokenLoss.RowsPerChunk(positions, vocabulary, elementSize);
        Assert.InRange(rows, 1, 512);
        Assert.InRange(rows * vocabulary * elementSize, 1, (64L << 20) + 64 * vocabulary * elementSize);
    }

    [Fact]
    public void Chunks_are_even() => Assert.Equal(300, TokenLoss.RowsPerChunk(600, 100, 4));

    [Fact]
    public void Repeated_steps_leave_no_tensor_behind()
    {
        using var scope = NewDisposeScope();
        var problem = new Problem(20, 6, 30, trainHead: true, useBias: true);
        var (hidden, weight, bias) = (problem.Hidden.detach().requires_grad_(), problem.Weight.detach().requires_grad_(), problem.Bias!.detach().requires_grad_());
        void Step()
        {
            using var inner = NewDisposeScope();
            TokenLoss.Sum(hidden, weight, bias, problem.Targets, 0.5).backward();
            // A forward whose backward never comes must be freed as well.
            TokenLoss.Sum(hidden, weight, bias, problem.Targets, 0.5);
            TokenLoss.NegativeLogLikelihood(hidden, weight, bias, problem.Targets);
        }

        Step();
        (hidden.grad, weight.grad, bias.grad).ToString();
        long before = Tensor.TotalCount;
        for (int step = 0; step < 20; step++)
            Step();
        Assert.Equal(before, Tensor.TotalCount);
    }

    private delegate Tensor LossForm(Tensor hidden, Tensor weight, Tensor? bias, Tensor targets, double scale, double? cap);

    private static Tensor Naive(Tensor hidden, Tensor weight, Tensor? bias, Tensor targets, double scale, double? cap = null)
    {
        var logits = nn.functional.linear(hidden, weight, bias);
        return nn.functional.cross_entropy(cap is null ? logits : (logits / cap.Value).tanh() * cap.Value, targets, reduction: nn.Reduction.Sum) * scale;
    }

    // Relative to the largest element.
    private static double Difference(Tensor actual, Tensor expected)
    {
        var (left, right) = (actual.to(ScalarType.Float64), expected.to(ScalarType.Float64));
        return ((left - right).abs().max() / right.abs().max()).item<double>();
    }

    private sealed class Problem
    {
        private readonly bool _trainHead;

        internal Problem(int positions, int channels, int vocabulary, bool trainHead, bool useBias)
        {
            using var generator = new Generator(5);
            _trainHead = trainHead;
            Hidden = torch.randn([positions, channels], generator: generator);
            Weight = torch.randn([vocabulary, channels], generator: generator) * 0.3;
            Bias = useBias ? torch.randn([vocabulary], generator: generator) : null;
            Targets = torch.randint(vocabulary, [positions], dtype: ScalarType.Int64, generator: generator);
        }

        internal Tensor Hidden { get; }

        internal Tensor Weight { get; }

        internal Tensor? Bias { get; }

        internal Tensor Targets { get; }

        // Loss, and the gradients of hidden states, head and bias.
        internal (double Loss, Tensor?[] Gradients) Solve(ScalarType type, LossForm form, double scale, double? cap = null)
        {
            var hidden = Hidden.to(type).detach().clone().requires_grad_();
            var weight = Weight.to(type).detach().clone().requires_grad_(_trainHead);
            var bias = Bias?.to(type).detach().clone().requires_grad_(_trainHead);
            var loss = form(hidden, weight, bias, Targets, scale, cap);
            loss.backward();
            return (loss.to(ScalarType.Float64).item<double>(), [hidden.grad, weight.grad, bias?.grad]);
        }
    }
}
