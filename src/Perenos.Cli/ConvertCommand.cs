using System.CommandLine;
using Perenos.Hub;
using Perenos.Models;
using Perenos.Recipes;
using Perenos.Runs;

namespace Perenos.Cli;

/// <summary><c>perenos convert</c>: a model or an adapter in another form, read back and compared before the command says it is done.</summary>
internal static class ConvertCommand
{
    public static Command Create()
    {
        var model = new Argument<string>("model") { Description = "Folder in Hugging Face's layout, a GGUF file, a name on the hub (owner/name), or \"base\"." };
        var to = new Option<string>("--to") { Description = "gguf or safetensors.", Required = true, HelpName = "form" };
        var type = new Option<string?>("--type")
        {
            Description = $"GGUF: {string.Join(", ", ExportToGguf.Types)} (default: f16). safetensors: {string.Join(", ", ExportToFolder.Types)} (default: as it is, f32 for quantised weights).",
            HelpName = "name",
        };
        var output = new Option<string?>("--output") { Description = "File or folder to write (default: named after the model, in this folder).", HelpName = "path" };
        var adapter = new Option<string?>("--adapter") { Description = "Convert this adapter, a PEFT folder or a GGUF file, instead of the model, which is its base.", HelpName = "path" };
        var shard = new Option<double>("--shard-size") { Description = "safetensors: most gigabytes of a file.", DefaultValueFactory = _ => 5, HelpName = "number" };
        var json = new Option<bool>("--json") { Description = "Print what was written as JSON." };
        var command = new ExampledCommand("convert", "Write a model as GGUF or as a Hugging Face folder, or a LoRA as GGUF or as a PEFT folder; read it back and compare.",
            "perenos convert ./SmolLM2-135M-Instruct --to gguf --type q4_k",
            "perenos convert model.Q8_0.gguf --to safetensors --type bf16 --output ./model",
            "perenos convert ./model --to gguf --adapter runs/NAME/adapter --output adapter.gguf",
            "perenos convert ./model --to safetensors --adapter adapter.gguf --output ./adapter")
        { model, to, type, output, adapter, shard, json };
        var hub = new HubOptions(command);
        command.SetAction(parsed =>
        {
            string form = parsed.GetValue(to)!;
            if (form is not ("gguf" or "safetensors"))
                throw new PerenosException($"--to {form} is no form that can be written.", "Use gguf or safetensors.");
            string given = parsed.GetValue(model)!;
            using var source = ModelSource.Open(hub.Model(parsed, given));
            var progress = new ProgressLine();
            var written = (form, parsed.GetValue(adapter)) switch
            {
                ("gguf", { } peft) => ConvertAdapter.ToGguf(source, peft, parsed.GetValue(output) ?? Name(peft) + ".gguf", parsed.GetValue(type) ?? "f32"),
                (_, { } gguf) => ConvertAdapter.ToPeft(source, gguf, parsed.GetValue(output) ?? Name(gguf) + "-peft"),
                ("gguf", _) => ToGguf(source, parsed.GetValue(output), parsed.GetValue(type) ?? "f16", Name(given), progress),
                _ => ExportToFolder.Run(source, parsed.GetValue(output) ?? Name(given) + "-safetensors", parsed.GetValue(type)?.ToLowerInvariant(),
                    ShardBytes(parsed.GetValue(shard)), progress.Show),
            };
            progress.Clear();
            Show(written, parsed.GetValue(json));
            return 0;
        });
        return command;
    }

    private static Conversion ToGguf(ModelSource source, string? output, string type, string name, ProgressLine progress) =>
        ExportToGguf.Run(source, output ?? $"{name}-{type.ToUpperInvariant()}.gguf", type, progress.Show);

    private static long ShardBytes(double gigabytes) => gigabytes is > 0 and < 1e9
        ? Math.Max(1, (long)(gigabytes * 1e9))
        : throw new PerenosException($"--shard-size {gigabytes} is not a size.", "Use gigabytes, such as 5.");

    private static string Name(string path)
    {
        // A folder of the hub's cache is named after a commit.
        string name = HubCache.Origin(path) is { } origin ? (origin.Path ?? origin.Repository).Split('/')[^1] : Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(path)));
        return Path.GetExtension(name) is ".gguf" or ".safetensors" or ".bin" ? Path.GetFileNameWithoutExtension(name) : name;
    }

    private static void Show(Conversion written, bool asJson)
    {
        if (asJson)
        {
            JsonOutput.Write(written);
            return;
        }

        Console.WriteLine($"{written.Path}: {written.Bytes:N0} bytes, {written.Parameters:N0} parameters");
        foreach (var type in written.Types)
            Console.WriteLine($"  {type.Type,-6} {type.Tensors,5} tensors {type.Parameters,15:N0} values   error {type.Error:P3}");
        foreach (string check in written.Checks)
            Console.WriteLine($"  checked  {check}");
        foreach (string loss in written.Losses)
            Console.WriteLine($"  note     {loss}");
    }

    /// <summary>One line on standard error that is written over, on terminals only.</summary>
    private sealed class ProgressLine
    {
        private bool _isShown;

        public void Show(string phase, int done, int total)
        {
            if (Console.IsErrorRedirected)
                return;
            _isShown = true;
            Console.Error.Write($"\r{phase} {done}/{total}   ");
        }

        public void Clear()
        {
            if (_isShown)
                Console.Error.Write("\r\u001b[K");
        }
    }
}
