using Perenos.Adapters;
using Perenos.Models;
using Perenos.Runs;

namespace Perenos.Recipes;

/// <summary>An adapter on its base, compared with its passport.</summary>
/// <param name="Adapter">The adapter, attached; the caller disposes it.</param>
/// <param name="Unverified">What could not be verified, in words; nothing where a passport vouched for all.</param>
public sealed record OpenedAdapter(Adapter Adapter, IReadOnlyList<string> Unverified)
{
    /// <summary>Opens the adapter of a folder, PEFT's or mlx-lm's, and verifies it.</summary>
    /// <exception cref="PerenosException">It does not fit the model, or its passport tells of another.</exception>
    public static OpenedAdapter Open(string folder, Pretrained pretrained)
    {
        AdapterPassport.DemandVocabulary(folder, pretrained);
        var adapter = PeftFolder.Open(folder, pretrained.Model.Parts);
        try
        {
            return new OpenedAdapter(adapter, AdapterPassport.Verify(folder, pretrained, adapter));
        }
        catch
        {
            adapter.Dispose();
            throw;
        }
    }
}
