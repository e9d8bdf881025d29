using System.Text.Json;
using Perenos.Checkpoints;
using Perenos.Testing;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Checkpoints;

/// <summary>Blocks that llama.cpp wrote, and what it and gguf-py read from them. Equal bits are demanded.</summary>
public sealed class QuantisationTests
{
    [Fact]
    public void Every_quantisation_is_read_bit_for_bit_as_the_reference_reads_it()
    {
        string folder = Shared.ParityOrSkip("gguf");
        using var table = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "quants.json")));
        using var file = SafetensorsFile.Open(Path.Combine(folder, "quants.safetensors"));
        int compared = 0;
        var wrong = new List<string>();
        foreach (var entry in table.RootElement.EnumerateObject())
        {
            var type = GgmlType.Find(entry.Value.GetProperty("ggml_type_id").GetUInt32());
            Assert.NotNull(type);
            Assert.Equal(entry.Name, type.Name);
            Assert.Equal(entry.Value.GetProperty("block_size").GetInt32(), type.BlockSize);
            Assert.Equal(entry.Value.GetProperty("block_bytes").GetInt32(), type.BlockBytes);
            foreach (string kind in new[] { "", "random_" })
            {
                if (!file.Tensors.ContainsKey($"{type.Name}.{kind}raw"))
                    continue;
                using var scope = NewDisposeScope();
                int[] actual = Bits(Decoded(type, file.Read($"{type.Name}.{kind}raw")));
                int[] expected = Bits(file.Read($"{type.Name}.{kind}dequant"));
                Assert.Equal(expected.Length, actual.Length);
                int different = actual.Zip(expected).Count(p => p.First != p.Second);
                if (different > 0)
                    wrong.Add($"{type.Name}.{kind}: {different} of {actual.Length}");
                compared++;
            }
        }

        Assert.Empty(wrong);
        Assert.True(compared >= table.RootElement.EnumerateObject().Count(), $"only {compared} compared");
    }

    [Fact]
    public void Small_blocks_are_written_byte_for_byte_as_the_reference_writes_them()
    {
        var compared = Encoded((type, input, expected, _) =>
        {
            if (type.BlockSize == 256)
                return;
            Assert.Equal(expected.Read($"{type.Name}.raw").bytes.ToArray(), Blocks(type, input));
        });
        Assert.Superset(new HashSet<string> { "Q4_0", "Q4_1", "Q5_0", "Q8_0" }, compared);
    }

    [Fact]
    public void No_type_is_written_with_more_error_than_the_reference_makes()
    {
        var compared = Encoded((type, input, _, entry) =>
        {
            float[] values = new float[input.Length];
            type.Decode(Blocks(type, input), values);
            double[] allowed = entry.GetProperty("max_abs_error_per_row").Deserialize<double[]>()!;
            int width = input.Length / allowed.Length;
            for (int row = 0; row < allowed.Length; row++)
            {
                double error = Enumerable.Range(row * width, width).Max(i => MathF.Abs(values[i] - input[i]));
                Assert.True(error <= allowed[row], $"{type.Name}, row {row}: {error} where the reference has {allowed[row]}");
            }
        });
        Assert.Superset(new HashSet<string> { "Q4_K", "Q6_K" }, compared);
    }

    private static HashSet<string> Encoded(Action<GgmlType, float[], SafetensorsFile, JsonElement> compare)
    {
        string folder = Shared.ParityOrSkip("gguf");
        using var table = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(folder, "quants.json")));
        using var file = SafetensorsFile.Open(Path.Combine(folder, "quants.safetensors"));
        using var scope = NewDisposeScope();
        float[] input = file.Read("input").data<float>().ToArray();
        var compared = new HashSet<string>();
        foreach (var entry in table.RootElement.EnumerateObject())
        {
            if (GgmlType.Named(entry.Name) is not { EncodeBlock: not null } type)
                continue;
            compare(type, input, file, entry.Value);
            compared.Add(type.Name);
        }

        return compared;
    }

    private static byte[] Blocks(GgmlType type, float[] values)
    {
        byte[] blocks = new byte[values.Length / type.BlockSize * type.BlockBytes];
        type.Encode(values, blocks);
        return blocks;
    }

    /// <summary>The vector paths are taken by what the processor has; each entry must give the same as plain arithmetic.</summary>
    [Fact]
    public void Scaling_rounds_the_product_and_the_sum_separately()
    {
        var random = new Random(7);
        float[] values = new float[16];
        sbyte[] quants = new sbyte[16];
        for (int round = 0; round < 1_000; round++)
        {
            for (int i = 0; i < 16; i++)
                quants[i] = (sbyte)random.Next(-128, 128);
            float scale = (float)(random.NextDouble() - 0.5), offset = (float)(random.NextDouble() - 0.5);
            QuantVectors.ScaleAdd(System.Runtime.Intrinsics.Vector128.Create(quants), scale, offset, values);
            for (int i = 0; i < 16; i++)
            {
                float product = (float)((double)scale * quants[i]);
                Assert.Equal((float)((double)product + offset), values[i]);
            }
        }
    }

    private static Tensor Decoded(GgmlType type, Tensor raw)
    {
        byte[] bytes = raw.bytes.ToArray();
        if (type.Torch is { } native)
        {
            var tensor = empty([bytes.Length / type.BlockBytes], dtype: native);
            bytes.CopyTo(tensor.bytes);
            return tensor.to(torch.ScalarType.Float32);
        }

        float[] values = new float[bytes.Length / type.BlockBytes * type.BlockSize];
        type.Decode(bytes, values);
        return tensor(values);
    }

    private static int[] Bits(Tensor floats) => [.. floats.data<float>().ToArray().Select(BitConverter.SingleToInt32Bits)];
}
