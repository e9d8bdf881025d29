using Xunit.Sdk;
using Xunit.v3;

// Leak checks read TorchSharp's global count of live tensors, and the engine uses every core by itself.
[assembly: Parallelization(Mode = ParallelMode.None)]
