using Xunit;

// Leak checks read TorchSharp's global count of live tensors, and the engine uses every core by itself.
[assembly: CollectionBehavior(DisableTestParallelization = true)]
