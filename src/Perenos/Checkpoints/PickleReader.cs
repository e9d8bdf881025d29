using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;
using System.Text;
using Perenos.Runs;

namespace Perenos.Checkpoints;

/// <summary>
/// Reads the opcodes of a pickle into values (<see href="https://docs.python.org/3/library/pickletools.html"/>, protocols 2 to 5).
/// Nothing is executed: a name is looked up in <see cref="TorchConstructors"/> or refused, and so is each opcode that a state
/// dict does not need. Time and memory are linear in the length of the pickle.
/// </summary>
internal sealed class PickleReader(MappedFile file, long position, long end, TorchConstructors torch)
{
    private const int MostNameBytes = 256;
    private const int MostNumberBytes = 64;
    private const byte NewestProtocol = 5;

    private static readonly UTF8Encoding StrictUtf8 = new(encoderShouldEmitUTF8Identifier: false, throwOnInvalidBytes: true);
    private static readonly object True = true, False = false;
    private static readonly object[] SmallNumbers = [.. Enumerable.Range(0, 256).Select(number => (object)(long)number)];

    private readonly List<object?> _stack = [];
    private readonly List<int> _marks = []; // heights of the stack
    private readonly Dictionary<uint, object?> _memo = [];

    /// <summary>Behind the last byte that was read.</summary>
    public long Position { get; private set; } = position;

    /// <summary>The value of the pickle, up to its STOP.</summary>
    /// <exception cref="PerenosException">It is malformed, or asks for something that no tensor needs.</exception>
    public object? Read()
    {
        while (true)
        {
            if (Position >= end)
                throw Malformed("its pickle ends without STOP (cut off?)");
            byte opcode = Take(1)[0];
            if (opcode == (byte)'.')
                break;
            Step(opcode);
        }

        object? value = Pop();
        return _stack.Count == 0 ? value : throw Malformed($"its pickle leaves {_stack.Count:N0} values unused");
    }

    private void Step(byte opcode)
    {
        switch (opcode)
        {
            case 0x80: // PROTO
                byte protocol = Take(1)[0];
                if (protocol > NewestProtocol)
                    throw Malformed($"its pickle has the unknown protocol {protocol}");
                break;
            case 0x95: // FRAME, a hint for buffering
                _ = Length(BinaryPrimitives.ReadUInt64LittleEndian(Take(8)));
                break;

            case (byte)'N': Push(null); break;
            case 0x88: Push(True); break;
            case 0x89: Push(False); break;
            case (byte)'K': Push(SmallNumbers[Take(1)[0]]); break; // BININT1
            case (byte)'M': Push((long)BinaryPrimitives.ReadUInt16LittleEndian(Take(2))); break; // BININT2
            case (byte)'J': Push((long)BinaryPrimitives.ReadInt32LittleEndian(Take(4))); break; // BININT
            case 0x8A: PushNumber(Take(1)[0]); break; // LONG1
            case 0x8B: PushNumber(BinaryPrimitives.ReadInt32LittleEndian(Take(4))); break; // LONG4
            case (byte)'G': Push(BinaryPrimitives.ReadDoubleBigEndian(Take(8))); break; // BINFLOAT

            case 0x8C: Push(Text(Take(1)[0])); break; // SHORT_BINUNICODE
            case (byte)'X': Push(Text(BinaryPrimitives.ReadUInt32LittleEndian(Take(4)))); break; // BINUNICODE
            case 0x8D: Push(Text(BinaryPrimitives.ReadUInt64LittleEndian(Take(8)))); break; // BINUNICODE8
            case (byte)'U': Push(Text(Take(1)[0])); break; // SHORT_BINSTRING, written by Python 2
            case (byte)'T': Push(Text(BinaryPrimitives.ReadUInt32LittleEndian(Take(4)))); break; // BINSTRING
            case (byte)'C': Push(Take(Take(1)[0]).ToArray()); break; // SHORT_BINBYTES
            case (byte)'B': Push(Take(Length(BinaryPrimitives.ReadUInt32LittleEndian(Take(4)))).ToArray()); break; // BINBYTES
            case 0x8E: Push(Take(Length(BinaryPrimitives.ReadUInt64LittleEndian(Take(8)))).ToArray()); break; // BINBYTES8

            case (byte)'(': _marks.Add(_stack.Count); break;
            case (byte)'0': _ = Pop(); break;
            case (byte)'1': _ = PopToMark(); break;
            case (byte)'2': Push(Top()); break; // DUP

            case (byte)')': Push(PickleTuple.Empty); break;
            case (byte)'t': Push(new PickleTuple(PopToMark())); break;
            case 0x85: Push(new PickleTuple([Pop()])); break;
            case 0x86: Push(new PickleTuple(Pop(2))); break;
            case 0x87: Push(new PickleTuple(Pop(3))); break;

            case (byte)']': Push(new PickleList()); break;
            case (byte)'a': Append([Pop()]); break;
            case (byte)'e': Append(PopToMark()); break;
            case (byte)'}': Push(new PickleDict()); break;
            case (byte)'s': SetItems(Pop(2)); break;
            case (byte)'u': SetItems(PopToMark()); break;

            case (byte)'q': _memo[Take(1)[0]] = Top(); break; // BINPUT
            case (byte)'r': _memo[BinaryPrimitives.ReadUInt32LittleEndian(Take(4))] = Top(); break; // LONG_BINPUT
            case 0x94: _memo[(uint)_memo.Count] = Top(); break; // MEMOIZE
            case (byte)'h': Push(Remembered(Take(1)[0])); break; // BINGET
            case (byte)'j': Push(Remembered(BinaryPrimitives.ReadUInt32LittleEndian(Take(4)))); break; // LONG_BINGET

            case (byte)'c': Push(torch.Find(Line(), Line())); break; // GLOBAL
            case 0x93: // STACK_GLOBAL
                Push(Pop(2) is [string module, string name] ? torch.Find(module, name) : throw Malformed("its pickle asks for something whose name is no text"));
                break;
            case (byte)'i': // INST: a class, made at once
                throw torch.Forbidden(Line(), Line());
            case (byte)'R': // REDUCE
                Push(Pop(2) is [PickleGlobal function, PickleTuple arguments]
                    ? torch.Call(function, arguments.Items) : throw Malformed("its pickle calls something that is no function"));
                break;
            case (byte)'Q': Push(torch.Storage(Pop())); break; // BINPERSID
            case (byte)'b': // BUILD
                if (Pop(2) is not [PickleDict { IsOrdered: true } dictionary, PickleDict])
                    throw Malformed("its pickle sets the state of something other than a dictionary");
                Push(dictionary); // attributes, such as the _metadata of a module, are no tensors by name
                break;
            default:
                throw Malformed(Position == 1
                    ? "it is neither a zip archive nor a pickle"
                    : $"its pickle uses the opcode 0x{opcode:X2}, which no state dict needs");
        }
    }

