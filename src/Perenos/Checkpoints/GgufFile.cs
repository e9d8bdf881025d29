using System.Globalization;
using System.Numerics;
using System.Runtime.InteropServices;
using Perenos.Runs;
using TorchSharp;
using static TorchSharp.torch;

namespace Perenos.Checkpoints;

/// <summary>What a GGUF file says about one tensor.</summary>
/// <param name="Name">Name in llama.cpp's spelling, for example <c>blk.0.attn_q.weight</c>.</param>
/// <param name="Type">How it is stored, for example <c>Q4_1</c>.</param>
/// <param name="Shape">Sizes, outermost first: the reverse of the order on disk.</param>
/// <param name="Offset">Where the data begins, in bytes from the start of the file.</param>
/// <param name="Length">Bytes on disk.</param>
public sealed record GgufTensor(string Name, string Type, long[] Shape, long Offset, long Length);

/// <summary>
/// A GGUF file (version 2 or 3, little-endian): metadata, and tensors under their names and in their layout on disk.
/// <see cref="GgufSource"/> gives the same tensors in Hugging Face's. Format: <see href="https://github.com/ggml-org/ggml/blob/master/docs/gguf.md"/>.
/// </summary>
public sealed class GgufFile : IDisposable
{
    private const int MaximumDimensions = 4;
    private const int DefaultAlignment = 32;

    private readonly MappedFile _file;
    private readonly Dictionary<string, GgufValue> _metadata = new(StringComparer.Ordinal);
    private readonly Dictionary<string, GgufTensor> _tensors = new(StringComparer.Ordinal);

    private GgufFile(MappedFile file) => _file = file;

    /// <summary>The file's path.</summary>
    public string Location => _file.Path;

    /// <summary>Version of the format: 2 or 3.</summary>
    public int Version { get; private set; }

    /// <summary>All key/value pairs.</summary>
    public IReadOnlyDictionary<string, GgufValue> Metadata => _metadata;

    /// <summary>All tensors by their name on disk.</summary>
    public IReadOnlyDictionary<string, GgufTensor> Tensors => _tensors;

    /// <summary>For example <c>llama</c>; empty where the file does not say.</summary>
    public string Architecture => Text("general.architecture") ?? "";

    /// <summary>Opens a file and checks its whole description; no weights are read.</summary>
    /// <exception cref="PerenosException">The file cannot be read, is malformed, or stores a tensor in an unknown type.</exception>
    public static GgufFile Open(string path)
    {
        var opened = new GgufFile(MappedFile.Open(path));
        try
        {
            Placeholder.Refuse(opened._file);
            opened.ReadDescription();
            return opened;
        }
        catch
        {
            opened.Dispose();
            throw;
        }
    }

    /// <summary>A string of the metadata, or null where the key is missing.</summary>
    /// <exception cref="PerenosException">The value is of another kind.</exception>
    public string? Text(string key) => Get<string>(key, v => v as string);

    /// <summary>A truth value of the metadata, or null where the key is missing.</summary>
    /// <exception cref="PerenosException">The value is of another kind.</exception>
    public bool? Flag(string key) => Get(key, v => v as bool?);

    /// <summary>A number of the metadata, or null where the key is missing. Single precision gives the shortest decimal: 1e-5, not 9.99999974e-6.</summary>
    /// <exception cref="PerenosException">The value is of another kind.</exception>
    public double? Number(string key) => Get<double>(key, v => v switch
    {
        float f => double.Parse(f.ToString("R", CultureInfo.InvariantCulture), CultureInfo.InvariantCulture),
        double d => d,
        _ => AsInteger(v),
    });

    /// <summary>A whole number of the metadata, or null where the key is missing.</summary>
    /// <exception cref="PerenosException">The value is of another kind, or does not fit 64 signed bits.</exception>
    public long? Integer(string key) => Get(key, AsInteger);

    /// <summary>An array of the metadata, or null where the key is missing.</summary>
    /// <exception cref="PerenosException">The value is of another kind.</exception>
    public T[]? Values<T>(string key) => Get<T[]>(key, v => v as T[]);

