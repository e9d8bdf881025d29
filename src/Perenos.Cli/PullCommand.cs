using System.CommandLine;
using Perenos.Hub;

namespace Perenos.Cli;

/// <summary><c>perenos pull</c>: bring a model, an adapter or a data set of the hub into the cache.</summary>
internal static class PullCommand
{
    public static Command Create()
    {
        var name = new Argument<string>("name") { Description = "owner/name, with :file for one file (a GGUF file, say); datasets/owner/name for data." };
        var revision = new Option<string?>("--revision") { Description = "Branch, tag or commit (also written owner/name@revision).", HelpName = "text" };
        var command = new ExampledCommand("pull", "Load a model, an adapter or a data set of the Hugging Face hub into its cache, or go on with it; prints where it lies.",
            "perenos pull EleutherAI/gpt-j-6b",
            "perenos pull HuggingFaceTB/SmolLM2-135M-Instruct --revision main",
            "perenos pull owner/name-GGUF:name-Q4_K_M.gguf",
            "perenos pull datasets/owner/name")
        { name, revision };
        var hub = new HubOptions(command);
        command.SetAction(parsed =>
        {
            string written = parsed.GetValue(name)!;
            var wanted = HubName.Parse(written);
            if (parsed.GetValue(revision) is { } asked)
                wanted = HubName.Parse($"{(wanted.Kind == HubKind.Dataset ? "datasets/" : "")}{wanted.Repository}@{asked}{(wanted.Path is null ? "" : ":" + wanted.Path)}");
            Console.WriteLine(HubDisplay.Fetch(hub.Settings(parsed), wanted).Path);
            return 0;
        });
        return command;
    }
}
