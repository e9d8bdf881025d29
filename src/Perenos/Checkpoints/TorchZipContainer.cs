using System.Globalization;
using System.Text;
using Perenos.Runs;

namespace Perenos.Checkpoints;

/// <summary>
/// The container of torch since version 1.6: a zip archive with a pickle (<c>NAME/data.pkl</c>) and each storage as an entry of its own
/// (<c>NAME/data/KEY</c>), <see href="https://docs.pytorch.org/docs/stable/notes/serialization.html"/>.
/// </summary>
internal static class TorchZipContainer
{
    private const int MostTextBytes = 64;
    private const int NewestVersion = 10;

    public static bool Is(MappedFile file) => file.Length >= 4 && file.Slice(0, 4).SequenceEqual("PK\u0003\u0004"u8);

    /// <summary>The value of the pickle; the storages of <paramref name="torch"/> get their places.</summary>
    public static TorchPickle Read(MappedFile file, TorchConstructors torch)
    {
        const string PickleName = "/data.pkl";
        var entries = ZipDirectory.Read(file).Entries;
        string[] pickles = [.. entries.Keys.Where(name => name.EndsWith(PickleName, StringComparison.Ordinal) && name.IndexOf('/') == name.Length - PickleName.Length)];
        if (pickles.Length != 1)
            throw Refusal.Malformed(file.Path, $"it is a zip archive with {pickles.Length} pickles NAME/data.pkl instead of one");
        string root = pickles[0][..^PickleName.Length];
        if (entries.ContainsKey($"{root}/constants.pkl"))
            throw new PerenosException($"{file.Path} is a TorchScript program, not weights.", "take the checkpoint that it was made from.");
        if (Text("byteorder") is { } order && order != "little")
            throw new PerenosException($"{file.Path} has the byte order {Refusal.Quote(order)}; only little-endian files are read.", "save it again on a little-endian machine.");
        if (Text("version") is { } version && !(int.TryParse(version, NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number is >= 1 and <= NewestVersion))
            throw Refusal.Malformed(file.Path, $"it has the unknown version {Refusal.Quote(version)}");

        var pickle = entries[pickles[0]];
        var reader = new PickleReader(file, pickle.Offset, pickle.Offset + pickle.Length, torch);
        object? value = reader.Read();
        if (reader.Position != pickle.Offset + pickle.Length)
            throw Refusal.Malformed(file.Path, "its pickle goes on behind its end");
        foreach (var storage in torch.Storages.Values)
        {
            if (!entries.TryGetValue($"{root}/data/{storage.Key}", out var data))
                throw Refusal.Malformed(file.Path, $"it lacks the storage {Refusal.Quote(storage.Key)}");
            if (data.Length != storage.Count * storage.ElementBytes)
            {
                throw Refusal.Malformed(file.Path,
                    $"its storage {Refusal.Quote(storage.Key)} claims {storage.Count:N0} elements of {storage.ElementBytes} bytes, but has {data.Length:N0} bytes");
            }

            storage.Offset = data.Offset;
        }

        return new TorchPickle(value, pickle.Length);

        string? Text(string name)
        {
            if (!entries.TryGetValue($"{root}/{name}", out var entry))
                return null;
            return Encoding.Latin1.GetString(file.Slice(entry.Offset, (int)Math.Min(entry.Length, MostTextBytes))).Trim();
        }
    }
}
