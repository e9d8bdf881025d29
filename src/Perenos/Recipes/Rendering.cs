using Perenos.Models;
using Perenos.Runs;
using Perenos.Text.Data;
using Perenos.Text.Templates;
using Perenos.Text.Tokenization;

namespace Perenos.Recipes;

/// <summary>The renderer of a model: one for training, evaluation and generation.</summary>
public static class Rendering
{
    /// <summary>Makes the renderer that a model's own files describe.</summary>
    /// <param name="pretrained">Model with tokenizer and template.</param>
    /// <param name="template"><c>auto</c>: the model's chat template if it has one; <c>none</c>: prompt and completion stand side by side.</param>
    /// <exception cref="PerenosException">The template cannot be rendered.</exception>
    public static ExampleRenderer For(Pretrained pretrained, string template)
    {
        if (template is not ("auto" or "none"))
            throw new PerenosException($"data.template = \"{template}\" is not known.", "Use auto (the model's chat template, if it has one) or none.");
        var tokenizer = pretrained.Tokenizer;
        int stop = pretrained.StopTokens[0];
        var variables = new Dictionary<string, object?>();
        foreach (string key in new[] { "bos_token", "eos_token", "pad_token", "unk_token" })
        {
            if (pretrained.TokenNamed(key) is { } id)
                variables[key] = tokenizer.TokenOf(id);
        }

        return new ExampleRenderer(new RenderSettings
        {
            Encoder = new TokenizerEncoder(tokenizer),
            StopId = stop,
            StopText = tokenizer.TokenOf(stop)!,
            OtherStopIds = [.. pretrained.StopTokens.Skip(1)],
            // What the tokenizer itself puts before every text, such as Llama 2's <s>.
            StartId = tokenizer.Encode("", addSpecialTokens: true) is [var start] ? start : null,
            Template = template == "auto" && pretrained.ChatTemplate is { } source ? ChatTemplate.Parse(source, "chat template") : null,
            Variables = variables,
        });
    }

    private sealed class TokenizerEncoder(Tokenizer tokenizer) : ITextEncoder
    {
        public IReadOnlyList<(int Id, int Start, int End)> Encode(string text)
        {
            var encoding = tokenizer.EncodeWithOffsets(text);
            var places = UnitOfCodePoint(text);
            return [.. encoding.Ids.Select((id, index) => (id, places[encoding.Offsets[index].Start], places[encoding.Offsets[index].End]))];
        }

        // Offsets count code points; strings count UTF-16 units.
        private static int[] UnitOfCodePoint(string text)
        {
            List<int> places = [];
            for (int unit = 0; unit < text.Length; unit++)
            {
                places.Add(unit);
                if (char.IsSurrogatePair(text, unit))
                    unit++;
            }

            return [.. places, text.Length];
        }
    }
}
