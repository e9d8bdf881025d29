using System.CommandLine;
using Perenos.Recipes;
using Perenos.Runs;
using Spectre.Console;

namespace Perenos.Cli;

/// <summary><c>perenos inspect-model</c>: what a model is, from its headers.</summary>
internal static class InspectModelCommand
{
    public static Command Create()
    {
        var model = new Argument<string>("model") { Description = "Folder in Hugging Face's layout, a GGUF file, a PEFT folder, a name on the hub (owner/name), or \"base\"." };
        var batch = new Option<int>("--batch") { Description = "Sequences at a time, for the memory.", DefaultValueFactory = _ => 1, HelpName = "number" };
        var length = new Option<int?>("--length") { Description = "Tokens of each, for the memory (default: the model's context).", HelpName = "number" };
        var json = new Option<bool>("--json") { Description = "Print the report as JSON." };
        var command = new ExampledCommand("inspect-model", "Show what a model or adapter is: parameters, types, memory, tokenizer, template, licence. Reads headers, no weights.",
            "perenos inspect-model ./SmolLM2-135M-Instruct",
            "perenos inspect-model model.Q4_K.gguf --batch 4 --length 2048",
            "perenos inspect-model runs/NAME/adapter --json")
        { model, batch, length, json };
        var hub = new HubOptions(command);
        command.SetAction(parsed =>
        {
            if (parsed.GetValue(batch) < 1 || parsed.GetValue(length) is < 1)
                throw new PerenosException("--batch and --length count from 1.", "Leave them away for one sequence of the model's context.");
            var report = InspectModel.Run(hub.Model(parsed, parsed.GetValue(model)!), parsed.GetValue(batch), parsed.GetValue(length));
            if (parsed.GetValue(json))
                JsonOutput.Write(report);
            else
                Show(report);
            return 0;
        });
        return command;
    }

    private static void Show(ModelReport report)
    {
        var facts = new Table().Border(TableBorder.None).HideHeaders().AddColumns("", "");
        void Fact(string name, string? value)
        {
            if (value is not null)
                facts.AddRow(Markup.Escape(name), Markup.Escape(value));
        }

        Fact("model", report.Location);
        Fact("form", $"{report.Form}, {string.Join(", ", report.Files.Select(file => $"{Path.GetFileName(file.Key)} {Size(file.Value)}"))}");
        if (report.Adapter is { } adapter)
        {
            Fact("adapter", $"{adapter.Method}, rank {adapter.Rank}, alpha {adapter.Alpha}, {adapter.Layers} layers: {string.Join(", ", adapter.Targets)}");
            Fact("base", adapter.Base);
        }
        else
        {
            Fact("family", $"{report.Family ?? "unknown"}{(report.IsKnown ? "" : ", which Perenos cannot compute")}");
            Fact("size", report.Layers is null ? null : $"{report.Layers} layers, width {report.Width:N0}, context {report.ContextLength:N0}{(report.IsTied == true ? ", head tied to the embedding" : "")}");
        }

        Fact("tokenizer", report.Tokenizer is { } tokenizer ? Describe(tokenizer) : null);
        if (report.Adapter is null)
        {
            Fact("chat template", report.ChatTemplate ?? "none");
            Fact("stop tokens", report.StopTokens.Count > 0 ? string.Join(", ", report.StopTokens) : null);
            Fact("licence", report.License ?? "not stated");
        }

        AnsiConsole.Write(facts);
        var parts = new Table().RoundedBorder().AddColumns("part", "tensors", "parameters", "share", "on disk", "types");
        foreach (int column in new[] { 1, 2, 3, 4 })
            parts.Columns[column].RightAligned();
        foreach (var part in report.Parts)
            parts.AddRow(part.Name, $"{part.Tensors:N0}", $"{part.Parameters:N0}", $"{(double)part.Parameters / Math.Max(1, report.Parameters):P1}", Size(part.Bytes), Markup.Escape(string.Join(", ", part.Types)));
        parts.AddRow("all", $"{report.Parts.Sum(part => part.Tensors):N0}", $"{report.Parameters:N0}", "", Size(report.Bytes), "");
        AnsiConsole.Write(parts);
        foreach (var need in report.Memory)
            Console.WriteLine($"memory, {need.Use}: {need.Bytes / (double)(1 << 30):F2} GiB = {need.Formula}");
        foreach (string problem in report.Problems)
            Console.WriteLine($"not known  {problem}");
    }

    private static string Describe(TokenizerReport tokenizer)
    {
        string missing = tokenizer.MissingBytes.Count == 0 ? "" : $"; {tokenizer.MissingBytes.Count} bytes have no token ({string.Join(" ", tokenizer.MissingBytes.Take(8).Select(value => $"{value:X2}"))}{(tokenizer.MissingBytes.Count > 8 ? " …" : "")}): text with them is lost";
        return $"{tokenizer.Kind}, {tokenizer.Entries:N0} entries, {tokenizer.Specials.Count} special{missing}";
    }

    private static string Size(long bytes) => bytes switch
    {
        < 1 << 20 => $"{bytes / 1024.0:F1} KiB",
        < 1 << 30 => $"{bytes / (double)(1 << 20):F1} MiB",
        _ => $"{bytes / (double)(1 << 30):F2} GiB",
    };
}
