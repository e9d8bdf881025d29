using System.Text.Json;
using CsCheck;
using Perenos.Runs;
using Perenos.Text.Templates;
using Xunit;

namespace Perenos.Text.Tests.Templates;

public sealed class ChatTemplateTests
{
    private static readonly ChatMessage[] Messages = [new("system", "Réponds 🇫🇷"), new("user", "Hi"), new("assistant", "Yes.")];

    private static string Render(string template, params (string Name, object? Value)[] variables) =>
        ChatTemplate.Parse(template, "t").Render(new ChatInput(Messages) { Variables = variables.ToDictionary(pair => pair.Name, pair => pair.Value) }).Text;

    private static PerenosException Refused(string template) => Assert.Throws<PerenosException>(() => Render(template));

    // The expected values are those of Python 3.11 with Jinja2 3.1.6.
    [Theory]
    [InlineData("{{ messages[0].content | length }} {{ messages[0].content[-2:] | length }} {{ messages[0].content.find('🇫') }}", "10 2 8")]
    [InlineData("{{ -7 // 2 }} {{ -7 % 3 }} {{ -7.5 % 2 }} {{ 2 ** -1 }} {{ 7 / 7 }} {{ -2 ** 2 }}", "-4 2 0.5 0.5 1.0 4")]
    [InlineData("{{ 1e16 }} {{ 1e15 }} {{ 0.00001 }} {{ 0.0001 }} {{ 0.1 + 0.2 }} {{ 123456789012345678901 }}", "1e+16 1000000000000000.0 1e-05 0.0001 0.30000000000000004 123456789012345678901")]
    [InlineData("{{ 2.5 | round }} {{ 2.675 | round(2) }} {{ 0.125 | round(2) }} {{ '%.0f' % 2.5 }} {{ '%05.1f' % -3.14159 }}", "2.0 2.67 0.12 2 -03.1")]
    [InlineData("{{ ['a\\'b', \"c\", 'd\\n\\u200d', none, (1,)] }}", "[\"a'b\", 'c', 'd\\n\\u200d', None, (1,)]")]
    [InlineData("{% set x = 1 %}{% for i in [1, 2] %}{{ x }}{% set x = i + 5 %}{{ x }}{% endfor %}{{ x }}", "16171")]
    [InlineData("{% macro f(a, b=a) %}{{ a }}{{ b }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f(1) }}{{ f(1, 2, 3, z=4) }}", "11(){}12(3,){'z': 4}")]
    [InlineData("{% macro f() %}<{{ caller(2) }}>{% endmacro %}{% call(x) f() %}{{ x + 1 }}{% endcall %}", "<3>")]
    [InlineData("{% for i in [1, [2, [3]]] recursive %}{% if i is iterable %}({{ loop(i) }}){% else %}{{ i }}{{ loop.depth }}{% endif %}{% endfor %}", "11(22(33))")]
    [InlineData("a\n  {% if 1 %}\n  b\n  {%- endif +%}\nc\n\n", "a\n  b\nc\n")]
    [InlineData("{% set g = messages | map(attribute='nothing.at.all') %}ok", "ok")]
    [InlineData("{{ {1: 'a'}[true] }}{{ [1, 1.0, true] | unique | list }}", "a[1]")]
    [InlineData("{{ 'a,b,c'.rsplit(',', 1) }}{{ ' a  b '.split() }}{{ 'x'.center(4) }}|", "['a,b', 'c']['a', 'b'] x  |")]
    [InlineData("{{ '{:>5}|{:,}|{a[x]!r}'.format('é', 1234567, a={'x': 'q'}) }}", "    é|1,234,567|'q'")]
    public void Python_and_jinja_are_followed_to_the_character(string template, string expected)
    {
        Assert.Equal(expected, Render(template));
    }

    [Theory]
    [InlineData("ab\n{{ 1 +}}", "line 2, column 7: unexpected 'end of print statement'")]
    [InlineData("{% if x %}\n{% endfor %}", "line 2, column 4: Encountered unknown tag 'endfor'. Jinja was looking for the following tags: 'elif' or 'else' or 'endif'. The innermost block that needs to be closed is 'if'.")]
    [InlineData("é\n\n  {{ messages[1].a.b }}", "line 3, column 19: 'dict object' has no attribute 'a'")]
    [InlineData("{{ raise_exception('no ' ~ messages[0].role) }}", "refuses the conversation: no system")]
    [InlineData("{% include 'x' %}", "stands alone")]
    public void Errors_have_line_and_column(string template, string expected)
    {
        Assert.Contains(expected, Refused(template).Message);
    }

