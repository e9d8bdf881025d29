using Perenos.Runs;
using Perenos.Text.Tokenization;

namespace Perenos.Recipes;

/// <summary>Whether two tokenizers cut a text in the same way, special tokens included.</summary>
internal static class SameText
{
    private const string Probe = "The 3 cats' naïve café — 我想 1.5 kg\n\n\tif (x == 10_000) { return \"ok\"; }  🙂 ";

    /// <exception cref="PerenosException">They do not.</exception>
    public static void Refuse(Tokenizer before, Tokenizer after, string location)
    {
        var specials = before.Facts().Added.Where(token => token.IsSpecial).Take(8).Select(token => token.Content);
        foreach (string text in new[] { Probe, string.Join("x", specials) })
        {
            int[] ids = before.Encode(text, addSpecialTokens: true);
            if (!ids.SequenceEqual(after.Encode(text, addSpecialTokens: true)) || before.Decode(ids) != after.Decode(ids))
                throw new PerenosException($"{location}: the tokenizer does not read back as it was.", "Keep the form that the model came in.");
        }
    }
}
