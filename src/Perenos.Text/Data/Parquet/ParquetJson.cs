using System.Buffers.Binary;
using System.Globalization;
using System.Numerics;
using System.Text.Json;
using System.Text.Unicode;

namespace Perenos.Text.Data.Parquet;

/// <summary>Single values as JSON has them: times as ISO 8601 writes them, decimals with all their digits, what JSON cannot say as null.</summary>
internal static class ParquetJson
{
    public static void Write(Utf8JsonWriter writer, SchemaLine line, ParquetValue? taken)
    {
        if (taken is not { } value)
        {
            writer.WriteNullValue();
            return;
        }

        switch (line.Type)
        {
            case PhysicalType.Boolean:
                writer.WriteBooleanValue(value.Whole != 0);
                break;
            case PhysicalType.Int32 or PhysicalType.Int64:
                WriteWhole(writer, line, value.Whole);
                break;
            case PhysicalType.Float:
                WriteReal(writer, value.Real, () => writer.WriteNumberValue((float)value.Real));
                break;
            case PhysicalType.Double:
                WriteReal(writer, value.Real, () => writer.WriteNumberValue(value.Real));
                break;
            case PhysicalType.Int96:
                // Nanoseconds of the day, and the day counted from noon of 4713 BC: 1970 began on day 2,440,588.
                WriteTime(writer, Int128.CreateChecked(BinaryPrimitives.ReadInt32LittleEndian(value.Bytes[8..]) - 2_440_588L) * 86_400_000_000_000L + BinaryPrimitives.ReadInt64LittleEndian(value.Bytes));
                break;
            default:
                WriteBytes(writer, line, value.Bytes);
                break;
        }
    }

    private static void WriteWhole(Utf8JsonWriter writer, SchemaLine line, long value)
    {
        switch (line.Meaning)
        {
            case Meaning.Unsigned:
                writer.WriteNumberValue(line.Type == PhysicalType.Int32 ? (uint)value : (ulong)value);
                break;
            case Meaning.Decimal:
                WriteDecimal(writer, value, line.Scale);
                break;
            case Meaning.Date:
                writer.WriteStringValue(value is > -700_000 and < 2_900_000 ? DateOnly.FromDayNumber(719_162 + (int)value).ToString("O", CultureInfo.InvariantCulture) : throw new InvalidDataException("a date is out of range"));
                break;
            case Meaning.Milliseconds:
                WriteTime(writer, (Int128)value * 1_000_000);
                break;
            case Meaning.Microseconds:
                WriteTime(writer, (Int128)value * 1000);
                break;
            case Meaning.Nanoseconds:
                WriteTime(writer, value);
                break;
            default:
                writer.WriteNumberValue(value);
                break;
        }
    }

    private static void WriteBytes(Utf8JsonWriter writer, SchemaLine line, ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length > LineReader.LongestLine)
            throw new InvalidDataException($"\"{line.Name}\" is longer than {LineReader.LongestLine >> 20} MiB");
        switch (line.Meaning)
        {
            case Meaning.Decimal:
                if (bytes.Length > 64)
                    throw new InvalidDataException("a decimal number is too long");
                WriteDecimal(writer, new BigInteger(bytes, isBigEndian: true), line.Scale);
                break;
            case Meaning.Uuid when bytes.Length == 16:
                writer.WriteStringValue(new Guid(bytes, bigEndian: true).ToString());
                break;
            case Meaning.Float16 when bytes.Length == 2:
                double real = (double)BinaryPrimitives.ReadHalfLittleEndian(bytes);
                WriteReal(writer, real, () => writer.WriteNumberValue(real));
                break;
            default:
                if (Utf8.IsValid(bytes))
                {
                    writer.WriteStringValue(bytes);
                    break;
                }

                if (line.Meaning == Meaning.Text)
                    throw new InvalidDataException($"\"{line.Name}\" is not valid UTF-8");
                // Pictures and the like: no text, and named as what they are if someone asks for one.
                writer.WriteStartObject();
                writer.WriteNumber("bytes", bytes.Length);
                writer.WriteEndObject();
                break;
        }
    }

    // Missing numbers are often written as NaN, and JSON knows neither it nor infinity.
    private static void WriteReal(Utf8JsonWriter writer, double value, Action write)
    {
        if (double.IsFinite(value))
            write();
        else
            writer.WriteNullValue();
    }

    private static void WriteDecimal(Utf8JsonWriter writer, BigInteger unscaled, int scale)
    {
        if (scale is < 0 or > 100)
            throw new InvalidDataException("a decimal number has a scale that makes no sense");
        string digits = BigInteger.Abs(unscaled).ToString(CultureInfo.InvariantCulture).PadLeft(scale + 1, '0');
        string sign = unscaled.Sign < 0 ? "-" : "";
        writer.WriteRawValue(scale == 0 ? sign + digits : $"{sign}{digits[..^scale]}.{digits[^scale..]}");
    }

    private static void WriteTime(Utf8JsonWriter writer, Int128 nanoseconds)
    {
        var ticks = nanoseconds / 100 + DateTime.UnixEpoch.Ticks;
        if (ticks < 0 || ticks > DateTime.MaxValue.Ticks)
            throw new InvalidDataException("a time is out of range");
        writer.WriteStringValue(new DateTime((long)ticks).ToString("yyyy-MM-dd'T'HH:mm:ss.FFFFFFF", CultureInfo.InvariantCulture));
    }
}
