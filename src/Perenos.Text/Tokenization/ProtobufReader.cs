using System.Buffers.Binary;
using System.Text;

namespace Perenos.Text.Tokenization;

/// <summary>A message that is cut off or malformed.</summary>
internal sealed class ProtobufException(string message) : Exception(message);

/// <summary>
/// Reads the fields of one protobuf message (https://protobuf.dev/programming-guides/encoding/). Nothing is copied before its length is
/// known to lie in the message.
/// </summary>
internal ref struct ProtobufReader(ReadOnlySpan<byte> message)
{
    private readonly ReadOnlySpan<byte> _message = message;
    private int _at;
    private int _wireType;

    /// <summary>Number of the current field.</summary>
    public int Field { get; private set; }

    /// <summary>Goes to the next field, past the value of the last one if nobody read it; false at the end.</summary>
    public bool Next()
    {
        Skip();
        if (_at == _message.Length)
            return false;
        ulong tag = Varint();
        if (tag >> 3 is 0 or > 0x1FFFFFFF)
            throw new ProtobufException("a field has no valid number");
        Field = (int)(tag >> 3);
        _wireType = (int)(tag & 7);
        _isUnread = true;
        return true;
    }

    private bool _isUnread;

    /// <summary>A whole number or truth value.</summary>
    public long Number()
    {
        Take(0);
        return (long)Varint();
    }

    public float Float()
    {
        Take(5);
        return BinaryPrimitives.ReadSingleLittleEndian(Bytes(4));
    }

    /// <summary>Text, bytes or a message.</summary>
    public ReadOnlySpan<byte> Block()
    {
        Take(2);
        return Bytes(Varint());
    }

    public string Text()
    {
        var bytes = Block();
        return System.Text.Unicode.Utf8.IsValid(bytes) ? Encoding.UTF8.GetString(bytes) : throw new ProtobufException("a text is not valid UTF-8");
    }

    private void Take(int wireType)
    {
        if (_wireType != wireType)
            throw new ProtobufException($"field {Field} has another type than expected");
        _isUnread = false;
    }

    private void Skip()
    {
        if (!_isUnread)
            return;
        _isUnread = false;
        switch (_wireType)
        {
            case 0:
                Varint();
                break;
            case 1:
                Bytes(8);
                break;
            case 2:
                Bytes(Varint());
                break;
            case 5:
                Bytes(4);
                break;
            default:
                throw new ProtobufException($"field {Field} has the unknown wire type {_wireType}");
        }
    }

    private ReadOnlySpan<byte> Bytes(ulong length)
    {
        if (length > (ulong)(_message.Length - _at))
            throw new ProtobufException("it is cut off");
        var bytes = _message.Slice(_at, (int)length);
        _at += (int)length;
        return bytes;
    }

    private ulong Varint()
    {
        ulong value = 0;
        for (int shift = 0; shift < 64; shift += 7)
        {
            byte next = Bytes(1)[0];
            value |= (ulong)(next & 0x7F) << shift;
            if (next < 0x80)
                return value;
        }

        throw new ProtobufException("a number is too long");
    }
}
