using System.Text.Json;
using Perenos.Runs;
using Perenos.Testing;
using Perenos.Text.Templates;
using Xunit;

namespace Perenos.Text.Tests.Templates;

/// <summary>Every case of every file of the template fixtures, to the character (made with transformers and Jinja2).</summary>
public sealed class ChatTemplateParityTests
{
    public static TheoryData<string> Files()
    {
        string folder = Path.Combine(Shared.Parity, "templates");
        return Directory.Exists(folder) ? [.. Directory.EnumerateFiles(folder, "*.json").Select(path => Path.GetFileName(path)!).Order()] : ["none"];
    }

    [Theory]
    [MemberData(nameof(Files))]
    public void Every_case_is_rendered_or_refused_like_the_reference(string file)
    {
        string path = Shared.ParityOrSkip("templates", file);
        using var document = JsonDocument.Parse(File.ReadAllBytes(path));
        var failures = new List<string>();
        int count = 0;
        foreach (var (template, name, specials, given) in Cases(document.RootElement))
        {
            count++;
            if (Check(template, specials, given) is { } failure)
                failures.Add($"{name}: {failure}");
        }

        Assert.True(count > 0, $"{file} has no cases");
        Assert.True(failures.Count == 0, $"{failures.Count} of {count} cases differ:\n{string.Join('\n', failures.Take(8))}");
    }

    internal static IEnumerable<(string Template, string Name, Dictionary<string, object?> Specials, JsonElement Case)> Cases(JsonElement root)
    {
        if (root.ValueKind == JsonValueKind.Array)
            return root.EnumerateArray().Select(given => (given.GetProperty("template").GetString()!, given.GetProperty("template").GetString()!, new Dictionary<string, object?>(), given));
        var specials = root.EnumerateObject().Where(property => property.Name.EndsWith("_token", StringComparison.Ordinal) && property.Value.ValueKind == JsonValueKind.String)
            .ToDictionary(property => property.Name, property => (object?)property.Value.GetString());
        return root.GetProperty("cases").EnumerateArray().Select(given => (root.GetProperty("template").GetString()!, given.GetProperty("name").GetString()!, specials, given));
    }

    internal static ChatInput Input(Dictionary<string, object?> specials, JsonElement given)
    {
        var variables = new Dictionary<string, object?>(specials);
        bool addsPrompt = false;
        if (given.TryGetProperty("variables", out var more))
        {
            foreach (var variable in more.EnumerateObject())
            {
                if (variable.Name == "add_generation_prompt")
                    addsPrompt = variable.Value.GetBoolean();
                else
                    variables[variable.Name] = variable.Value;
            }
        }

        return new ChatInput([.. given.GetProperty("messages").EnumerateArray().Select(Message)])
        {
            Tools = given.TryGetProperty("tools", out var tools) && tools.ValueKind == JsonValueKind.Array ? tools : null,
            Variables = variables,
            AddGenerationPrompt = addsPrompt,
            ContinueFinalMessage = given.TryGetProperty("continue_final_message", out var continues) && continues.GetBoolean(),
        };
    }

    private static ChatMessage Message(JsonElement json) =>
        new(json.GetProperty("role").GetString()!, json.TryGetProperty("content", out var content) && content.ValueKind == JsonValueKind.String ? content.GetString() : null) { Json = json };

    private static string? Check(string template, Dictionary<string, object?> specials, JsonElement given)
    {
        string? expected = given.TryGetProperty("text", out var text) ? text.GetString() : null;
        try
        {
            string rendered = ChatTemplate.Parse(template, "t").Render(Input(specials, given)).Text;
            return expected is null ? $"rendered, but the reference fails with {given.GetProperty("error").GetProperty("message").GetString()}"
                : rendered == expected ? null
                : $"differs at {rendered.Zip(expected).TakeWhile(pair => pair.First == pair.Second).Count()}\n  expected {JsonSerializer.Serialize(expected)}\n  rendered {JsonSerializer.Serialize(rendered)}";
        }
        catch (PerenosException exception)
        {
            if (expected is not null)
                return $"refused: {exception.Message}";
            var error = given.GetProperty("error");
            string message = error.GetProperty("message").GetString()!;
            bool isToMatch = (error.TryGetProperty("raised_by_template", out var raised) && raised.GetBoolean())
                || error.GetProperty("type").GetString() is "TemplateError" or "TemplateSyntaxError" or "TemplateAssertionError" or "UndefinedError" or "SecurityError";
            return !isToMatch || exception.Message.Contains(message, StringComparison.Ordinal) ? null : $"refused with another message\n  expected {message}\n  was {exception.Message}";
        }
    }
}
