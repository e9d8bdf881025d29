using Perenos.Models;
using Perenos.Text.Data;
using Perenos.Text.Templates;

namespace Perenos.Recipes;

/// <summary>The half of the self-test that computes nothing: whether tokenizer, stop tokens and template keep what they are given.</summary>
internal sealed class SelfTestText(Pretrained pretrained)
{
    // Letters with accents, code with indents and tabs, runs of blanks and lines, digits, signs beyond the basic plane.
    public static IReadOnlyList<string> Texts { get; } =
    [
        "The ferry left at six, and by noon the harbour was quiet again.",
        "Nuageux avec éclaircies; vent d'ouest de 20 à 40 km/h.",
        "def area(r):\n    if r < 0:\n\t\treturn None\n    return 3.14159 * r ** 2\n",
        "1,234.56 + 7 = 1,241.56   (about 0.1 %)\n\n\n  end",
        "Weather: 🌦️ — 気温は12度です。 Погода: снег.",
        "a",
    ];

    public SelfTestCheck TokensReturn()
    {
        var tokenizer = pretrained.Tokenizer;
        var lost = Texts.Where(text => tokenizer.Encode(text) is var ids && !tokenizer.Encode(tokenizer.Decode(ids)).SequenceEqual(ids)).ToList();
        return SelfTestCheck.Judged(lost.Count, 0, $"of {Texts.Count} texts", lost.Count == 0 ? "cut, joined and cut again" : $"first: {Quote(lost[0])} becomes {Quote(tokenizer.Decode(tokenizer.Encode(lost[0])))}, cut otherwise");
    }

    public SelfTestCheck TextReturns()
    {
        var tokenizer = pretrained.Tokenizer;
        var lost = Texts.Where(text => tokenizer.Decode(tokenizer.Encode(text)) != text).ToList();
        string note = lost.Count == 0 ? "cut and joined" : $"first: {Quote(lost[0])} becomes {Quote(tokenizer.Decode(tokenizer.Encode(lost[0])))}";
        return lost.Count > 0 && tokenizer.Facts() is { MissingBytes: null } facts
            ? SelfTestCheck.Skipped($"{facts.Kind} does not keep every text: {lost.Count} of {Texts.Count} lose something; {note}")
            : SelfTestCheck.Judged(lost.Count, 0, $"of {Texts.Count} texts", note);
    }

    public SelfTestCheck Streaming()
    {
        var tokenizer = pretrained.Tokenizer;
        int lost = Texts.Count(text =>
        {
            int[] ids = tokenizer.Encode(text);
            var stream = tokenizer.Stream();
            return string.Concat(ids.Select(stream.Push).ToList()) + stream.Flush() != tokenizer.Decode(ids);
        });
        return SelfTestCheck.Judged(lost, 0, $"of {Texts.Count} texts", "decoded token by token and at once");
    }

    public SelfTestCheck StopToken()
    {
        var missing = pretrained.StopTokens.Where(id => id >= pretrained.Model.Config.VocabularySize || pretrained.Tokenizer.TokenOf(id) is null).ToList();
        return SelfTestCheck.Judged(missing.Count, 0, "stop tokens without a meaning", string.Join(", ", pretrained.StopTokens.Select(id => $"{id} {pretrained.Tokenizer.TokenOf(id)}")));
    }

    public SelfTestCheck Conversation()
    {
        if (pretrained.ChatTemplate is null)
            return SelfTestCheck.Skipped("the model has none: prompt and completion stand side by side");
        var renderer = Rendering.For(pretrained, "auto");
        ChatMessage[] messages = [new("user", "Is it raining?"), new(ChatMessage.Assistant, "Not yet."), new("user", "And tomorrow?"), new(ChatMessage.Assistant, "In the afternoon.")];
        var example = renderer.Render(new ConversationRecord(messages) { Source = "selftest", Group = "selftest" });
        // Learnt runs that end otherwise than in a stop token: such a reply would never end.
        int[] ends = [.. Enumerable.Range(0, example.Ids.Length).Where(place => example.IsLearnt[place] && (place + 1 == example.Ids.Length || !example.IsLearnt[place + 1]))];
        int wrong = ends.Count(place => !renderer.StopIds.Contains(example.Ids[place])) + Math.Abs(2 - ends.Length) + (IsDoubled(example.Ids) ? 1 : 0);
        return SelfTestCheck.Judged(wrong, 0, "mistakes", $"two replies, {example.LearntTokens} of {example.Ids.Length} tokens learnt, each to its stop token; the start token not doubled");
    }

    public SelfTestCheck OneRenderer()
    {
        var renderer = Rendering.For(pretrained, "auto");
        var record = new PromptRecord("Translate to French: Sunny.", "Ensoleillé.") { Source = "selftest", Group = "selftest" };
        var example = renderer.Render(record);
        int[] prompt = renderer.RenderPrompt(record); // refuses where it does not begin the example
        bool isWrong = example.IsLearnt[..prompt.Length].Any(isLearnt => isLearnt) || !renderer.StopIds.Contains(example.Ids[Array.LastIndexOf(example.IsLearnt, true)]) || IsDoubled(example.Ids);
        return SelfTestCheck.Judged(isWrong ? 1 : 0, 0, "mistakes", $"the {prompt.Length} tokens of a prompt begin the {example.Ids.Length} that are trained on; the last learnt one is a stop token");
    }

    private bool IsDoubled(int[] ids) => pretrained.BeginToken is { } begin && ids is [var first, var second, ..] && first == begin && second == begin;

    private static string Quote(string text) => System.Text.Json.JsonSerializer.Serialize(text);
}