    [Theory]
    [InlineData("{{ ''.__class__.__mro__ }}")]
    [InlineData("{{ messages.append(1) }}")]
    [InlineData("{{ messages[0].update({'role': 'x'}) }}")]
    [InlineData("{{ messages[0]['__init__']() }}")]
    [InlineData("{{ (messages | attr('clear'))() }}")]
    [InlineData("{{ '{0.__class__.x}'.format(1) }}")]
    public void A_template_reaches_nothing_but_its_input_and_changes_nothing(string template)
    {
        Assert.Contains("is unsafe", Refused(template).Message);
    }

    [Theory]
    [InlineData("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "too deeply")]
    [InlineData("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "too long")]
    [InlineData("{{ 'a' * 10 ** 12 }}", "longer than")]
    [InlineData("{{ [1] * 10 ** 12 }}", "longer than")]
    [InlineData("{% set n = namespace(s='ab') %}{% for i in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor %}", "longer than")]
    [InlineData("{% set n = namespace(s='ab') %}{% for i in range(60) %}{% set n.s = [n.s, n.s] %}{% endfor %}{{ n.s }}", "too long")]
    [InlineData("{% set n = namespace(s='ab') %}{% for i in range(60) %}{% set n.s = [n.s, n.s] %}{% endfor %}{{ n.s | tojson }}", "longer than")]
    [InlineData("{% set n = namespace() %}{% set n.n = n %}{{ n }}", "too deeply")]
    [InlineData("{{ range(10 ** 9) }}", "Range too big")]
    [InlineData("{{ 9 ** (9 ** 9) }}", "too large")]
    [InlineData("{{ '%999999999d' % 1 }}", "Too many decimal digits")]
    [InlineData("{{ 'x'.ljust(10 ** 10) }}", "longer than")]
    public void Time_memory_and_depth_are_bounded(string template, string expected)
    {
        Assert.Contains(expected, Refused(template).Message);
    }

    // Each works through a long value again and again, at the price of one step if nobody counted.
    [Theory]
    [InlineData("s[99999999]")]
    [InlineData("s is upper")]
    [InlineData("s is sameas t")]
    [InlineData("s < t")]
    [InlineData("{s: 1}")]
    [InlineData("d[s]")]
    [InlineData("range(100000)")]
    [InlineData("dict(pairs)")]
    [InlineData("s.strip(s)")]
    [InlineData("'x'.startswith(s)")]
    [InlineData("'x'.startswith(many)")]
    [InlineData("'x'.isalpha() and s.isalpha()")]
    [InlineData("[s] | unique | list")]
    [InlineData("big.items()")]
    [InlineData("s.split()")]
    [InlineData("s | length")]
    [InlineData("s ~ t")]
    [InlineData("s in d")]
    public void Work_on_long_values_is_counted(string expression)
    {
        string template = "{% set s = 'a ' * 1000000 %}{% set t = 'a ' * 999999 ~ 'b ' %}{% set d = {s: 1} %}{% set many = ('y',) * 1000000 %}{% set pairs = [[1, 2]] * 100000 %}"
            + "{% set big = dict(pairs) %}{% for i in range(300) %}{% for j in range(300) %}{% if " + expression + " %}{% endif %}{% endfor %}{% endfor %}";
        var watch = System.Diagnostics.Stopwatch.StartNew();
        try
        {
            Render(template);
        }
        catch (PerenosException error)
        {
            Assert.Contains("the template", error.Message);
        }

        TestContext.Current.TestOutputHelper?.WriteLine($"{watch.Elapsed.TotalSeconds:F2} s");
        Assert.InRange(watch.Elapsed.TotalSeconds, 0, 20); // uncounted, minutes
    }

    [Fact]
    public void Long_text_is_cut_and_cleaned_in_linear_time()
    {
        string text = string.Concat(Enumerable.Repeat("a ", 200_000)), open = string.Concat(Enumerable.Repeat("<!-- <", 100_000));
        var watch = System.Diagnostics.Stopwatch.StartNew();
        Assert.Equal("200000 200000 200000", Render("{{ s.split() | length }} {{ s.rsplit() | length }} {{ s.strip().rsplit(' ', 1000000) | length }}", ("s", text)));
        Assert.Equal($"{open.Length}", Render("{{ s | striptags | length }}", ("s", open)));
        Assert.Equal("x y < z", Render("{{ '<b>x</b> <!-- > -->y < z' | striptags }}"));
        Assert.Equal("200000", Render("{{ " + string.Concat(Enumerable.Repeat("'a' ", 200_000)) + "| length }}"));
        Assert.Contains("too long", Refused("{{ " + new string('7', 100_000) + " }}").Message);
        Assert.InRange(watch.Elapsed.TotalSeconds, 0, 20);
    }

    [Fact]
    public void Deep_nesting_is_refused_and_not_a_stack_overflow()
    {
        Assert.Contains("too deeply", Refused("{{ " + new string('(', 10_000) + "1" + new string(')', 10_000) + " }}").Message);
        Assert.Contains("too deeply", Refused("{{ " + string.Concat(Enumerable.Repeat("not ", 10_000)) + "1 }}").Message);
        Assert.Contains("too deeply", Refused(string.Concat(Enumerable.Repeat("{% if 1 %}", 10_000))).Message);
        Assert.Contains("too deeply", Refused("{{ 1" + string.Concat(Enumerable.Repeat(" + 1", 10_000)) + " }}").Message);
        Assert.Equal("301", Render("{{ 1" + string.Concat(Enumerable.Repeat(" + 1", 300)) + " }}"));
    }

    [Fact]
    public void Broken_templates_are_refused_and_never_crash()
    {
        string[] pieces = ["{{", "}}", "{%", "%}", "{#", "#}", "-", "+", " ", "\n", "if", "for", "in", "endfor", "endif", "else", "set", "x", "messages", "loop", "=", "|", "join", "tojson", "(", ")", "[", "]", "{", "}", ":", ",", ".", "'", "\"", "1", "2.5", "~", "**", "//", "is", "not", "macro", "raw", "endraw", "f", "*", "%s", "\\", "é"];
        Gen.Int[0, pieces.Length - 1].Array[0, 25].Sample(chosen =>
        {
            string template = string.Join(' ', chosen.Select(i => pieces[i]));
            foreach (string candidate in new[] { template, $"{{{{ {template} }}}}", $"{{% for x in messages %}}{template}{{% endfor %}}" })
            {
                try
                {
                    Render(candidate);
                }
                catch (PerenosException error)
                {
                    Assert.NotEmpty(error.Message);
                }
            }
        }, iter: 2000);
    }

    [Fact]
    public void Replies_are_marked_where_the_template_marks_them()
    {
        const string marked = "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %};{% endfor %}";
        var chat = ChatTemplate.Parse(marked, "t").Render(new ChatInput([new("user", "🇫🇷"), new("assistant", "Yes")]));
        Assert.Equal("🇫🇷;Yes;", chat.Text);
        Assert.Equal([(5, 8)], chat.AssistantSpans);
        Assert.Null(ChatTemplate.Parse("{{ messages[0].content }}", "t").Render(new ChatInput(Messages)).AssistantSpans);

        // In a macro the place is not known; the text is still right.
        var hidden = ChatTemplate.Parse("{% macro f() %}{% generation %}x{% endgeneration %}{% endmacro %}a{{ f() }}", "t").Render(new ChatInput(Messages));
        Assert.Equal("ax", hidden.Text);
        Assert.Null(hidden.AssistantSpans);
    }

    [Fact]
    public void The_final_message_can_be_continued_where_it_is_written_out()
    {
        string Continued(string template) => ChatTemplate.Parse(template, "t").Render(new ChatInput([new("user", "e"), new("assistant", "e ")]) { ContinueFinalMessage = true }).Text;
        Assert.Equal("user:e\nassistant:e ", Continued("{% for m in messages %}{{ m.role }}:{{ m.content }}\n{% endfor %}end"));
        Assert.Equal("user:e\nassistant:e", Continued("{% for m in messages %}{{ m.role }}:{{ m.content | trim }}\n{% endfor %}end"));
        Assert.Contains("does not appear", Assert.Throws<PerenosException>(() => Continued("{{ messages[0].content }}")).Message);
    }

    [Fact]
    public void Variables_messages_and_the_clock_reach_the_template()
    {
        using var json = JsonDocument.Parse("""{"role": "user", "content": [{"type": "text", "text": "é"}], "n": 1.0, "big": 12345678901234567890123}""");
        var input = new ChatInput([new ChatMessage("user", null) { Json = json.RootElement }])
        {
            Variables = new Dictionary<string, object?> { ["bos_token"] = "<s>", ["flag"] = true, ["count"] = 3 },
            AddGenerationPrompt = true,
            Clock = new FixedClock(),
        };
        string text = ChatTemplate.Parse("{{ bos_token }}{{ eos_token is defined }}{{ flag }}{{ count + 1 }}{{ add_generation_prompt }}{{ tools is none }}{{ messages[0] | tojson }}{{ strftime_now('%d %b %Y %H:%M %-d %j') }}", "t").Render(input).Text;
        Assert.Equal("<s>FalseTrue4TrueTrue{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"é\"}], \"n\": 1.0, \"big\": 12345678901234567890123}05 Feb 2025 03:04 5 036", text);
        Assert.Contains("empty conversation", Assert.Throws<PerenosException>(() => ChatTemplate.Parse("x", "t").Render(new ChatInput([]))).Message);
    }

    private sealed class FixedClock : TimeProvider
    {
        public override TimeZoneInfo LocalTimeZone => TimeZoneInfo.Utc;

        public override DateTimeOffset GetUtcNow() => new(2025, 2, 5, 3, 4, 5, TimeSpan.Zero);
    }
}
