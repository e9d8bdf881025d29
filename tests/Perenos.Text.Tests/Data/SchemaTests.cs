using System.Text.Json;
using Perenos.Runs;
using Perenos.Text.Data;
using Xunit;

namespace Perenos.Text.Tests.Data;

public sealed class SchemaTests
{
    private static RawRecord Raw(string json)
    {
        using var document = JsonDocument.Parse(json);
        return new RawRecord("f.jsonl", 7, document.RootElement.Clone().EnumerateObject().ToDictionary(property => property.Name, property => property.Value));
    }

    [Fact]
    public void Text_and_prompt_with_completion_are_detected()
    {
        var text = Raw("{\"id\": 1, \"text\": \"abc\"}");
        Assert.Equal("abc", Assert.IsType<TextRecord>(Assert.Single(Schema.Detect(text).Records(text))).Text);

        var pair = Raw("{\"prompt\": \"p\", \"completion\": \"c\", \"text\": \"t\"}");
        var record = Assert.IsType<PromptRecord>(Assert.Single(Schema.Detect(pair).Records(pair)));
        Assert.Equal(("p", "c", "f.jsonl:7", "f.jsonl:7"), (record.Prompt, record.Completion, record.Source, record.Group));
        Assert.Equal("prompt: \"{prompt}\", completion: \"{completion}\"; the completion is learnt", Schema.Detect(pair).Description);
    }

    [Fact]
    public void Messages_keep_every_key_that_a_template_may_want()
    {
        var raw = Raw("""{"messages": [{"role": "user", "content": "q", "name": "Ann"}, {"role": "assistant", "tool_calls": [1]}, {"role": "assistant", "content": "a"}], "tools": [{"x": 1}]}""");
        var record = Assert.IsType<ConversationRecord>(Assert.Single(Schema.Detect(raw).Records(raw)));
        Assert.Equal([("user", "q"), ("assistant", null), ("assistant", "a")], record.Messages.Select(message => (message.Role, message.Content)));
        Assert.Equal("Ann", record.Messages[0].Json!.Value.GetProperty("name").GetString());
        Assert.Equal(1, record.Tools!.Value.GetArrayLength());
        Assert.Equal("user: q\nassistant: ", record.PromptText);
    }

    [Fact]
    public void Sharegpt_names_become_roles()
    {
        var raw = Raw("""{"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}], "system": "s"}""");
        var record = Assert.IsType<ConversationRecord>(Assert.Single(Schema.Detect(raw).Records(raw)));
        Assert.Equal([("system", "s"), ("user", "q"), ("assistant", "a")], record.Messages.Select(message => (message.Role, message.Content)));
    }

    [Theory]
    [InlineData("""{"instruction": "i", "input": "", "output": "o"}""", "Alpaca", "--prompt $'{instruction}\\n{input}' --completion '{output}'")]
    [InlineData("""{"prompt": "p", "chosen": "c", "rejected": "r"}""", "preferred", "--completion \"{chosen}\"")]
    [InlineData("""{"en": "a", "fr": "b"}""", "Its fields: en, fr.", "--prompt \"{en}\" --completion \"{fr}\"")]
    [InlineData("""{"n": 3}""", "Its fields: n.", "--text \"{field}\"")]
    public void What_is_not_certain_is_asked(string json, string message, string hint)
    {
        var error = Assert.Throws<PerenosException>(() => Schema.Detect(Raw(json)));
        Assert.StartsWith("f.jsonl:7: ", error.Message, StringComparison.Ordinal);
        Assert.Contains(message, error.Message);
        Assert.Contains(hint, error.Hint);
    }

    [Theory]
    [InlineData("""{"messages": [{"role": "user"}]}""", "messages[0] has no \"content\"")]
    [InlineData("""{"messages": [{"content": "x"}]}""", "messages[0] has no \"role\"")]
    [InlineData("""{"messages": ["x"]}""", "messages[0] is a string")]
    [InlineData("""{"messages": []}""", "an empty list")]
    [InlineData("""{"messages": [{"role": "user", "content": 3}]}""", "messages[0].content is a number")]
    [InlineData("""{"conversations": [{"from": "alien", "value": "x"}]}""", "from \"alien\"")]
    public void Malformed_conversations_are_named_by_place(string json, string expected)
    {
        var raw = Raw(json);
        Assert.Contains(expected, Assert.Throws<PerenosException>(() => Schema.Detect(raw).Records(raw).ToList()).Message);
    }

    [Fact]
    public void Placeholders_take_fields_and_doubled_braces()
    {
        var raw = Raw("""{"en": "{rain}", "n": 2.0}""");
        var record = Assert.IsType<TextRecord>(Assert.Single(Schema.Text("{{{en}}} {{n}} { n }").Records(raw)));
        Assert.Equal("{{rain}} {n} 2.0", record.Text);
    }

    [Theory]
    [InlineData("a {b")]
    [InlineData("a } b")]
    [InlineData("a {} b")]
    public void Malformed_placeholders_are_refused(string template)
    {
        Assert.Contains("doubled", Assert.Throws<PerenosException>(() => Schema.Text(template)).Hint);
    }

    [Fact]
    public void An_unknown_placeholder_names_the_fields()
    {
        var error = Assert.Throws<PerenosException>(() => Schema.Prompt("{en}", "{fra}").Records(Raw("""{"en": "a", "fr": "b"}""")).ToList());
        Assert.Contains("\"fra\"", error.Message);
        Assert.Contains("en, fr", error.Hint);
    }

    [Fact]
    public void Lists_of_equal_length_give_a_record_for_each_pair_in_one_group()
    {
        var raw = Raw("""{"en": ["a", "b"], "fr": ["x", "y"], "place": "Gaspé"}""");
        var records = Schema.Prompt("{place}: {en}", "{fr}").Records(raw).Cast<PromptRecord>().ToList();
        Assert.Equal([("Gaspé: a", "x"), ("Gaspé: b", "y")], records.Select(record => (record.Prompt, record.Completion)));
        Assert.Equal(["f.jsonl:7"], records.Select(record => record.Group).Distinct());

        var error = Assert.Throws<PerenosException>(() => Schema.Prompt("{en}", "{fr}").Records(Raw("""{"en": ["a"], "fr": []}""")).ToList());
        Assert.Contains("\"en\" has 1, \"fr\" has 0", error.Message);
    }

    [Fact]
    public void A_field_may_name_the_group()
    {
        var schema = Schema.Text("{t}") with { GroupField = "doc" };
        Assert.Equal("d1", Assert.Single(schema.Records(Raw("""{"t": "a", "doc": "d1"}"""))).Group);
    }

    [Fact]
    public void Options_make_a_schema_or_contradict()
    {
        Assert.Null(Schema.FromOptions(null, null, null));
        Assert.IsType<TextSchema>(Schema.FromOptions("{a}", null, null));
        Assert.IsType<PromptSchema>(Schema.FromOptions(null, "{a}", "{b}"));
        Assert.Throws<PerenosException>(() => Schema.FromOptions("{a}", "{a}", null));
        Assert.Throws<PerenosException>(() => Schema.FromOptions(null, "{a}", null));
    }
}
