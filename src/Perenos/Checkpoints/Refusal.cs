using System.Text;
using Perenos.Runs;

namespace Perenos.Checkpoints;

/// <summary>The sentences in which checkpoint files are refused. Names from a file are untrusted and are quoted safely.</summary>
internal static class Refusal
{
    private const int QuotedLength = 120;

    /// <summary>The file contradicts its format.</summary>
    public static PerenosException Malformed(string path, string reason, Exception? inner = null) => new(
        $"{path} is malformed: {reason}.",
        "copy or download the file again; if that does not help, the program that wrote it is at fault.",
        inner);

    /// <summary>The file cannot be opened, read or written.</summary>
    public static PerenosException Unreachable(string path, string action, Exception inner) => new(
        $"cannot {action} {path}: {inner.Message}",
        "check the path, its permissions and the free space of the disk.",
        inner);

    /// <summary>An unsigned value that torch has no type for.</summary>
    public static PerenosException TooLargeForTorch(string path, string tensor, OverflowException inner) =>
        Malformed(path, $"tensor {Quote(tensor)} has values above 2^63 - 1, which torch cannot hold", inner);

    /// <summary>There is no tensor of that name; says which ones come near.</summary>
    public static PerenosException NoSuchTensor(ITensorSource source, string name)
    {
        string last = name.Split('.')[^1];
        string[] near = [.. source.Tensors.Keys
            .Where(k => k.EndsWith(name, StringComparison.Ordinal) || name.EndsWith(k, StringComparison.Ordinal)
                || k.Split('.')[^1] == last)
            .Take(3).Select(Quote)];
        return new PerenosException(
            $"{source.Location} holds no tensor {Quote(name)} among its {source.Tensors.Count:N0}.",
            near.Length > 0 ? $"it holds {string.Join(", ", near)}." : "is this the checkpoint of another architecture?");
    }

    /// <summary>A name from a file, without control characters and not longer than a line.</summary>
    public static string Quote(string name)
    {
        var text = new StringBuilder("\"");
        foreach (char c in name.AsSpan(0, Math.Min(name.Length, QuotedLength)))
            text.Append(char.IsControl(c) || char.IsSurrogate(c) ? '\uFFFD' : c);
        return text.Append(name.Length > QuotedLength ? "…\"" : "\"").ToString();
    }
}
