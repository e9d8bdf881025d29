using Perenos.Benchmarks;

// Names, in the order of the README. Workers are the children of training-step and backward-memory: one process a variant.
return args switch
{
    ["training-step", .. var rest] => TrainingStep.Run(new Options(rest)),
    [TrainingStepWorker.Name, .. var rest] => TrainingStepWorker.Run(new Options(rest)),
    ["backward-memory", .. var rest] => BackwardMemory.Run(new Options(rest)),
    ["memory-flat", .. var rest] => MemoryFlat.Run(new Options(rest)),
    ["optimizer", .. var rest] => OptimizerStep.Run(new Options(rest)),
    ["open-model", .. var rest] => OpenModel.Run(new Options(rest)),
    ["tokenizer", .. var rest] => TokenizerThroughput.Run(new Options(rest)),
    ["plan", .. var rest] => PlanAccuracy.Run(new Options(rest)),
    ["start-up", .. var rest] => StartUp.Run(new Options(rest)),
    _ => Usage(),
};

static int Usage()
{
    Console.Error.WriteLine("Perenos.Benchmarks training-step | backward-memory | memory-flat | optimizer | open-model | tokenizer | plan | start-up [--option value …]; see benchmarks/README.md.");
    return 2;
}
