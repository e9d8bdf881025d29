using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;
using Microsoft.Win32.SafeHandles;
using Perenos.Runs;
using static TorchSharp.torch;

namespace Perenos.Checkpoints;

/// <summary>A tensor to be written into a safetensors file.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Type">Type of its elements.</param>
/// <param name="Shape">Sizes, outermost first.</param>
/// <param name="Read">Gives it, outside any dispose scope; called once, and the writer frees what it gets.</param>
public sealed record SafetensorsEntry(string Name, ScalarType Type, long[] Shape, Func<Tensor> Read);

/// <summary>
/// Writes safetensors files byte for byte as the reference implementation does: wide types first, then by name; header padded
/// to 8 bytes. One tensor at a time goes to the disk, and a file appears under its name only when it is whole.
/// </summary>
public static partial class SafetensorsWriter
{
    /// <summary>The size at which transformers begins a new file.</summary>
    public const long DefaultShardBytes = 5_000_000_000;

    private sealed record Entry(string Name, long[] Shape, SafetensorsType Type, Func<Tensor> Read, bool IsOwned)
    {
        public long Elements => Shape.Aggregate(1L, (product, size) => product * size);

        public long Bytes => Elements * Type.Bytes;
    }

    /// <summary>Writes one file. <c>format: pt</c>, which transformers demands, is added to the metadata.</summary>
    /// <exception cref="PerenosException">The file cannot be written, or a name or type has no place in the format.</exception>
    public static void Write(
        string path, IEnumerable<(string Name, Tensor Tensor)> tensors, IReadOnlyDictionary<string, string>? metadata = null) =>
        WriteFile(path, Entries(tensors), metadata);

    /// <summary>
    /// Writes <c>model.safetensors</c>, or shards of at most <paramref name="maximumShardBytes"/> with their index where one file would be
    /// larger. A tensor above the limit gets a shard of its own. Files of an earlier save that are not part of this one are removed last.
    /// </summary>
    /// <exception cref="PerenosException">As in <see cref="Write"/>.</exception>
    public static void WriteShards(
        string folder,
        IEnumerable<(string Name, Tensor Tensor)> tensors,
        IReadOnlyDictionary<string, string>? metadata = null,
        long maximumShardBytes = DefaultShardBytes) =>
        WriteShards(folder, Entries(tensors), metadata, maximumShardBytes);

    /// <summary>Likewise, with one tensor at a time in memory.</summary>
    /// <exception cref="PerenosException">As in <see cref="Write"/>.</exception>
    public static void WriteShards(
        string folder,
        IEnumerable<SafetensorsEntry> tensors,
        IReadOnlyDictionary<string, string>? metadata = null,
        long maximumShardBytes = DefaultShardBytes) =>
        WriteShards(folder, Entries(tensors.Select(tensor => (tensor, true))), metadata, maximumShardBytes);

    private static void WriteShards(string folder, List<Entry> entries, IReadOnlyDictionary<string, string>? metadata, long maximumShardBytes)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(maximumShardBytes, 1);
        var shards = Split(entries, maximumShardBytes);
        string NameOf(int shard) => shards.Count == 1 ? "model.safetensors" : $"model-{shard + 1:D5}-of-{shards.Count:D5}.safetensors";
        for (int shard = 0; shard < shards.Count; shard++)
            WriteFile(Path.Combine(folder, NameOf(shard)), shards[shard], metadata);

        HashSet<string> written = [.. Enumerable.Range(0, shards.Count).Select(NameOf)];
        if (shards.Count > 1)
        {
            WriteIndex(Path.Combine(folder, ShardedCheckpoint.SafetensorsIndexName), shards, NameOf);
            written.Add(ShardedCheckpoint.SafetensorsIndexName);
        }

