using System.Buffers.Binary;
using System.Text.Json;
using System.Text.Unicode;

namespace Perenos.Checkpoints;

/// <summary>
/// The description at the head of a safetensors file: 8 bytes of length (little-endian), that many bytes of JSON, then the
/// data without gap (<see href="https://huggingface.co/docs/safetensors"/>). Everything is checked before any tensor is made.
/// </summary>
internal sealed class SafetensorsHeader
{
    private const int LengthBytes = 8;
    private const int MaximumBytes = 100_000_000; // the reference implementation's own limit
    private const int MaximumDimensions = 64; // torch's limit for most operators

    private readonly MappedFile _file;
    private readonly long _dataStart;
    private readonly Dictionary<string, TensorInfo> _tensors = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> _metadata = new(StringComparer.Ordinal);

    private SafetensorsHeader(MappedFile file, long dataStart) => (_file, _dataStart) = (file, dataStart);

    public IReadOnlyDictionary<string, TensorInfo> Tensors => _tensors;

    public IReadOnlyDictionary<string, string> Metadata => _metadata;

    /// <exception cref="Runs.PerenosException">The file is no well-formed safetensors file.</exception>
    public static SafetensorsHeader Read(MappedFile file)
    {
        if (file.Length < LengthBytes + 2)
            throw Refusal.Malformed(file.Path, $"{file.Length} bytes are too few for a header");
        ulong length = BinaryPrimitives.ReadUInt64LittleEndian(file.Slice(0, LengthBytes));
        if (length > MaximumBytes)
            throw Refusal.Malformed(file.Path, $"its header claims {length:N0} bytes, above the format's limit of {MaximumBytes:N0}");
        if ((long)length > file.Length - LengthBytes)
            throw Refusal.Malformed(file.Path, $"its header claims {length:N0} bytes, but the file has {file.Length:N0} in all (cut off?)");

        var json = file.Slice(LengthBytes, (int)length);
        if (!Utf8.IsValid(json))
            throw Refusal.Malformed(file.Path, "its header is not valid UTF-8");
        if (json.IsEmpty || json[0] != '{')
            throw Refusal.Malformed(file.Path, "its header does not begin with {");

        var header = new SafetensorsHeader(file, LengthBytes + (long)length);
        try
        {
            header.ReadEntries(json);
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            // InvalidOperationException: a lone surrogate, escaped, or a value of another kind than asked for.
            throw Refusal.Malformed(file.Path, "its header is not the JSON of a safetensors header", e);
        }

        header.CheckLayout();
        return header;
    }

    private void ReadEntries(ReadOnlySpan<byte> json)
    {
        var reader = new Utf8JsonReader(json);
        Expect(ref reader, JsonTokenType.StartObject);
        bool metadataSeen = false;
        while (NextProperty(ref reader, out string name))
        {
            if (name == "__metadata__")
            {
                if (metadataSeen)
                    throw Refusal.Malformed(_file.Path, "its header has __metadata__ twice");
                metadataSeen = true;
                ReadMetadata(ref reader);
            }
            else if (!_tensors.TryAdd(name, ReadTensor(ref reader, name)))
            {
                throw Refusal.Malformed(_file.Path, $"tensor {Refusal.Quote(name)} is described twice");
            }
        }

        reader.Read(); // throws where anything but blanks follows
    }

    private void ReadMetadata(ref Utf8JsonReader reader)
    {
        Expect(ref reader, JsonTokenType.StartObject);
        while (NextProperty(ref reader, out string key))
        {
            Expect(ref reader, JsonTokenType.String);
            if (!_metadata.TryAdd(key, reader.GetString()!))
                throw Refusal.Malformed(_file.Path, $"its metadata has {Refusal.Quote(key)} twice");
        }
    }

