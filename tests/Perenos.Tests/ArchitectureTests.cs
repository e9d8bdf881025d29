using System.Text.RegularExpressions;
using System.Xml.Linq;
using Perenos.Testing;
using Xunit;

namespace Perenos.Tests;

/// <summary>The direction of dependencies: between projects, and between the folders of the library.</summary>
public sealed partial class ArchitectureTests
{
    // Folder by folder, what it may use; a folder that is not here may not be there.
    private static readonly Dictionary<string, string[]> Folders = new()
    {
        ["Checkpoints"] = [],
        ["Hub"] = [],
        ["Kernels"] = [],
        ["Reports"] = [],
        ["Layers"] = ["Kernels"],
        ["Models"] = ["Layers", "Checkpoints"],
        ["Adapters"] = ["Layers", "Checkpoints"],
        ["Generation"] = ["Models", "Layers"],
        ["Training"] = ["Models", "Layers", "Kernels", "Checkpoints"],
        // Training has the loss of a batch, which evaluation measures too.
        ["Evaluation"] = ["Models", "Generation", "Training"],
        ["Transfer"] = ["Models", "Layers", "Adapters", "Training", "Kernels", "Checkpoints"],
        ["Recipes"] = ["Checkpoints", "Hub", "Kernels", "Reports", "Layers", "Models", "Adapters", "Generation", "Training", "Transfer", "Evaluation"],
    };

    private static readonly Dictionary<string, string[]> Projects = new()
    {
        ["Perenos.Runs"] = [],
        ["Perenos.Text"] = ["Perenos.Runs"],
        ["Perenos"] = ["Perenos.Runs", "Perenos.Text"],
        ["Perenos.Cli"] = ["Perenos"],
    };

    private static string Source => Path.Combine(Shared.Checkout, "src");

    public static TheoryData<string> FolderNames => [.. Folders.Keys];

    [Fact]
    public void The_library_has_exactly_the_folders_of_the_table()
    {
        string[] plain = ["Base", "Resources", "bin", "obj"];
        Assert.Equal(Folders.Keys.Order(StringComparer.Ordinal), Directory.EnumerateDirectories(Path.Combine(Source, "Perenos"))
            .Select(folder => Path.GetFileName(folder)!).Except(plain).Order(StringComparer.Ordinal));
    }

    [Theory]
    [MemberData(nameof(FolderNames))]
    public void A_folder_uses_only_what_it_may(string folder)
    {
        var files = Files(Path.Combine("Perenos", folder));
        Assert.NotEmpty(files);
        var wrong = files.SelectMany(file => FoldersNamedIn(File.ReadAllText(file)).Except([folder, .. Folders[folder]])
            .Select(used => $"{Path.GetRelativePath(Source, file)} uses {used}"));
        Assert.Empty(wrong);
    }

    [Theory]
    [MemberData(nameof(FolderNames))]
    public void The_namespace_of_a_file_is_its_folder(string folder) =>
        Assert.All(Files(Path.Combine("Perenos", folder)), file => Assert.Contains($"namespace Perenos.{folder};", File.ReadAllText(file), StringComparison.Ordinal));

    [Fact]
    public void Projects_reference_only_what_they_may()
    {
        Assert.Equal(Projects.Keys.Order(StringComparer.Ordinal), Directory.EnumerateDirectories(Source).Select(folder => Path.GetFileName(folder)!).Order(StringComparer.Ordinal));
        foreach (var (project, allowed) in Projects)
        {
            var references = XDocument.Load(Path.Combine(Source, project, $"{project}.csproj")).Descendants("ProjectReference")
                .Select(reference => Path.GetFileNameWithoutExtension(reference.Attribute("Include")!.Value.Replace('\\', '/')));
            Assert.Empty(references.Except(allowed));
        }
    }

    [Theory]
    [InlineData("Perenos.Runs")]
    [InlineData("Perenos.Text")]
    public void Text_and_runs_never_see_the_engine(string project)
    {
        var files = Files(project);
        Assert.NotEmpty(files);
        Assert.All(files, file => Assert.DoesNotContain("TorchSharp", WithoutTexts(File.ReadAllText(file)), StringComparison.Ordinal));
        Assert.DoesNotContain("Torch", File.ReadAllText(Path.Combine(Source, project, $"{project}.csproj")), StringComparison.OrdinalIgnoreCase);
        var assembly = project == "Perenos.Runs" ? typeof(Perenos.Runs.RunFolder).Assembly : typeof(Perenos.Text.Tokenization.Tokenizer).Assembly;
        Assert.Equal(project, assembly.GetName().Name);
        Assert.DoesNotContain(assembly.GetReferencedAssemblies(), reference => reference.Name is "TorchSharp" or "Perenos");
    }

    [Fact]
    public void The_look_out_sees_every_way_to_name_a_folder()
    {
        const string code = """
            using Perenos.Models;
            using static Perenos.Layers.Norms;
            using Writer = Perenos.Checkpoints.SafetensorsWriter;
            // Perenos.Recipes in a comment
            var text = "Training.Trainer";
            Kernels.Floats.Add(folder.Generation.Count, global::Perenos.Evaluation.Judgement.Take());
            """;
        Assert.Equal(["Checkpoints", "Evaluation", "Kernels", "Layers", "Models"], FoldersNamedIn(code).Order(StringComparer.Ordinal));
    }

    private static List<string> Files(string folder) => [.. Directory.EnumerateFiles(Path.Combine(Source, folder), "*.cs", SearchOption.AllDirectories)];

    // "Perenos.Models…" anywhere, or "Models.Something" where no dot stands before it.
    private static IEnumerable<string> FoldersNamedIn(string code)
    {
        string names = string.Join('|', Folders.Keys);
        return Regex.Matches(WithoutTexts(code), $@"(?:\bPerenos\.|(?<![\w.]))({names})(?=\.[A-Z]|;)|\bPerenos\.({names})\b")
            .Select(match => match.Groups[1].Success ? match.Groups[1].Value : match.Groups[2].Value)
            .Distinct();
    }

    private static string WithoutTexts(string code) => NamespaceLine().Replace(CommentOrText().Replace(code, ""), "");

    [GeneratedRegex(@"//[^\n]*|""(\\.|[^""\\\n])*""")]
    private static partial Regex CommentOrText();

    [GeneratedRegex(@"^namespace [^;]+;", RegexOptions.Multiline)]
    private static partial Regex NamespaceLine();
}
