using System.IO.Compression;
using System.Text;
using System.Text.RegularExpressions;

namespace Perenos.Recipes.Gather;

/// <summary>An unpacked Debian package: a folder named after it with a file .version.</summary>
internal sealed partial class Package(string folder)
{
    // Folders of translations into other languages; what they hold would be refused by its words, only later.
    private static readonly HashSet<string> OtherLanguages = new(
        ("af am ar as ast be bg bn br bs ca cs cy da de el eo es et eu fa fi fur ga gd gl gu he hi hr hu ia id is it ja ka kk km kn ko ku ky lt lv mai mk ml mr ms my nb nds "
        + "ne nl nn no oc or pa pl pt ro ru se si sk sl sq sr sv ta te tg th tr ug uk ur uz vi wa zh").Split(' '));

    private static readonly UTF8Encoding StrictUtf8 = new(false, throwOnInvalidBytes: true);

    public string Name { get; } = Path.GetFileName(folder);

    public string Version { get; } = File.ReadAllText(Path.Combine(folder, ".version")).Trim();

    /// <summary>Short licence names of the copyright file, the one for all files first.</summary>
    public IReadOnlyList<string> Licences { get; } = ReadLicences(folder);

    /// <summary>All strings of the package's French catalogues.</summary>
    public IEnumerable<(string Original, string Translation)> Messages()
        => Files().Where(file => FrenchCatalogue().IsMatch(file)).SelectMany(file => GettextCatalogue.Read(File.ReadAllBytes(Path.Combine(folder, file))));

    /// <summary>Raw paragraphs of the package's manuals, one list per page.</summary>
    public IEnumerable<IEnumerable<string>> Pages()
    {
        foreach (string file in Files())
        {
            if (ManualFile().IsMatch(file))
                yield return ManualPage.Paragraphs(Decode(Unpack(File.ReadAllBytes(Path.Combine(folder, file)))));
            else if (MarkupFile().IsMatch(file))
                yield return MarkupPage.Paragraphs(Decode(File.ReadAllBytes(Path.Combine(folder, file))));
        }
    }

    private IEnumerable<string> Files()
        => Directory.EnumerateFiles(folder, "*", new EnumerationOptions { RecurseSubdirectories = true, AttributesToSkip = FileAttributes.ReparsePoint })
            .Select(path => Path.GetRelativePath(folder, path))
            .Where(path => !path.Split('/').Any(part => OtherLanguages.Contains(part.Split('-', '_', '@')[0])))
            .Order(StringComparer.Ordinal);

    private static byte[] Unpack(byte[] file)
    {
        using var unpacked = new MemoryStream();
        using (var gzip = new GZipStream(new MemoryStream(file), CompressionMode.Decompress))
            gzip.CopyTo(unpacked);
        return unpacked.ToArray();
    }

    private static string Decode(byte[] bytes)
    {
        try
        {
            return StrictUtf8.GetString(bytes);
        }
        catch (DecoderFallbackException)
        {
            return Encoding.Latin1.GetString(bytes);
        }
    }

    private static List<string> ReadLicences(string folder)
    {
        // /usr/share/doc/<package> may be a link to another package of the same source.
        string link = Path.Combine(folder, ".documents");
        string home = File.Exists(link) ? Path.Combine(Path.GetDirectoryName(folder)!, File.ReadAllText(link).Trim()) : folder;
        string documents = Path.Combine(home, "usr/share/doc");
        string? file = !Directory.Exists(documents) ? null
            : Directory.EnumerateFiles(documents, "copyright", SearchOption.AllDirectories).Order(StringComparer.Ordinal).FirstOrDefault();
        if (file is null)
            return [];
        string text = Decode(File.ReadAllBytes(file));
        var names = LicenceField().Matches(text).Select(m => m.Groups[1].Value.Trim());
        var found = names.Where(name => name.Length is > 0 and < 60).Distinct().ToList();
        if (found.Count == 0)
        {
            found.AddRange(CommonLicence().Matches(text).Select(m => m.Groups[1].Value.TrimEnd('.')).Distinct());
            if (found.Count == 0)
                found.AddRange(SpelledLicence().Matches(text).Select(m => m.Value).Distinct());
            if (found.Count == 0)
                found.Add("own terms");
        }

        return found;
    }

    [GeneratedRegex(@"/(fr|fr_FR)(/[^/]+)?/[^/]*\.mo$|/(fr|fr_FR)\.mo$")]
    private static partial Regex FrenchCatalogue();

    [GeneratedRegex(@"/man/(fr/|fr\.UTF-8/)?man\d\w*/[^/]+\.gz$")]
    private static partial Regex ManualFile();

    [GeneratedRegex(@"\.(html?|xhtml|page|docbook)(\.(fr|en|utf8|fr\.utf8))?$")]
    private static partial Regex MarkupFile();

    [GeneratedRegex(@"^License:[ \t]*(.*)$", RegexOptions.Multiline)]
    private static partial Regex LicenceField();

    [GeneratedRegex(@"/usr/share/common-licenses/([\w.\-]+)")]
    private static partial Regex CommonLicence();

    [GeneratedRegex(@"PostgreSQL License|MIT|BSD|public domain|Creative Commons[\w \-]*|Mozilla Public License[\w .,]*|GNU (Lesser |Library )?General Public License", RegexOptions.IgnoreCase)]
    private static partial Regex SpelledLicence();
}