    /// <summary>A new CPU tensor in the layout on disk; quantised ones as float32 where no other type is asked for.</summary>
    /// <exception cref="PerenosException">There is no tensor of that name.</exception>
    public Tensor Read(string name, torch.ScalarType? type = null)
    {
        if (!_tensors.TryGetValue(name, out var tensor))
            throw new PerenosException($"{Location} holds no tensor {Refusal.Quote(name)}.", "is this the checkpoint of another architecture?");
        var stored = GgmlType.Named(tensor.Type);
        var direct = stored.Torch ?? torch.ScalarType.Float32;
        var result = TensorBytes.Create(tensor.Shape, type ?? direct);
        if (result.dtype == direct)
            TensorBytes.ForEachPiece(result, (piece, first) => Decode(tensor, stored, first, piece), granularity: stored.BlockSize);
        else
            ReadConverted(tensor, stored, direct, result);
        return result;
    }

    /// <summary>The values of a small tensor, without the engine.</summary>
    internal float[] ReadFloats(string name)
    {
        var tensor = _tensors[name];
        var stored = GgmlType.Named(tensor.Type);
        if (tensor.Type != "F32" && stored.DecodeBlock is null || tensor.Length > 1 << 20)
            throw Refusal.Malformed(Location, $"tensor {Refusal.Quote(name)} is {tensor.Type} of {tensor.Length:N0} bytes");
        var values = new float[tensor.Length / stored.BlockBytes * stored.BlockSize];
        Decode(tensor, stored, 0, MemoryMarshal.AsBytes(values.AsSpan()));
        return values;
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    private void Decode(GgufTensor tensor, GgmlType stored, long firstElement, Span<byte> target)
    {
        int size = stored.DecodeBlock is null ? stored.BlockBytes : sizeof(float);
        int blocks = target.Length / size / stored.BlockSize;
        var bytes = _file.Slice(tensor.Offset + firstElement / stored.BlockSize * stored.BlockBytes, blocks * stored.BlockBytes);
        if (stored.DecodeBlock is null)
            bytes.CopyTo(target);
        else
            stored.Decode(bytes, MemoryMarshal.Cast<byte, float>(target));
    }

    /// <summary>Converts in small pieces, so that the tensor never exists in both types.</summary>
    private void ReadConverted(GgufTensor tensor, GgmlType stored, torch.ScalarType direct, Tensor result)
    {
        const int PieceElements = 1 << 20; // whole blocks of every type
        using var scope = NewDisposeScope();
        long total = result.numel();
        var flat = result.view(-1);
        var buffer = empty([Math.Min(PieceElements, total)], dtype: direct);
        for (long first = 0; first < total; first += PieceElements)
        {
            long count = Math.Min(PieceElements, total - first);
            using var part = buffer.narrow(0, 0, count);
            Decode(tensor, stored, first, part.bytes);
            using var target = flat.narrow(0, first, count);
            target.copy_(part);
        }
    }

    private void ReadDescription()
    {
        var reader = new GgufReader(_file);
        if (_file.Length < 24 || !_file.Slice(0, 4).SequenceEqual("GGUF"u8))
            throw reader.Malformed("it does not begin with GGUF and a header of 24 bytes");
        _ = reader.UInt32();
        uint version = reader.UInt32();
        if (version is not (2 or 3))
        {
            throw reader.Malformed(version is > 0 and <= 0xFFFF
                ? $"it is GGUF of version {version}; 2 and 3 can be read"
                : "it is GGUF with the bytes of a big-endian machine");
        }

        Version = (int)version;
        int tensors = reader.Count("tensors", minimumBytes: 24);
        int pairs = reader.Count("metadata values", minimumBytes: 13);
        for (int i = 0; i < pairs; i++)
        {
            string key = reader.String("metadata key");
            if (!_metadata.TryAdd(key, reader.Value(key)))
                throw reader.Malformed($"its metadata has {Refusal.Quote(key)} twice");
        }

        long alignment = Integer("general.alignment") ?? DefaultAlignment;
        if (alignment is < 1 or > 1 << 20 || !BitOperations.IsPow2(alignment))
            throw reader.Malformed($"its alignment is {alignment}");
        for (int i = 0; i < tensors; i++)
        {
            var tensor = ReadTensor(reader);
            if (!_tensors.TryAdd(tensor.Name, tensor))
                throw reader.Malformed($"tensor {Refusal.Quote(tensor.Name)} is described twice");
        }

        PlaceTensors(Align(reader.Position, alignment), alignment);
        if (Integer("split.count") is > 1 and var parts)
        {
            throw new PerenosException($"{Location} is one of {parts} parts of a model.", "join them first: llama-gguf-split --merge.");
        }
    }

    /// <summary>The offset is still relative to the data, which begins behind the last description.</summary>
    private static GgufTensor ReadTensor(GgufReader reader)
    {
        string name = reader.String("tensor name");
        string quoted = Refusal.Quote(name);
        uint dimensions = reader.UInt32();
        if (dimensions > MaximumDimensions)
            throw reader.Malformed($"tensor {quoted} has {dimensions} dimensions; the format allows {MaximumDimensions}");
        long[] shape = new long[dimensions];
        for (int i = shape.Length - 1; i >= 0; i--)
            shape[i] = unchecked((long)reader.UInt64());
        uint typeId = reader.UInt32();
        ulong offset = reader.UInt64();
        var type = GgmlType.Find(typeId) ?? throw reader.Malformed($"tensor {quoted} is stored in the type {typeId}, which is not known here");
        if (ShapeSize.Elements(shape) is not { } elements || elements / type.BlockSize > long.MaxValue / type.BlockBytes)
            throw reader.Malformed($"tensor {quoted} has a shape that overflows");
        if ((shape.Length == 0 ? 1 : shape[^1]) % type.BlockSize != 0)
            throw reader.Malformed($"the rows of tensor {quoted} are no whole blocks of {type.Name} ({type.BlockSize} values)");
        if (offset > long.MaxValue)
            throw reader.Malformed($"tensor {quoted} lies beyond the end of the file");
        return new GgufTensor(name, type.Name, shape, (long)offset, elements / type.BlockSize * type.BlockBytes);
    }

    /// <summary>Tensors follow each other, each begun at a multiple of the alignment: no overlap, no gap, nothing behind the padding.</summary>
    private void PlaceTensors(long dataStart, long alignment)
    {
        long expected = dataStart;
        foreach (var tensor in _tensors.Values.OrderBy(t => t.Offset).ThenBy(t => t.Length).ToList())
        {
            string quoted = Refusal.Quote(tensor.Name);
            if (tensor.Offset > _file.Length - dataStart || tensor.Length > _file.Length - dataStart - tensor.Offset)
                throw Refusal.Malformed(Location, $"tensor {quoted} lies beyond the end of the file at {_file.Length:N0} (cut off?)");
            long offset = dataStart + tensor.Offset;
            if (offset != expected)
                throw Refusal.Malformed(Location, $"tensor {quoted} {(offset < expected ? "overlaps the one before it" : "leaves a gap before it")}");
            expected = Align(offset + tensor.Length, alignment);
            _tensors[tensor.Name] = tensor with { Offset = offset };
        }

        if (_file.Length > Align(expected, alignment))
            throw Refusal.Malformed(Location, $"{_file.Length - expected:N0} bytes at its end belong to no tensor");
    }

    private static long Align(long position, long alignment) => (position + alignment - 1) / alignment * alignment;

    private static long? AsInteger(object value) => value switch
    {
        byte v => v,
        sbyte v => v,
        ushort v => v,
        short v => v,
        uint v => v,
        int v => v,
        long v => v,
        ulong v when v <= long.MaxValue => (long)v,
        _ => null,
    };

    private T? Get<T>(string key, Func<object, T?> convert)
        where T : class =>
        _metadata.TryGetValue(key, out var value) ? convert(value.Value) ?? throw WrongKind(key, value) : null;

    private T? Get<T>(string key, Func<object, T?> convert)
        where T : struct =>
        _metadata.TryGetValue(key, out var value) ? convert(value.Value) ?? throw WrongKind(key, value) : null;

    private PerenosException WrongKind(string key, GgufValue value) =>
        Refusal.Malformed(Location, $"its {Refusal.Quote(key)} is of the unexpected kind {value.ElementKind ?? value.Kind}");
}
