namespace Perenos.Text.Data;

/// <summary>A record as the model sees it.</summary>
/// <param name="Ids">Token ids.</param>
/// <param name="IsLearnt">For each token, whether it is a label: predicted from what stands before it.</param>
/// <param name="Source">File and row.</param>
public sealed record Example(int[] Ids, bool[] IsLearnt, string Source);