    private PerenosException Malformed(string reason) => Refusal.Malformed(file.Path, reason);

    private ReadOnlySpan<byte> Take(int count)
    {
        if (count > end - Position)
            throw Malformed("its pickle ends in the middle of a value (cut off?)");
        var bytes = file.Slice(Position, count);
        Position += count;
        return bytes;
    }

    private int Length(ulong claimed) => claimed <= (ulong)(end - Position) && claimed <= (ulong)Array.MaxLength
        ? (int)claimed : throw Malformed($"its pickle claims a value of {claimed:N0} bytes, for which it has no room");

    private string Text(ulong claimed)
    {
        try
        {
            return StrictUtf8.GetString(Take(Length(claimed)));
        }
        catch (DecoderFallbackException e)
        {
            throw Refusal.Malformed(file.Path, "its pickle has a text that is not valid UTF-8", e);
        }
    }

    /// <summary>Two's complement, little-endian; no bytes mean 0.</summary>
    private void PushNumber(int bytes)
    {
        if (bytes is < 0 or > MostNumberBytes)
            throw Malformed($"its pickle has an integer of {bytes:N0} bytes");
        var number = new BigInteger(Take(bytes));
        Push(number >= long.MinValue && number <= long.MaxValue ? (object)(long)number : number);
    }

    private string Line()
    {
        var rest = file.Slice(Position, (int)Math.Min(MostNameBytes + 1, end - Position));
        int length = rest.IndexOf((byte)'\n');
        if (length < 0)
            throw Malformed("its pickle asks for something whose name does not end");
        string line = Text((ulong)length);
        Position++;
        return line;
    }

    private void Push(object? value) => _stack.Add(value);

    private int Floor => _marks.Count > 0 ? _marks[^1] : 0;

    private object? Top() => _stack.Count > Floor ? _stack[^1] : throw Malformed("its pickle takes a value where there is none");

    private object? Pop()
    {
        object? top = Top();
        _stack.RemoveAt(_stack.Count - 1);
        return top;
    }

    private object?[] Pop(int count) => _stack.Count - count >= Floor ? PopFrom(_stack.Count - count) : throw Malformed("its pickle takes a value where there is none");

    private object?[] PopToMark()
    {
        if (_marks.Count == 0)
            throw Malformed("its pickle takes values up to a mark that is not there");
        int height = _marks[^1];
        _marks.RemoveAt(_marks.Count - 1);
        return PopFrom(height);
    }

    private object?[] PopFrom(int height)
    {
        object?[] values = [.. CollectionsMarshal.AsSpan(_stack)[height..]];
        _stack.RemoveRange(height, values.Length);
        return values;
    }

    private void Append(object?[] values)
    {
        if (Top() is not PickleList list)
            throw Malformed("its pickle appends to something that is no list");
        list.Add(values);
    }

    private void SetItems(object?[] pairs)
    {
        if (Top() is not PickleDict dictionary || pairs.Length % 2 != 0)
            throw Malformed("its pickle sets an entry of something that is no dictionary");
        for (int i = 0; i < pairs.Length; i += 2)
            dictionary.Add(pairs[i], pairs[i + 1]);
    }

    private object? Remembered(uint index) =>
        _memo.TryGetValue(index, out object? value) ? value : throw Malformed($"its pickle refers to value {index:N0}, which it does not have");
}
