using Xunit.Sdk;
using Xunit.v3;

// Tests capture the console, and the engine uses every core by itself.
[assembly: Parallelization(Mode = ParallelMode.None)]
