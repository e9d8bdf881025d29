using System.Buffers;
using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;
using Perenos.Runs;
using TorchSharp;
using static TorchSharp.torch;

namespace Perenos.Checkpoints;

/// <summary>A tensor to be written into a GGUF file.</summary>
/// <param name="Name">Name in llama.cpp's spelling.</param>
/// <param name="Type">How it is stored, for example <c>Q4_K</c>.</param>
/// <param name="Shape">Sizes, outermost first.</param>
/// <param name="Read">Gives the values in the layout on disk, outside any dispose scope; called once, and the writer frees what it gets.</param>
public sealed record GgufEntry(string Name, string Type, long[] Shape, Func<Tensor> Read);

/// <summary>
/// Writes GGUF files of version 3, little-endian, data aligned to 32 bytes: metadata in the order given, then the tensors one at a
/// time, quantised on the way. A file appears under its name only when it is whole.
/// </summary>
public static class GgufWriter
{
    private const int Alignment = 32;

    /// <summary>The types that <see cref="GgufEntry.Type"/> may name.</summary>
    public static IReadOnlyList<string> Types { get; } =
        [.. GgmlType.All.Where(type => type.EncodeBlock is not null || type.Name is "F32" or "F16" or "BF16").Select(type => type.Name)];

    /// <summary>Writes one file.</summary>
    /// <param name="path">Where it goes.</param>
    /// <param name="metadata">Key/value pairs.</param>
    /// <param name="tensors">The tensors, in the order of the data.</param>
    /// <param name="check">Is shown the whole file under its temporary name; if it throws, there is no file.</param>
    /// <exception cref="PerenosException">The file cannot be written, or a tensor does not fit its type.</exception>
    public static void Write(
        string path, IReadOnlyList<KeyValuePair<string, GgufValue>> metadata, IReadOnlyList<GgufEntry> tensors, Action<string>? check = null)
    {
        var (description, places) = Describe(metadata, tensors);
        long start = Align(description.Length);
        long length = start + (tensors.Count == 0 ? 0 : Align(places[^1] + Bytes(tensors[^1])));
        AtomicFile.Write(path, length, handle =>
        {
            RandomAccess.Write(handle, description, 0);
            for (int i = 0; i < tensors.Count; i++)
                WriteTensor(handle, start + places[i], tensors[i]);
        }, check);
    }

    private static (byte[] Description, long[] Places) Describe(IReadOnlyList<KeyValuePair<string, GgufValue>> metadata, IReadOnlyList<GgufEntry> tensors)
    {
        var buffer = new MemoryStream();
        using var writer = new BinaryWriter(buffer, Encoding.UTF8);
        writer.Write("GGUF"u8);
        writer.Write(3u);
        writer.Write((ulong)tensors.Count);
        writer.Write((ulong)metadata.Count);
        foreach (var (key, value) in metadata)
        {
            WriteText(writer, key);
            writer.Write((uint)value.Kind);
            WriteValue(writer, value);
        }

        var places = new long[tensors.Count];
        long place = 0;
        for (int i = 0; i < tensors.Count; i++)
        {
            var tensor = tensors[i];
            WriteText(writer, tensor.Name);
            writer.Write((uint)tensor.Shape.Length);
            foreach (long size in tensor.Shape.Reverse())
                writer.Write((ulong)size);
            writer.Write(GgmlType.Named(tensor.Type).Id);
            writer.Write((ulong)place);
            places[i] = place;
            place = Align(place + Bytes(tensor));
        }

        writer.Flush();
        return (buffer.ToArray(), places);
    }

    private static void WriteText(BinaryWriter writer, string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        writer.Write((ulong)bytes.Length);
        writer.Write(bytes);
    }

    private static void WriteValue(BinaryWriter writer, GgufValue value)
    {
        if (value.Value is not Array elements)
        {
            WriteScalar(writer, value.Value);
            return;
        }

        writer.Write((uint)value.ElementKind!);
        writer.Write((ulong)elements.Length);
        foreach (object element in elements)
        {
            if (element is GgufValue inner)
                WriteValue(writer, inner);
            else
                WriteScalar(writer, element);
        }
    }

    private static void WriteScalar(BinaryWriter writer, object value)
    {
        switch (value)
        {
            case byte v: writer.Write(v); break;
            case sbyte v: writer.Write(v); break;
            case ushort v: writer.Write(v); break;
            case short v: writer.Write(v); break;
            case uint v: writer.Write(v); break;
            case int v: writer.Write(v); break;
            case float v: writer.Write(v); break;
            case bool v: writer.Write(v); break;
            case string v: WriteText(writer, v); break;
            case ulong v: writer.Write(v); break;
            case long v: writer.Write(v); break;
            case double v: writer.Write(v); break;
            default: throw new ArgumentException($"{value.GetType()} is no kind of metadata.", nameof(value));
        }
    }

    private static void WriteTensor(SafeFileHandle handle, long position, GgufEntry entry)
    {
        var type = GgmlType.Named(entry.Type);
        using var scope = NewDisposeScope();
        var values = entry.Read();
        scope.Attach(values);
        if (type.EncodeBlock is null)
        {
            TensorBytes.ForEachPiece(values.to(type.Torch!.Value).contiguous(), (piece, _) =>
            {
                RandomAccess.Write(handle, piece, position);
                position += piece.Length;
            });
            return;
        }

        byte[] blocks = ArrayPool<byte>.Shared.Rent((int)(TensorBytes.PieceBytes / sizeof(float) / type.BlockSize * type.BlockBytes));
        TensorBytes.ForEachPiece(values.to(torch.ScalarType.Float32).contiguous(), (piece, _) =>
        {
            var floats = MemoryMarshal.Cast<byte, float>(piece);
            var target = blocks.AsSpan(0, floats.Length / type.BlockSize * type.BlockBytes);
            type.Encode(floats, target);
            RandomAccess.Write(handle, target, position);
            position += target.Length;
        }, granularity: type.BlockSize);
        ArrayPool<byte>.Shared.Return(blocks);
    }

    private static long Bytes(GgufEntry entry)
    {
        var type = GgmlType.Named(entry.Type);
        return entry.Shape[^1] % type.BlockSize == 0
            ? entry.Shape.Aggregate(1L, (product, size) => product * size) / type.BlockSize * type.BlockBytes
            : throw new PerenosException(
                $"the rows of {entry.Name} have {entry.Shape[^1]} values, which are no whole blocks of {entry.Type} ({type.BlockSize}).",
                "choose another type for this tensor.");
    }

    private static long Align(long position) => (position + Alignment - 1) / Alignment * Alignment;
}
