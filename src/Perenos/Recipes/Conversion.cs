namespace Perenos.Recipes;

/// <summary>How the tensors of one type came out.</summary>
/// <param name="Type">As on disk, for example <c>Q4_K</c>.</param>
/// <param name="Tensors">How many.</param>
/// <param name="Parameters">Their values.</param>
/// <param name="Error">Root mean square of the difference to the source, over the root mean square of the source; measured on what was read back.</param>
public sealed record ConvertedType(string Type, int Tensors, long Parameters, double Error);

/// <summary>What was written, after it was read back and compared.</summary>
/// <param name="Path">The file or folder.</param>
/// <param name="Bytes">Size on disk.</param>
/// <param name="Parameters">Values of all tensors.</param>
/// <param name="Types">By type of storage.</param>
/// <param name="Checks">What was compared, one sentence each.</param>
/// <param name="Losses">What the new form cannot say, one sentence each.</param>
public sealed record Conversion(
    string Path, long Bytes, long Parameters, IReadOnlyList<ConvertedType> Types, IReadOnlyList<string> Checks, IReadOnlyList<string> Losses);

/// <summary>Called now and then: what is done, how far it is, how far it goes.</summary>
public delegate void ConversionProgress(string phase, int done, int total);
