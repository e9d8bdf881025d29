using CsCheck;
using Perenos.Runs;
using Perenos.Text.Data;
using Perenos.Text.Templates;
using Xunit;

namespace Perenos.Text.Tests.Data;

public sealed class ExampleRendererTests
{
    private const string ChatMl = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

    private const string Marked = "{%- for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}{{ '<|im_end|>' }}{% else %}{{ m.content + '<|im_end|>' }}{% endif %}{{ '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

    // As Qwen3: only the last reply keeps its thinking.
    private const string Thinking = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' and loop.last %}<think/>{% endif %}{{ m.content + '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

    private static ExampleRenderer Renderer(string? template = null, int? start = null) => new(new RenderSettings
    {
        Encoder = new CharacterEncoder(),
        StopId = CharacterEncoder.Stop,
        StopText = "<|im_end|>",
        StartId = start,
        Template = template is null ? null : ChatTemplate.Parse(template, "t"),
    });

    private static PromptRecord Pair(string prompt, string completion) => new(prompt, completion) { Source = "f:1", Group = "f:1" };

    private static ConversationRecord Chat(params string[] contents) =>
        new([.. contents.Select((content, i) => new ChatMessage(i % 2 == 0 ? "user" : "assistant", content))]) { Source = "f:1", Group = "f:1" };

    [Fact]
    public void Text_is_learnt_from_its_second_token_to_the_stop_token()
    {
        var example = Renderer().Render(new TextRecord("abc") { Source = "f:1", Group = "f:1" });
        Assert.Equal(".bc<|im_end|>", CharacterEncoder.Learnt(example));
        Assert.True(example.IsText);
        Assert.Equal(".abc<|im_end|>", CharacterEncoder.Learnt(Renderer(start: CharacterEncoder.Start).Render(new TextRecord("abc") { Source = "f:1", Group = "f:1" })));
        Assert.Equal(".abc<|im_end|>", CharacterEncoder.Learnt(Renderer(start: CharacterEncoder.Start).Render(new TextRecord("<|start|>abc") { Source = "f:1", Group = "f:1" })));
    }

    [Theory]
    [InlineData("ab", "cd", "ab|\ncd<|im_end|>")]
    [InlineData("ab ", "cd", "ab |cd<|im_end|>")]
    [InlineData("ab", "\tcd", "ab|\tcd<|im_end|>")]
    [InlineData("ab\n", "\ncd", "ab\n|\ncd<|im_end|>")]
    [InlineData("ab", "", "ab|\n<|im_end|>")]
    public void Prompt_and_completion_are_encoded_apart_and_joined_by_a_line_end_where_neither_has_one(string prompt, string completion, string expected)
    {
        var example = Renderer().Render(Pair(prompt, completion));
        int[] before = Renderer().RenderPrompt(Pair(prompt, completion));
        Assert.Equal(expected, CharacterEncoder.Text(before) + "|" + CharacterEncoder.Text(example.Ids.Skip(before.Length)));
        Assert.Equal([.. Enumerable.Repeat(false, before.Length), .. Enumerable.Repeat(true, example.Ids.Length - before.Length)], example.IsLearnt);
    }

    [Theory]
    [InlineData(ChatMl)]
    [InlineData(Marked)]
    [InlineData(Thinking)]
    public void Every_reply_is_learnt_with_its_stop_token_and_nothing_else(string template)
    {
        string learnt = CharacterEncoder.Learnt(Renderer(template).Render(Chat("q1", "a1", "q2", "a2"))).Replace(".", "", StringComparison.Ordinal);
        Assert.Equal(template == Thinking ? "a1<|im_end|><think/>a2<|im_end|>" : "a1<|im_end|>a2<|im_end|>", learnt);
    }

