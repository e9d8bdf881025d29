using System.Text.Json;
using Perenos.Runs;
using Perenos.Text.Data;
using Xunit;

namespace Perenos.Text.Tests.Data;

/// <summary>Pairs of answers in the forms that are in use, and what becomes of them.</summary>
public sealed class PreferenceSchemaTests
{
    [Theory]
    [InlineData("""{"prompt": "2 + 2?", "chosen": "4", "rejected": "5"}""")]
    [InlineData("""{"prompt": [{"role": "user", "content": "2 + 2?"}], "chosen": [{"role": "assistant", "content": "4"}], "rejected": [{"role": "assistant", "content": "5"}]}""")]
    [InlineData("""{"conversations": [{"from": "human", "value": "2 + 2?"}], "chosen": {"from": "gpt", "value": "4"}, "rejected": {"from": "gpt", "value": "5"}}""")]
    public void Every_form_of_one_question_is_two_plain_pairs(string json)
    {
        var pair = Assert.IsType<PreferenceRecord>(Assert.Single(Read(json)));
        Assert.Equal(("2 + 2?", "4"), (((PromptRecord)pair.Chosen).Prompt, ((PromptRecord)pair.Chosen).Completion));
        Assert.Equal(("2 + 2?", "5"), (((PromptRecord)pair.Rejected).Prompt, ((PromptRecord)pair.Rejected).Completion));
        Assert.Equal("2 + 2?", pair.PromptText);
    }

    [Fact]
    public void A_conversation_before_the_answers_stays_one()
    {
        var pair = (PreferenceRecord)Read("""{"conversations": [{"from": "system", "value": "Be brief."}, {"from": "human", "value": "Hi"}], "chosen": {"from": "gpt", "value": "Hello"}, "rejected": {"from": "gpt", "value": "What?"}}""").Single();
        Assert.Equal(["Be brief.", "Hi", "Hello"], ((ConversationRecord)pair.Chosen).Messages.Select(message => message.Content));
        Assert.Equal(["Be brief.", "Hi", "What?"], ((ConversationRecord)pair.Rejected).Messages.Select(message => message.Content));
    }

    [Theory]
    [InlineData("""{"prompt": "x", "completion": "y"}""", "no pair of answers")]
    [InlineData("""{"prompt": "x", "chosen": "y", "rejected": null}""", "null")]
    [InlineData("""{"prompt": "x", "chosen": {"role": "user", "content": "y"}, "rejected": "z"}""", "from the user")]
    public void What_is_no_pair_is_refused(string json, string expected) =>
        Assert.Contains(expected, Assert.Throws<PerenosException>(() => Read(json)).Message, StringComparison.Ordinal);

    [Fact]
    public void Learning_from_text_names_the_objective_for_pairs() =>
        Assert.Contains("--objective dpo", Assert.Throws<PerenosException>(() => Schema.Detect(Raw("""{"prompt": "x", "chosen": "y", "rejected": "z"}"""))).Hint, StringComparison.Ordinal);

    [Fact]
    public void Both_prompts_of_a_pair_lose_the_same_tokens()
    {
        var pair = Answered(10, 2) with { Rejected = Answered(10, 6) };
        var limit = new LengthLimit(12);
        var shortened = Assert.Single(limit.Apply(pair));
        // 16 tokens are 4 too many.
        Assert.Equal((8, 12), (shortened.Ids.Length, shortened.Rejected!.Ids.Length));
        Assert.Equal(shortened.Ids[..6], shortened.Rejected.Ids[..6]);
        Assert.Equal((2, 6), (shortened.LearntTokens, shortened.Rejected.LearntTokens));
        Assert.Equal((1, 0), (limit.Truncated, limit.Dropped));
        Assert.Empty(limit.Apply(Answered(3, 2) with { Rejected = Answered(3, 14) }));
        Assert.Equal((1, 1), (limit.Truncated, limit.Dropped));
    }

    private static Example Answered(int prompt, int answer) =>
        new([.. Enumerable.Range(0, prompt + answer)], [.. Enumerable.Range(0, prompt + answer).Select(place => place >= prompt)], "pair");

    private static List<Perenos.Text.Data.Record> Read(string json)
    {
        var raw = Raw(json);
        return [.. PreferenceSchema.For(raw).Records(raw)];
    }

    private static RawRecord Raw(string json) =>
        new("pairs.jsonl", 1, JsonDocument.Parse(json).RootElement.EnumerateObject().ToDictionary(property => property.Name, property => property.Value));
}
