using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization.Metadata;

namespace Perenos.Runs;

/// <summary>
/// Compares a tree with the records it is meant for, before anything is built, so that messages can name the path, the line
/// and what was probably meant. The serializer's own checks stay on behind it.
/// </summary>
internal sealed class StrictShape(JsonSerializerOptions options, ConfigDocument document)
{
    public void Check(JsonNode? node, Type type, string path)
    {
        var info = options.GetTypeInfo(type);
        switch (info.Kind)
        {
            case JsonTypeInfoKind.Object:
                CheckObject(node, info, path);
                break;
            case JsonTypeInfoKind.Enumerable:
                if (node is not JsonArray items)
                    throw WrongType(node, path, "a list");
                for (int i = 0; i < items.Count; i++)
                    CheckItem(items[i], info.ElementType!, $"{path}[{i}]");
                break;
            case JsonTypeInfoKind.Dictionary:
                if (node is not JsonObject entries)
                    throw WrongType(node, path, "a block of keys");
                foreach (var (key, value) in entries)
                    CheckItem(value, info.ElementType!, ConfigDocument.Join(path, key));
                break;
            default:
                CheckLeaf(node, type, path);
                break;
        }
    }

    /// <summary>A value as it stands in the file, cut to one short line.</summary>
    public static string Show(JsonNode? node)
    {
        string text = node?.ToJsonString(ConfigFile.OneLine) ?? "nothing";
        return text.Length <= 60 ? text : string.Concat(text.AsSpan(0, 57), "...");
    }

    private void CheckItem(JsonNode? node, Type type, string path)
    {
        if (node is null && Nullable.GetUnderlyingType(type) is null)
            throw new PerenosException($"{document.At(path)}: {path} is empty.", "Give it a value or remove it.");
        Check(node, type, path);
    }

    private void CheckObject(JsonNode? node, JsonTypeInfo info, string path)
    {
        if (node is not JsonObject block)
            throw WrongType(node, path, "a block of keys");

        string? discriminator = null;
        if (info.PolymorphismOptions is { } choices)
        {
            discriminator = choices.TypeDiscriminatorPropertyName;
            info = options.GetTypeInfo(ChooseSubtype(block, info, choices, path));
        }

        var properties = info.Properties
            .Where(property => property.Set is not null || property.AssociatedParameter is not null)
            .ToDictionary(property => property.Name);
        foreach (var (key, value) in block)
        {
            string keyPath = ConfigDocument.Join(path, key);
            if (key == discriminator)
                continue;
            if (!properties.TryGetValue(key, out var property))
                throw UnknownKey(key, keyPath, [.. properties.Keys, .. discriminator is null ? Array.Empty<string>() : [discriminator]]);
            if (value is null && property.IsSetNullable && !IsPlainValue(property.PropertyType))
                continue;
            if (value is null && Nullable.GetUnderlyingType(property.PropertyType) is null)
                throw new PerenosException($"{document.At(keyPath)}: {keyPath} is empty, but must be {Expected(property.PropertyType)}.", "Give it a value, or remove the key to get the default.");
            if (property.CustomConverter is null)
                Check(value, property.PropertyType, keyPath);
        }

        if (properties.Values.FirstOrDefault(property => property.IsRequired && !block.ContainsKey(property.Name)) is { } missing)
        {
            string where = path.Length == 0 ? document.Name : $"{document.At(path)}: {path}";
            throw new PerenosException($"{where} lacks the key \"{missing.Name}\".", $"Add \"{missing.Name}\": {Expected(missing.PropertyType)}.");
        }
    }

