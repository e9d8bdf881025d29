using System.Buffers.Binary;
using System.Globalization;
using System.Numerics;
using Perenos.Runs;

namespace Perenos.Checkpoints;

/// <summary>
/// The container of torch before version 1.6: pickles of a magic number, a version, the machine, the value and the keys of the
/// storages, then each storage as its count of elements (64 bits) and its data.
/// </summary>
internal static class TorchLegacyContainer
{
    private const long Version = 1001;
    private static readonly BigInteger Magic = BigInteger.Parse("1950a86a20f9469cfc6c", NumberStyles.HexNumber, CultureInfo.InvariantCulture);

    /// <summary>The value of the pickle; the storages of <paramref name="torch"/> get their places.</summary>
    public static TorchPickle Read(MappedFile file, TorchConstructors torch)
    {
        long position = 0;
        object? Next()
        {
            var reader = new PickleReader(file, position, file.Length, torch);
            object? value = reader.Read();
            position = reader.Position;
            return value;
        }

        if (Next() is not BigInteger magic || magic != Magic)
            throw Refusal.Malformed(file.Path, "it is a pickle, but not in a container of torch.save");
        if (Next() is not Version)
            throw Refusal.Malformed(file.Path, "its container has an unknown version");
        if (Next() is not PickleDict machine || machine.Find("little_endian") is not true)
            throw new PerenosException($"{file.Path} was written on a machine that is not little-endian, or does not say so.", "save it again on a little-endian machine.");
        long start = position;
        var pickle = new TorchPickle(Next(), position - start);
        if (Next() is not PickleList keys)
            throw Refusal.Malformed(file.Path, "it has no list of its storages");
        foreach (object? key in keys.Items)
            position = Place(file, torch, key, position);

        if (torch.Storages.Values.FirstOrDefault(storage => storage.Offset < 0) is { } missing)
            throw Refusal.Malformed(file.Path, $"it lacks the storage {Refusal.Quote(missing.Key)}");
        return position == file.Length ? pickle : throw Refusal.Malformed(file.Path, $"{file.Length - position:N0} bytes at its end belong to no tensor");
    }

    private static long Place(MappedFile file, TorchConstructors torch, object? key, long position)
    {
        if (key is not string name || !torch.Storages.TryGetValue(name, out var storage) || storage.Offset >= 0)
            throw Refusal.Malformed(file.Path, $"it lists the storage {(key is string text ? Refusal.Quote(text) : "(no text)")} twice, or no tensor has it");
        if (file.Length - position < 8 || BinaryPrimitives.ReadInt64LittleEndian(file.Slice(position, 8)) != storage.Count)
            throw Refusal.Malformed(file.Path, $"its storage {Refusal.Quote(name)} does not have the {storage.Count:N0} elements that its tensors need (cut off?)");
        position += 8;
        long bytes = storage.Count * storage.ElementBytes;
        if (bytes > file.Length - position)
            throw Refusal.Malformed(file.Path, $"its storage {Refusal.Quote(name)} of {bytes:N0} bytes is beyond the end of the file (cut off?)");
        storage.Offset = position;
        return position + bytes;
    }
}