    [Fact]
    public void A_token_that_straddles_the_start_of_a_reply_is_learnt_and_its_prompt_refused()
    {
        var example = Renderer(ChatMl).Render(Pair("q", "\na"));
        Assert.EndsWith("\n\na<|im_end|>.", CharacterEncoder.Learnt(example), StringComparison.Ordinal);
        Assert.Contains("not the beginning", Assert.Throws<PerenosException>(() => Renderer(ChatMl).RenderPrompt(Pair("q", "\na"))).Message);
    }

    [Fact]
    public void A_prompt_is_a_prefix_of_its_example()
    {
        var words = Gen.Char["ab \n"].Array[1, 8].Select(chars => new string(chars));
        Gen.Select(words, words, Gen.Int[0, 2]).Sample((prompt, completion, choice) =>
        {
            string? template = choice == 0 ? null : choice == 1 ? ChatMl : Marked;
            if (template is not null && completion.StartsWith('\n'))
                return;
            var renderer = Renderer(template, start: template is null ? CharacterEncoder.Start : null);
            var example = renderer.Render(Pair(prompt, completion));
            int[] before = renderer.RenderPrompt(Pair(prompt, completion));
            Assert.Equal(before, example.Ids[..before.Length]);
            Assert.Equal(before.Length, Array.IndexOf(example.IsLearnt, true));
        }, iter: 300);
    }

    [Fact]
    public void The_prompt_of_a_conversation_is_all_before_its_last_reply()
    {
        Assert.Equal("<|im_start|>user\nq1<|im_end|>\n<|im_start|>assistant\na1<|im_end|>\n<|im_start|>user\nq2<|im_end|>\n<|im_start|>assistant\n",
            CharacterEncoder.Text(Renderer(ChatMl).RenderPrompt(Chat("q1", "a1", "q2", "a2"))));
        Assert.EndsWith("q2<|im_end|>\n<|im_start|>assistant\n", CharacterEncoder.Text(Renderer(ChatMl).RenderPrompt(Chat("q1", "a1", "q2"))), StringComparison.Ordinal);
    }

    [Fact]
    public void A_template_that_rewrites_the_prompt_is_refused_by_row()
    {
        const string counting = "{{ messages | length }}{% for m in messages %}{{ m.content + '<|im_end|>' }}{% endfor %}";
        var error = Assert.Throws<PerenosException>(() => Renderer(counting).Render(Chat("q", "a")));
        Assert.StartsWith("f:1: the chat template writes the beginning", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void A_reply_without_stop_token_is_refused_by_row()
    {
        const string endless = "{% for m in messages %}{{ m.role + ':' + m.content + '\n' }}{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}";
        Assert.StartsWith("f:1: a reply does not end in a stop token", Assert.Throws<PerenosException>(() => Renderer(endless).Render(Chat("q", "a"))).Message, StringComparison.Ordinal);

        // Here only the user's turns end in it, and it must not be borrowed from them.
        const string borrowed = "{% for m in messages %}{{ m.role + ':' + m.content + ('<|im_end|>' if m.role == 'user' else '') + '\n' }}{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}";
        Assert.Throws<PerenosException>(() => Renderer(borrowed).Render(Chat("q", "a", "r", "b")));
    }

    [Fact]
    public void A_conversation_without_template_and_a_foreign_stop_token_are_refused()
    {
        Assert.Contains("no chat template", Assert.Throws<PerenosException>(() => Renderer().Render(Chat("q", "a"))).Message);
        Assert.Contains("</s>", Assert.Throws<PerenosException>(() => new ExampleRenderer(new RenderSettings
        {
            Encoder = new CharacterEncoder(),
            StopId = CharacterEncoder.Stop,
            StopText = "</s>",
            Template = ChatTemplate.Parse(ChatMl, "t"),
        })).Message);
        Assert.Contains("begins with the assistant", Assert.Throws<PerenosException>(() => Renderer(ChatMl).Render(
            new ConversationRecord([new ChatMessage("assistant", "a")]) { Source = "f:1", Group = "f:1" })).Message);
    }
}
