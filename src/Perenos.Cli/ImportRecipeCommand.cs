using System.CommandLine;
using Perenos.Runs;
using Perenos.Runs.Import;
using Spectre.Console;

namespace Perenos.Cli;

/// <summary><c>perenos import-recipe</c>: a recipe of LLaMA-Factory or axolotl in our words.</summary>
internal static class ImportRecipeCommand
{
    public static Command Create()
    {
        var recipe = new Argument<string>("recipe") { Description = "Recipe of LLaMA-Factory or axolotl (yaml or json)." };
        var output = new Option<string>("--output") { Description = "Where ours goes.", DefaultValueFactory = _ => "recipe.yaml", HelpName = "file" };
        var command = new ExampledCommand("import-recipe", "Translate a recipe of LLaMA-Factory or axolotl; every key is mapped or named.",
            "perenos import-recipe llama3_lora_sft.yaml",
            "perenos import-recipe qlora.yml --output recipe.yaml")
        { recipe, output };
        command.SetAction(parsed =>
        {
            var imported = ImportedRecipe.Read(parsed.GetValue(recipe)!);
            string path = parsed.GetValue(output)!;
            if (File.Exists(path))
                throw new PerenosException($"{path} exists already.", "Choose another file with --output.");
            AtomicFile.WriteText(path, imported.ToYaml());
            Show(imported);
            Console.WriteLine($"{imported.Tool}: {Count(KeyFate.Mapped)} keys mapped, {Count(KeyFate.Needless)} needless here, {Count(KeyFate.Lost)} not as there. Recipe: {path}");
            Console.WriteLine($"Look at the plan first: perenos tune {path} --dry-run");
            return 0;

            int Count(KeyFate fate) => imported.Keys.Count(key => key.Fate == fate);
        });
        return command;
    }

    private static void Show(ImportedRecipe imported)
    {
        var table = new Table().RoundedBorder().AddColumn("key there").AddColumn("value").AddColumn("here");
        foreach (var key in imported.Keys.OrderBy(key => key.Fate))
        {
            var (style, prefix) = key.Fate switch { KeyFate.Mapped => (Style.Plain, ""), KeyFate.Needless => (new Style(decoration: Decoration.Dim), "needless: "), _ => (new Style(Color.Yellow), "not as there: ") };
            table.AddRow(new Spectre.Console.Text(key.Key, style), new Spectre.Console.Text(key.Value, style), new Spectre.Console.Text(prefix + key.Explanation, style));
        }

        AnsiConsole.Write(table);
    }
}
