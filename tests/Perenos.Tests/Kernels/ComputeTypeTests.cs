using Perenos.Kernels;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Kernels;

public sealed class ComputeTypeTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("perenos-compute-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData(200, 800, ScalarType.BFloat16)]
    [InlineData(300, 160, ScalarType.Float32)]
    [InlineData(100, 119, ScalarType.Float32)]
    [InlineData(100, 121, ScalarType.BFloat16)]
    public void Bfloat16_must_win_by_a_fifth(double float32, double bfloat16, ScalarType expected)
    {
        var choice = ComputeType.Choose(float32, bfloat16);
        Assert.Equal(expected, choice.Type);
        Assert.Contains($"{float32:F0}", choice.Reason, StringComparison.Ordinal);
        Assert.Contains($"{bfloat16:F0}", choice.Reason, StringComparison.Ordinal);
    }

    [Fact]
    public void A_second_start_on_the_same_machine_does_not_measure()
    {
        string file = Path.Combine(_folder, "new", "compute-type.json");
        int measured = 0;
        (double, double, bool) Rates()
        {
            measured++;
            return (100, 300, true);
        }

        var first = ComputeType.Measure(file, Rates);
        var second = ComputeType.Measure(file, Rates);
        Assert.Equal(1, measured);
        Assert.Equal(first, second);
        Assert.Equal(ScalarType.BFloat16, second.Type);
    }

    [Fact]
    public void What_a_busy_machine_measures_is_used_but_not_kept()
    {
        string file = Path.Combine(_folder, "compute-type.json");
        Assert.Equal(ScalarType.BFloat16, ComputeType.Measure(file, () => (1, 3, false)).Type);
        Assert.Equal(ScalarType.Float32, ComputeType.Measure(file, () => (100, 110, true)).Type);
        Assert.Equal(ScalarType.Float32, ComputeType.Measure(file, () => (1, 3, true)).Type);
    }

    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("[1, 2]")]
    [InlineData("null")]
    [InlineData("""{"Machine": "another processor", "Float32GigaFlops": 1, "BFloat16GigaFlops": 9}""")]
    [InlineData("""{"Machine": 5, "Float32GigaFlops": "fast"}""")]
    public void A_cache_that_makes_no_sense_is_measured_again_and_replaced(string content)
    {
        string file = Path.Combine(_folder, "compute-type.json");
        File.WriteAllText(file, content);
        int measured = 0;
        (double, double, bool) Rates()
        {
            measured++;
            return (50, 50, true);
        }

        Assert.Equal(ScalarType.Float32, ComputeType.Measure(file, Rates).Type);
        ComputeType.Measure(file, Rates);
        Assert.Equal(1, measured);
    }

    [Fact]
    public void A_negative_rate_in_the_cache_is_not_believed()
    {
        string file = Path.Combine(_folder, "compute-type.json");
        ComputeType.Measure(file, () => (77, 77, true));
        File.WriteAllText(file, File.ReadAllText(file).Replace("77", "-77", StringComparison.Ordinal));
        Assert.Equal(88, ComputeType.Measure(file, () => (88, 88, true)).Float32GigaFlops);
    }

    [Fact]
    public void A_folder_that_cannot_be_written_does_no_harm()
    {
        string blocked = Path.Combine(_folder, "file");
        File.WriteAllText(blocked, "");
        Assert.Equal(100, ComputeType.Measure(Path.Combine(blocked, "compute-type.json"), () => (100, 100, true)).Float32GigaFlops);
    }

    [Fact]
    public void The_measurement_gives_a_plausible_rate()
    {
        long before = Tensor.TotalCount;
        // Between one slow core and a hundred fast ones.
        Assert.InRange(ComputeType.Rate(ScalarType.Float32), 0.1, 1e5);
        Assert.Equal(before, Tensor.TotalCount);
    }
}
