namespace Perenos.Text.Data.Parquet;

/// <summary>Whole numbers as packed differences (https://github.com/apache/parquet-format/blob/master/Encodings.md#DELTAENC), one at a time.</summary>
internal sealed class DeltaReader
{
    private const int LargestBlock = 1 << 16;
    private readonly byte[] _bytes;
    private readonly int _block;
    private readonly int _miniBlocks;
    private readonly byte[] _widths;
    private long _value;
    private long _least;
    private long _given;
    private int _inBlock;
    private long _bit;
    private int _at;

    public DeltaReader(byte[] bytes, int start)
    {
        (_bytes, _at) = (bytes, start);
        (_block, _miniBlocks) = ((int)Math.Min(Varint(), int.MaxValue), (int)Math.Min(Varint(), int.MaxValue));
        Count = (long)Varint();
        _value = ZigZag();
        if (_block is < 8 or > LargestBlock || _miniBlocks < 1 || _block % _miniBlocks != 0 || _block / _miniBlocks % 8 != 0 || Count < 0)
            throw new InvalidDataException("a page's differences make no sense");
        _widths = new byte[_miniBlocks];
        _inBlock = _block;
    }

    /// <summary>Numbers in all.</summary>
    public long Count { get; }

    /// <summary>Where the differences end, after all numbers were taken.</summary>
    public int End => _at;

    public long Next()
    {
        if (_given == Count)
            throw new InvalidDataException("a page's differences end early");
        if (_given++ == 0)
            return _value;
        if (_inBlock == _block)
            BeginBlock();
        int perMiniBlock = _block / _miniBlocks, width = _widths[_inBlock / perMiniBlock];
        if (_inBlock % perMiniBlock == 0)
        {
            _bit = (long)_at << 3;
            // The last block is filled up to a whole mini-block, or cut.
            _at = Math.Min(_bytes.Length, _at + perMiniBlock / 8 * width);
        }

        ulong difference = 0;
        for (int i = 0; i < width; i++, _bit++)
        {
            int place = (int)(_bit >> 3);
            if (place >= _bytes.Length)
                throw new InvalidDataException("a page's differences end early");
            difference |= (ulong)(_bytes[place] >> (int)(_bit & 7) & 1) << i;
        }

        _inBlock++;
        return _value = unchecked(_value + _least + (long)difference);
    }

    private void BeginBlock()
    {
        _least = ZigZag();
        if (_miniBlocks > _bytes.Length - _at)
            throw new InvalidDataException("a page's differences end early");
        _bytes.AsSpan(_at, _miniBlocks).CopyTo(_widths);
        _at += _miniBlocks;
        _inBlock = 0;
        if (_widths.Any(width => width > 64))
            throw new InvalidDataException("a page's differences make no sense");
    }

    private long ZigZag()
    {
        ulong raw = Varint();
        return (long)(raw >> 1) ^ -(long)(raw & 1);
    }

    private ulong Varint()
    {
        ulong value = 0;
        for (int shift = 0; shift < 64; shift += 7)
        {
            byte part = _at < _bytes.Length ? _bytes[_at++] : throw new InvalidDataException("a page's differences end early");
            value |= (ulong)(part & 0x7F) << shift;
            if (part < 0x80)
                return value;
        }

        throw new InvalidDataException("a page's differences make no sense");
    }
}
