using Perenos.Checkpoints;
using Perenos.Runs;
using TorchSharp;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Checkpoints;

/// <summary>Counts the live tensors of the whole process, so nothing else may run beside it.</summary>
[CollectionDefinition(nameof(CheckpointLeakTests), DisableParallelization = true)]
public sealed class CheckpointLeakCollection;

[Collection(nameof(CheckpointLeakTests))]
public sealed class CheckpointLeakTests
{
    [Fact]
    public void Reading_writing_checking_and_refusing_leave_no_tensor()
    {
        using var work = new WorkFolder();
        string path = work.PathOf("model.safetensors");
        string odd = work.Safetensors("odd", """{"u":{"dtype":"U64","shape":[1],"data_offsets":[0,8]}}""", 8);
        byte[] bytes = File.ReadAllBytes(odd);
        bytes[^1] = 0x80;
        File.WriteAllBytes(odd, bytes);

        string gguf = work.PathOf("small.gguf");
        byte[] model = new GgufBytes().Pair("general.architecture", "llama").Pair("llama.attention.head_count", 1u)
            .Tensor("blk.0.attn_q.weight", 2, [32, 2], new byte[36]).Tensor("output_norm.weight", 0, [1], new byte[4]).Build();
        File.WriteAllBytes(gguf, model);

        string pickled = work.PathOf("pytorch_model.bin");
        File.WriteAllBytes(pickled, TorchBytes.Archive(TorchBytes.Pickle(TorchBytes.Dictionary(
            TorchBytes.Unicode("w"), TorchBytes.Tensor(TorchBytes.Storage("0", 4), 0, [2, 2], [1, 2])))));

        void Everything()
        {
            using var weight = ones(10, 20, dtype: torch.ScalarType.BFloat16);
            using var view = weight.t();
            SafetensorsWriter.Write(path, [("a", weight), ("b", view)]);
            using var source = CheckpointFolder.OpenWeights(work.Root);
            using var a = source.Read("a");
            using var b = source.Read("b", torch.ScalarType.Float32);
            WeightCheck.RefuseNotFinite("a", a);
            using var file = SafetensorsFile.Open(odd);
            Assert.Throws<PerenosException>(() => file.Read("u"));
            using var quantised = GgufSource.Open(gguf);
            using var query = quantised.Read("model.layers.0.self_attn.q_proj.weight");
            using var half = quantised.Read("model.layers.0.self_attn.q_proj.weight", torch.ScalarType.Float16);
            using var unpickled = TorchFile.Open(pickled);
            using var transposed = unpickled.Read("w");
            using var rounded = unpickled.Read("w", ScalarType.BFloat16);
            using var norm = quantised.Read("model.norm.weight");
        }

        Everything();
        long before = Tensor.TotalCount;
        for (int i = 0; i < 20; i++)
            Everything();
        Assert.Equal(before, Tensor.TotalCount);
    }
}