        RemoveOthers(folder, written);
    }

    /// <summary>Last, so that a crash before it leaves at worst files too many. A single old file would win over newer shards.</summary>
    private static void RemoveOthers(string folder, HashSet<string> written)
    {
        try
        {
            foreach (string path in Directory.EnumerateFiles(folder, "model*"))
            {
                if (OwnFile().IsMatch(Path.GetFileName(path)) && !written.Contains(Path.GetFileName(path)))
                    File.Delete(path);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw Refusal.Unreachable(folder, "remove the files of an earlier save from", e);
        }
    }

    [GeneratedRegex(@"^model(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?$")]
    private static partial Regex OwnFile();

    private static List<Entry> Entries(IEnumerable<(string Name, Tensor Tensor)> tensors) =>
        Entries(tensors.Select(tensor => (new SafetensorsEntry(tensor.Name, tensor.Tensor.dtype, tensor.Tensor.shape, () => tensor.Tensor), false)));

    private static List<Entry> Entries(IEnumerable<(SafetensorsEntry Tensor, bool IsOwned)> tensors)
    {
        var entries = new List<Entry>();
        var names = new HashSet<string>(StringComparer.Ordinal) { "__metadata__" };
        foreach (var (tensor, isOwned) in tensors)
        {
            if (!names.Add(tensor.Name))
                throw new PerenosException($"two tensors to be written are called {Refusal.Quote(tensor.Name)}.", "give each its own name.");
            var type = SafetensorsType.Find(tensor.Type) ?? throw new PerenosException(
                $"tensor {Refusal.Quote(tensor.Name)} is {tensor.Type}, which safetensors cannot hold.", "convert it to a real type.");
            entries.Add(new Entry(tensor.Name, tensor.Shape, type, tensor.Read, isOwned));
        }

        return entries;
    }

    private static List<List<Entry>> Split(List<Entry> entries, long maximumBytes)
    {
        List<List<Entry>> shards = [[]];
        long size = 0;
        foreach (var entry in entries)
        {
            if (shards[^1].Count > 0 && size + entry.Bytes > maximumBytes)
            {
                shards.Add([]);
                size = 0;
            }

            shards[^1].Add(entry);
            size += entry.Bytes;
        }

        return shards;
    }

    private static void WriteFile(string path, List<Entry> entries, IReadOnlyDictionary<string, string>? metadata)
    {
        // Names compare as UTF-8, as in the reference; ordinal UTF-16 differs above U+FFFF.
        Entry[] ordered = [.. entries.OrderByDescending(e => e.Type.Rank).ThenBy(e => Encoding.UTF8.GetBytes(e.Name), ByteOrder)];
        byte[] header = Header(ordered, metadata);
        AtomicFile.Write(path, header.Length + ordered.Sum(e => e.Bytes), handle =>
        {
            RandomAccess.Write(handle, header, 0);
            long position = header.Length;
            foreach (var entry in ordered)
                position = WriteData(handle, position, entry);
        });
    }

    private static readonly Comparer<byte[]> ByteOrder = Comparer<byte[]>.Create((a, b) => a.AsSpan().SequenceCompareTo(b));

    private static byte[] Header(Entry[] entries, IReadOnlyDictionary<string, string>? metadata)
    {
        var all = new SortedDictionary<string, string>(StringComparer.Ordinal) { ["format"] = "pt" };
        foreach (var (key, value) in metadata ?? new Dictionary<string, string>())
            all[key] = value;

        var json = new StringBuilder("{\"__metadata__\":{");
        json.AppendJoin(',', all.Select(m => $"{Quoted(m.Key)}:{Quoted(m.Value)}")).Append('}');
        long offset = 0;
        foreach (var entry in entries)
        {
            string shape = string.Join(',', entry.Shape);
            json.Append(CultureInfo.InvariantCulture,
                $",{Quoted(entry.Name)}:{{\"dtype\":\"{entry.Type.Name}\",\"shape\":[{shape}],\"data_offsets\":[{offset},{offset + entry.Bytes}]}}");
            offset += entry.Bytes;
        }

        int length = Encoding.UTF8.GetByteCount(json.Append('}').ToString());
        json.Append(' ', (8 - length % 8) % 8);
        byte[] text = Encoding.UTF8.GetBytes(json.ToString());
        byte[] header = new byte[8 + text.Length];
        BinaryPrimitives.WriteInt64LittleEndian(header, text.Length);
        text.CopyTo(header, 8);
        return header;
    }

    /// <summary>Escapes what JSON demands and nothing more, as the reference's JSON writer does.</summary>
    private static string Quoted(string text)
    {
        var quoted = new StringBuilder("\"");
        foreach (char c in text)
        {
            _ = c switch
            {
                '"' or '\\' => quoted.Append('\\').Append(c),
                '\b' => quoted.Append("\\b"),
                '\f' => quoted.Append("\\f"),
                '\n' => quoted.Append("\\n"),
                '\r' => quoted.Append("\\r"),
                '\t' => quoted.Append("\\t"),
                < ' ' => quoted.Append(CultureInfo.InvariantCulture, $"\\u{(int)c:x4}"),
                _ => quoted.Append(c),
            };
        }

        return quoted.Append('"').ToString();
    }

    private static long WriteData(SafeFileHandle handle, long position, Entry entry)
    {
        using var scope = NewDisposeScope();
        var tensor = entry.Read();
        if (entry.IsOwned)
            scope.Attach(tensor);
        var memory = tensor.detach().cpu().contiguous();
        TensorBytes.ForEachPiece(memory, (piece, _) =>
        {
            RandomAccess.Write(handle, piece, position);
            position += piece.Length;
        });
        return position;
    }

    private static void WriteIndex(string path, List<List<Entry>> shards, Func<int, string> nameOf)
    {
        var files = new SortedDictionary<string, string>(StringComparer.Ordinal);
        for (int shard = 0; shard < shards.Count; shard++)
        {
            foreach (var entry in shards[shard])
                files.Add(entry.Name, nameOf(shard));
        }

        long parameters = shards.Sum(s => s.Sum(e => e.Elements));
        long bytes = shards.Sum(s => s.Sum(e => e.Bytes));
        string map = string.Join(",\n", files.Select(f => $"    {Quoted(f.Key)}: {Quoted(f.Value)}"));
        byte[] json = Encoding.UTF8.GetBytes(
            $"{{\n  \"metadata\": {{\n    \"total_parameters\": {parameters},\n    \"total_size\": {bytes}\n  }},\n  \"weight_map\": {{\n{map}\n  }}\n}}\n");
        AtomicFile.Write(path, json.Length, handle => RandomAccess.Write(handle, json, 0));
    }
}