    private TensorInfo ReadTensor(ref Utf8JsonReader reader, string name)
    {
        SafetensorsType? type = null;
        long[]? shape = null, offsets = null;
        Expect(ref reader, JsonTokenType.StartObject);
        while (NextProperty(ref reader, out string key))
        {
            bool again = key switch { "dtype" => type is not null, "shape" => shape is not null, "data_offsets" => offsets is not null, _ => false };
            if (again)
                throw Wrong(name, $"has {key} twice");
            switch (key)
            {
                case "dtype":
                    Expect(ref reader, JsonTokenType.String);
                    string spelling = reader.GetString()!;
                    type = SafetensorsType.Find(spelling) ?? throw Wrong(name, $"has the unknown type {Refusal.Quote(spelling)}");
                    break;
                case "shape":
                    shape = ReadNumbers(ref reader, name, "shape", MaximumDimensions);
                    break;
                case "data_offsets":
                    offsets = ReadNumbers(ref reader, name, "data_offsets", 2);
                    break;
                default:
                    reader.Skip();
                    break;
            }
        }

        if (type is null || shape is null || offsets is not [var begin, var end])
            throw Wrong(name, "lacks its dtype, its shape or its two data_offsets");
        long dataLength = _file.Length - _dataStart;
        if (end < begin || end > dataLength)
            throw Wrong(name, $"lies at {begin:N0} to {end:N0}, but the file has {dataLength:N0} bytes of data (cut off?)");
        if (ShapeSize.Elements(shape) is not { } elements || elements > long.MaxValue / type.Bytes)
            throw Wrong(name, $"has a shape that overflows: [{string.Join(", ", shape)}]");
        if (elements * type.Bytes != end - begin)
        {
            throw Wrong(name, $"has {end - begin:N0} bytes, but {type.Name} of shape [{string.Join(", ", shape)}] takes {elements * type.Bytes:N0}");
        }

        return new TensorInfo(name, type.Torch, type.Name, shape, _dataStart + begin, end - begin, _file.Path);
    }

    private long[] ReadNumbers(ref Utf8JsonReader reader, string name, string key, int limit)
    {
        Expect(ref reader, JsonTokenType.StartArray);
        var numbers = new List<long>();
        while (reader.Read() && reader.TokenType == JsonTokenType.Number)
        {
            if (!reader.TryGetInt64(out long number) || number < 0)
                throw Wrong(name, $"has a number in {key} that is negative, broken or too large");
            if (numbers.Count == limit)
                throw Wrong(name, $"has more than {limit} numbers in {key}");
            numbers.Add(number);
        }

        if (reader.TokenType != JsonTokenType.EndArray)
            throw Wrong(name, $"has something other than numbers in {key}");
        return [.. numbers];
    }

    /// <summary>The tensors must cover the data exactly: no overlap, no gap, nothing behind.</summary>
    private void CheckLayout()
    {
        long expected = _dataStart;
        foreach (var tensor in _tensors.Values.OrderBy(t => t.Offset).ThenBy(t => t.Length))
        {
            if (tensor.Offset != expected)
                throw Wrong(tensor.Name, tensor.Offset < expected ? "overlaps the one before it" : "leaves a gap before it");
            expected += tensor.Length;
        }

        if (expected != _file.Length)
            throw Refusal.Malformed(_file.Path, $"{_file.Length - expected:N0} bytes at its end belong to no tensor");
    }

    private Runs.PerenosException Wrong(string name, string what) =>
        Refusal.Malformed(_file.Path, $"tensor {Refusal.Quote(name)} {what}");

    private static bool NextProperty(ref Utf8JsonReader reader, out string name)
    {
        reader.Read();
        bool found = reader.TokenType == JsonTokenType.PropertyName;
        name = found ? reader.GetString()! : "";
        return found;
    }

    private static void Expect(ref Utf8JsonReader reader, JsonTokenType type)
    {
        reader.Read();
        if (reader.TokenType != type)
            throw new JsonException($"{type} expected, {reader.TokenType} found");
    }
}
