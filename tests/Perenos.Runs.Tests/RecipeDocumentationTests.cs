using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Perenos.Runs.Config;
using Perenos.Testing;
using Xunit;

namespace Perenos.Runs.Tests;

public sealed class RecipeDocumentationTests
{
    private static readonly Lazy<List<string[]>> Table = new(() =>
        [.. File.ReadLines(Path.Combine(Shared.Checkout, "docs", "recipes.md"))
            .Where(line => line.StartsWith("| `", StringComparison.Ordinal))
            .Select(line => line.Trim('|', ' ').Split(" | "))]);

    [Fact]
    public void The_page_lists_every_key_of_a_recipe_with_its_type_and_default()
    {
        // Kinds may share a key, with the same type and default; the page may say so once or with each.
        var expected = Keys(typeof(RunConfig), "").Concat(KeysOfStages()).Distinct().Order(StringComparer.Ordinal).ToList();
        var found = Table.Value.Select(row => string.Join(" | ", row.Take(3))).Distinct().Order(StringComparer.Ordinal).ToList();

        Assert.NotEmpty(expected);
        Assert.Equal(expected, found);
    }

    [Fact]
    public void Every_row_says_what_the_key_means() =>
        Assert.All(Table.Value, row => Assert.True(row.Length == 4 && row[3].Trim().Length > 10, string.Join(" | ", row)));

    [Fact]
    public void The_row_of_the_learning_rate_names_the_rate_of_every_method()
    {
        string meaning = Table.Value.Single(row => row[0] == "`training.learning_rate`")[3];
        var methods = Choices(typeof(MethodConfig)).Select(type => (MethodConfig)Activator.CreateInstance(type)!).ToList();

        Assert.NotEmpty(methods);
        Assert.All(methods, method => Assert.Contains($"{method.Name} {Json(method.DefaultLearningRate)}{(method.IsRateRelative ? " × the start's RMS" : "")}", meaning, StringComparison.Ordinal));
    }

    // What a stage has beyond the blocks of a run.
    private static IEnumerable<string> KeysOfStages()
    {
        var shared = Info(typeof(RunConfig)).Properties.Select(property => property.Name).Except(["name"]);
        return Keys(typeof(StageConfig), "stages[]").Where(key => !shared.Any(block => key.StartsWith($"`stages[].{block}.", StringComparison.Ordinal)));
    }

    // "| `key` | type | default", as the page spells it.
    private static IEnumerable<string> Keys(Type type, string path)
    {
        // By reflection, required members stay unset: only optional ones are read.
        object defaults = Activator.CreateInstance(type)!;
        foreach (var property in Info(type).Properties.Where(property => property.Set is not null))
        {
            string key = path.Length == 0 ? property.Name : $"{path}.{property.Name}";
            var kinds = Choices(property.PropertyType);
            if (kinds.Count > 0 || Info(property.PropertyType).Kind == JsonTypeInfoKind.Object)
            {
                foreach (string inner in (kinds.Count > 0 ? kinds : [property.PropertyType]).SelectMany(kind => Keys(kind, key)))
                    yield return inner;
                continue;
            }

            // A list of blocks; those of the data have rows already.
            if (property.PropertyType.GenericTypeArguments is [var block] && block != typeof(DataConfig) && Info(block).Kind == JsonTypeInfoKind.Object)
            {
                foreach (string inner in Keys(block, $"{key}[]"))
                    yield return inner;
                continue;
            }

            string standard = property.IsRequired ? "required" : property.Get!(defaults) is { } value ? $"`{Json(value)}`" : "–";
            yield return $"`{key}` | {Word(property.PropertyType)} | {standard}";
        }
    }

    private static List<Type> Choices(Type type) => [.. Info(type).PolymorphismOptions?.DerivedTypes.Select(choice => choice.DerivedType) ?? []];

    private static JsonTypeInfo Info(Type type) => ConfigFile.Options.GetTypeInfo(type);

    private static string Json(object value) => JsonSerializer.Serialize(value, ConfigFile.OneLine).Trim('"');

    private static string Word(Type type)
    {
        type = Nullable.GetUnderlyingType(type) ?? type;
        if (type.IsEnum)
            return "one of " + string.Join(", ", Enum.GetValues(type).Cast<object>().Select(Json));
        return Type.GetTypeCode(type) switch
        {
            TypeCode.String => "text",
            TypeCode.Boolean => "true or false",
            TypeCode.Double => "number",
            TypeCode.Int32 or TypeCode.Int64 or TypeCode.UInt64 => "whole number",
            _ when typeof(System.Collections.IEnumerable).IsAssignableFrom(type) && type.GenericTypeArguments.Length == 2 => "numbers by pattern",
            _ when type.GenericTypeArguments is [var item] && item == typeof(int) => "list of whole numbers",
            _ when type.GenericTypeArguments is [var item] && item == typeof(DataConfig) => "list of `data`",
            _ => "list of text",
        };
    }
}
