using Perenos.Runs;

namespace Perenos.Checkpoints;

/// <summary>What often lies where weights should be: the page of a server, or the pointer of Git LFS.</summary>
internal static class Placeholder
{
    private const int HeadBytes = 64;

    /// <exception cref="PerenosException">The file is one of these.</exception>
    public static void Refuse(MappedFile file)
    {
        var head = file.Slice(0, (int)Math.Min(file.Length, HeadBytes));
        if (head.StartsWith("\uFEFF"u8))
            head = head[3..];
        if (head.StartsWith("version https://git-lfs"u8))
        {
            throw new PerenosException(
                $"{file.Path} is a Git LFS pointer of {file.Length:N0} bytes, not the file itself.",
                "run `git lfs pull` in the repository, or download the file from its page.");
        }

        head = head.TrimStart(" \t\r\n"u8);
        if (head.Length > 1 && head[0] == '<' && (head[1] is (byte)'!' or (byte)'?' || char.IsAsciiLetter((char)head[1])))
        {
            throw new PerenosException(
                $"{file.Path} is a web page, not weights.",
                "a server answered with a page instead of the file: log in, accept the licence if the model has one, and download the file again.");
        }
    }
}