    private Type ChooseSubtype(JsonObject block, JsonTypeInfo info, JsonPolymorphismOptions choices, string path)
    {
        string key = choices.TypeDiscriminatorPropertyName;
        string keyPath = ConfigDocument.Join(path, key);
        string known = string.Join(", ", choices.DerivedTypes.Select(choice => choice.TypeDiscriminator));
        if (!block.TryGetPropertyValue(key, out var chosen))
        {
            if (!info.Type.IsAbstract)
                return info.Type;
            string where = path.Length == 0 ? document.Name : $"{document.At(path)}: {path}";
            throw new PerenosException($"{where} lacks the key \"{key}\", which says what it is.", $"Add \"{key}\": one of {known}.");
        }

        string? name = chosen is JsonValue value && value.TryGetValue(out string? text) ? text : null;
        foreach (var choice in choices.DerivedTypes)
        {
            if (name is not null && choice.TypeDiscriminator is string candidate && candidate == name)
                return choice.DerivedType;
        }

        string? nearest = NearestName.Of(name ?? "", choices.DerivedTypes.Select(choice => choice.TypeDiscriminator).OfType<string>());
        throw new PerenosException(
            $"{document.At(keyPath)}: {keyPath} is {Show(chosen)}, which is not known.",
            $"{(nearest is null ? "" : $"Did you mean \"{nearest}\"? ")}Known: {known}.");
    }

    private void CheckLeaf(JsonNode? node, Type type, string path)
    {
        var plain = Nullable.GetUnderlyingType(type) ?? type;
        if (plain.IsEnum && node is JsonValue named && named.TryGetValue(out string? text))
        {
            // The serializer would also take the C# spelling, in any case.
            string[] names = EnumNames(plain);
            if (names.Contains(text))
                return;
            string? nearest = NearestName.Of(text, names);
            throw new PerenosException(
                $"{document.At(path)}: {path} is {Show(node)}, but must be {Expected(plain)}.",
                nearest is null ? "Choose one of these." : $"Did you mean \"{nearest}\"?");
        }

        try
        {
            object? value = node.Deserialize(options.GetTypeInfo(type));
            bool tooLarge = value switch { double x => double.IsInfinity(x), float x => float.IsInfinity(x), _ => false };
            if (tooLarge && node!.GetValueKind() == JsonValueKind.Number)
                throw new PerenosException($"{document.At(path)}: {path} is {Show(node)}, too large for a number.", "Use a smaller one.");
        }
        catch (JsonException exception)
        {
            throw WrongType(node, path, Expected(type), exception);
        }
    }

    private PerenosException UnknownKey(string key, string keyPath, IReadOnlyCollection<string> known)
    {
        string? nearest = NearestName.Of(key, known);
        string all = string.Join(", ", known.Order(StringComparer.Ordinal));
        return new PerenosException(
            $"{document.At(keyPath)}: unknown key \"{keyPath}\".",
            $"{(nearest is null ? "" : $"Did you mean \"{nearest}\"? ")}{(known.Count == 0 ? "No keys are known here." : $"Known here: {all}.")}");
    }

    private PerenosException WrongType(JsonNode? node, string path, string expected, Exception? inner = null)
    {
        bool wantsText = expected == "text" && node is JsonValue;
        string what = path.Length == 0 ? $"{document.Name} holds {Show(node)}" : $"{document.At(path)}: {path} is {Show(node)}";
        return new PerenosException($"{what}, but must be {expected}.", wantsText ? "Put quotes around it." : "Correct the value.", inner);
    }

    private static bool IsPlainValue(Type type) => type.IsValueType && Nullable.GetUnderlyingType(type) is null;

    private static string Expected(Type type)
    {
        type = Nullable.GetUnderlyingType(type) ?? type;
        if (type.IsEnum)
            return "one of " + string.Join(", ", EnumNames(type));
        if (type == typeof(string))
            return "text";
        if (type == typeof(bool))
            return "true or false";
        return Type.GetTypeCode(type) switch
        {
            TypeCode.Int32 or TypeCode.Int64 or TypeCode.Int16 => "a whole number",
            TypeCode.Byte or TypeCode.UInt16 or TypeCode.UInt32 or TypeCode.UInt64 => "a whole number, not negative",
            TypeCode.Double or TypeCode.Single or TypeCode.Decimal => "a number",
            TypeCode.DateTime => "a date",
            _ when type == typeof(TimeSpan) => "a time such as 00:05:00",
            _ when type == typeof(DateTimeOffset) => "a date and time such as 2026-01-31T12:00:00+00:00",
            _ when type != typeof(string) && typeof(System.Collections.IEnumerable).IsAssignableFrom(type) => "a list",
            _ => "a block of keys",
        };
    }

    private static string[] EnumNames(Type type) => [.. Enum.GetNames(type).Select(JsonNamingPolicy.SnakeCaseLower.ConvertName)];
}
