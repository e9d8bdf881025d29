using System.Text.Json.Nodes;

namespace Perenos.Adapters;

/// <summary>Numbers as PEFT writes them: whole ones without a point.</summary>
internal static class PeftNumber
{
    public static JsonNode Of(double number) => number == Math.Floor(number) && Math.Abs(number) < 1e15 ? (JsonNode)(long)number : (JsonNode)number;
}
