using System.CommandLine;

namespace Perenos.Cli;

/// <summary><c>perenos pretrain</c>: the same road from random weights.</summary>
internal static class PretrainCommand
{
    public static Command Create()
    {
        var command = new ExampledCommand("pretrain", "Train a model from random weights by a recipe (start: kind: random).",
            "perenos pretrain recipes/base/pretrain.yaml",
            "perenos pretrain --architecture config.json --tokenizer tokenizer.json --data corpus.jsonl --epochs 1 --learning-rate 3e-3",
            "perenos pretrain --resume runs/NAME");
        TuneCommand.AddTo(command, isPretrained: false, "pretrain");
        return command;
    }
}
