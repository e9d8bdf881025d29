using System.Text;
using System.Text.Json.Nodes;

namespace Perenos.Runs.Import;

/// <summary>A tree as YAML in blocks; texts in double quotes, whose escapes JSON and YAML share.</summary>
internal static class YamlText
{
    public static void Append(StringBuilder text, JsonObject block, int indent)
    {
        foreach (var (key, value) in block)
        {
            text.Append(' ', indent).Append(key).Append(':');
            if (value is JsonObject inner)
            {
                text.Append('\n');
                Append(text, inner, indent + 2);
            }
            else
            {
                text.Append(' ').Append(value?.ToJsonString(ConfigFile.OneLine) ?? "null").Append('\n');
            }
        }
    }
}
