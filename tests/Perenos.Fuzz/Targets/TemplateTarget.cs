using System.Text;
using System.Text.Json;
using Perenos.Text.Templates;

namespace Perenos.Fuzz.Targets;

/// <summary>Chat templates: parsed, and rendered for a conversation.</summary>
internal static class TemplateTarget
{
    private static readonly string[] Awkward =
    [
        "{% for a in range(99999999) %}", "{% endfor %}", "{% if messages %}", "{% endif %}", "{% else %}", "{{ messages }}", "{{ m(1) }}", "{% macro m(x) %}{{ m(x) }}{% endmacro %}", "{% set x = namespace(a=1) %}", "{% set x = x ~ x %}",
        " * 999999999", " ** 99999", " // 0", " % 0", "'a' * 99999999", "'%99999999d' % 1", "[0] * 99999999", "range(0, 99999999, 0)", "[::-1]", "[::0]", "[1:'a']", "[99999999999999999999]", ".format(messages)", ".a.b.c", ".__class__",
        " | tojson(indent=99999999)", " | indent(99999999)", " | join(messages)", " | sort", " | map('upper')", " | selectattr('a')", " | batch(0)", " | center(99999999)", " | replace('', 'aaaaaaaa')", " | default(1, true)", " | abs", " | length",
        " is defined", " is mapping", " in ", " not ", " and ", " if ", " else ", "{#", "#}", "{%-", "-%}", "{%+", "{{-", "-}}", "{% raw %}", "{% endraw %}", "{% generation %}", "{% endgeneration %}", "{% break %}", "{% continue %}",
        "((((((((", "))))))))", "[[[[[[[[", "{{{{{{{{", "not not not not ", "------", "'", "\"", "\\", "\\u0000", "\uD83D", "1e999", "0x", "99999999999999999999999999", "none", "true", "loop.index", "loop(1)", "caller()", "self", "strftime_now('%Q')", "raise_exception('x')",
    ];

    private static readonly ChatInput Conversation = new(
    [
        new ChatMessage("system", "Be brief."), new ChatMessage("user", "Où est \"l'île\"?"), new ChatMessage("assistant", "Là."), new ChatMessage("user", "🙂"),
    ])
    {
        AddGenerationPrompt = true,
        Variables = new Dictionary<string, object?> { ["bos_token"] = "<s>", ["eos_token"] = "</s>" },
        Tools = JsonDocument.Parse("""[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}]""").RootElement,
        Clock = TimeProvider.System,
    };

    public static FuzzTarget Create() => new("template",
    [
        "{% for message in messages %}{{ '<|' + message['role'] + '|>\\n' + message['content'] | trim + eos_token }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"u8.ToArray(),
        """
        {%- macro one(message, i=0) -%}{{ message.role }}: {{ message.content | tojson }}{% endmacro -%}
        {%- set ns = namespace(last=none, n=0) -%}
        {% for message in messages[::-1] if message.role != 'system' %}
        {%- set ns.n = ns.n + loop.index -%}{{ one(message, i=loop.index0) ~ (", " if not loop.last else ".") }}{% if ns.n > 5 %}{% break %}{% endif %}
        {% endfor %}{{ ns.n // 2 }} {{ messages | map(attribute='role') | list | join(' ') }} {{ 'abc'[1:] | upper }} {{ tools | tojson(indent=2) }}
        """u8.ToArray(),
        "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}{% elif m.role is string %}{{ m['content'].strip().split(' ')[0] }}{% else %}{{ raise_exception('no') }}{% endif %}{% endfor %}"u8.ToArray(),
    ],
    (valid, damage) => TextDamage.Words(valid, damage, Awkward), Read);

    private static long Read(FuzzInput input)
    {
        _ = ChatTemplate.Parse(Encoding.UTF8.GetString(input.Bytes), "template").Render(Conversation);
        return 0;
    }
}
