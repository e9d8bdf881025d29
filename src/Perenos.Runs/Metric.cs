namespace Perenos.Runs;

/// <summary>
/// A measured value with its 95 % interval where one was computed. <c>Signature</c> says how it was computed
/// (sacreBLEU's signature, window sizes, number of examples), so that it can be compared with others.
/// </summary>
public sealed record Metric(string Name, double Value, double? Low = null, double? High = null, string? Signature = null);
