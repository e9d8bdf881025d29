using System.Diagnostics;
using System.Text.Json;
using Perenos.Checkpoints;
using Perenos.Runs;
using Perenos.Testing;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Checkpoints;

/// <summary>Files that torch wrote, opcode by opcode where torch would not, and hostile ones.</summary>
public sealed class TorchFixtureTests
{
    private const int Attempts = 3; // another program may have the processor
    private const long MostBytes = 8 << 20; // the largest refused fixture has 1 MB

    private sealed record Case(string File, string Verdict, string? Values, string Note);

    private static readonly JsonSerializerOptions SnakeCase = new() { PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower };

    private static string Root => Shared.ParityOrSkip("bin");

    private static List<Case> Cases(string verdict)
    {
        var cases = JsonSerializer.Deserialize<List<Case>>(File.ReadAllBytes(Path.Combine(Root, "cases.json")), SnakeCase)!;
        Assert.All(cases, each => Assert.Contains(each.Verdict, new[] { "accept", "refuse" }));
        var chosen = cases.Where(each => each.Verdict == verdict).ToList();
        Assert.NotEmpty(chosen);
        return chosen;
    }

    [Fact]
    public void Every_good_file_gives_the_names_types_shapes_and_bits_of_its_twin()
    {
        foreach (var good in Cases("accept"))
        {
            using var scope = NewDisposeScope();
            using var actual = CheckpointFolder.OpenWeights(Path.Combine(Root, good.File));
            using var expected = SafetensorsFile.Open(Path.Combine(Root, good.Values!));
            Assert.True(expected.Tensors.Keys.Order(StringComparer.Ordinal).SequenceEqual(actual.Tensors.Keys.Order(StringComparer.Ordinal)), good.File);
            foreach (var (name, info) in expected.Tensors)
            {
                Assert.Equal((info.DType, info.Type), (actual.Tensors[name].DType, actual.Tensors[name].Type));
                Assert.Equal(info.Shape, actual.Tensors[name].Shape);
                var (a, e) = (actual.Read(name), expected.Read(name));
                Assert.Equal((e.dtype, e.is_contiguous()), (a.dtype, a.is_contiguous()));
                Assert.Equal(e.shape, a.shape);
                Assert.True(e.bytes.SequenceEqual(a.bytes), $"{good.File}: {name}");
                var (wide, expectedWide) = (actual.Read(name, ScalarType.Float64), expected.Read(name, ScalarType.Float64));
                Assert.True(expectedWide.bytes.SequenceEqual(wide.bytes), $"{good.File}: {name} as float64");
            }
        }
    }

    [Fact]
    public void Every_hostile_file_is_refused_by_name_and_reason_in_under_a_second_and_with_little_memory()
    {
        foreach (var bad in Cases("refuse"))
        {
            string path = Path.Combine(Root, bad.File);
            long before = 0;
            double seconds = double.MaxValue;
            string message = "";
            for (int attempt = 0; attempt < Attempts && seconds >= 1; attempt++)
            {
                before = GC.GetAllocatedBytesForCurrentThread();
                long start = Stopwatch.GetTimestamp();
                message = Assert.Throws<PerenosException>(() => CheckpointFolder.OpenWeights(path).Dispose()).Message;
                seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
            }

            Assert.True(seconds < 1, $"{bad.File}: {seconds:F2} s");
            Assert.Contains(bad.File, message, StringComparison.Ordinal);
            long taken = GC.GetAllocatedBytesForCurrentThread() - before;
            Assert.True(taken < MostBytes + 64 * new FileInfo(path).Length, $"{bad.File}: {taken:N0} bytes");
            TestContext.Current.TestOutputHelper?.WriteLine($"{bad.File}: {message}");
        }

        Assert.False(File.Exists("pwned") || File.Exists(Path.Combine(Root, "pwned")));
    }

    [Fact]
    public void Every_forbidden_name_in_a_hostile_file_is_in_the_message()
    {
        int seen = 0;
        foreach (var bad in Cases("refuse"))
        {
            byte[] bytes = File.ReadAllBytes(Path.Combine(Root, bad.File));
            foreach (var (module, name) in Forbidden.Where(pair => Holds(bytes, pair.Module) && Holds(bytes, pair.Name)))
            {
                string message = Assert.Throws<PerenosException>(() => CheckpointFolder.OpenWeights(Path.Combine(Root, bad.File)).Dispose()).Message;
                Assert.Contains($"{module}.{name}", message, StringComparison.Ordinal);
                seen++;
            }
        }

        Assert.True(seen > 0, "no fixture with one of these names");

        static bool Holds(byte[] bytes, string text) => bytes.AsSpan().IndexOf(System.Text.Encoding.ASCII.GetBytes(text)) >= 0;
    }

    private static readonly (string Module, string Name)[] Forbidden =
        [("posix", "system"), ("nt", "system"), ("subprocess", "Popen"), ("builtins", "eval"), ("builtins", "exec"), ("builtins", "getattr"), ("runpy", "run_module")];
}
