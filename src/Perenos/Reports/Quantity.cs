using System.Globalization;

namespace Perenos.Reports;

/// <summary>Numbers as a reader wants them.</summary>
public static class Quantity
{
    /// <summary>6,225,152.</summary>
    public static string Count(long value) => value.ToString("N0", CultureInfo.InvariantCulture);

    /// <summary>6.2 million, beside which the exact number would be noise.</summary>
    public static string Rough(long value) => value switch
    {
        >= 1_000_000_000 => Number(value / 1e9, 2) + " billion",
        >= 1_000_000 => Number(value / 1e6, 1) + " million",
        _ => Count(value),
    };

    /// <summary>1.6 GB; powers of 1000, like disks and most tools that show memory.</summary>
    public static string Bytes(long value) => value switch
    {
        >= 1_000_000_000 => Number(value / 1e9, 2) + " GB",
        >= 1_000_000 => Number(value / 1e6, 0) + " MB",
        _ => Count(value) + " bytes",
    };

    /// <summary>42.0 s, 5 min 40 s, 1 h 25 min.</summary>
    public static string Seconds(double value)
    {
        if (!double.IsFinite(value))
            return "–";
        if (value < 60)
            return Number(value, 1) + " s";
        long whole = (long)Math.Round(value);
        return whole < 3600
            ? string.Create(CultureInfo.InvariantCulture, $"{whole / 60} min {whole % 60:00} s")
            : string.Create(CultureInfo.InvariantCulture, $"{whole / 3600} h {whole % 3600 / 60:00} min");
    }

    /// <summary>Fixed decimals with a true minus sign; a dash for what is not a number.</summary>
    public static string Number(double value, int decimals) => double.IsFinite(value)
        ? value.ToString("N" + decimals.ToString(CultureInfo.InvariantCulture), CultureInfo.InvariantCulture).Replace('-', '−')
        : "–";

    /// <summary>As <see cref="Number"/>, with a plus where it grew.</summary>
    public static string Change(double value, int decimals) => (value > 0 ? "+" : "") + Number(value, decimals);

    /// <summary>[96.0, 97.9], or nothing where there is no interval.</summary>
    public static string Interval(double? low, double? high, int decimals) =>
        low is { } from && high is { } to ? $"[{Number(from, decimals)}, {Number(to, decimals)}]" : "";
}
