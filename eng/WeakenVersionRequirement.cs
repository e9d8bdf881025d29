using System;
using System.IO;
using System.Linq;
using System.Text;
using Microsoft.Build.Framework;
using Microsoft.Build.Utilities;

/// <summary>
/// Copies a 64-bit little-endian ELF library with one version requirement marked weak, so that the loader accepts a system
/// library without that version. The copy is the same bytes if the library does not ask for it, or asks for it weakly already.
/// </summary>
public sealed class WeakenVersionRequirement : Task
{
    private const ushort WeakFlag = 2; // VER_FLG_WEAK
    private const uint VersionNeedSection = 0x6ffffffe; // SHT_GNU_verneed

    [Required]
    public string Library { get; set; } = "";

    [Required]
    public string Copy { get; set; } = "";

    [Required]
    public string Version { get; set; } = "";

    public override bool Execute()
    {
        byte[] elf = File.ReadAllBytes(Library);
        if (elf.Length < 64 || elf[0] != 0x7f || elf[1] != 'E' || elf[2] != 'L' || elf[3] != 'F' || elf[4] != 2 || elf[5] != 1)
        {
            Log.LogError($"{Library} is not a 64-bit little-endian ELF file.");
            return false;
        }

        long flags = FindFlags(elf);
        if (flags >= 0)
            elf[flags] |= (byte)WeakFlag;
        // Written only if it differs, so that a build without changes copies nothing.
        if (!File.Exists(Copy) || !elf.SequenceEqual(File.ReadAllBytes(Copy)))
            File.WriteAllBytes(Copy, elf);
        return true;
    }

    // Elf64_Verneed {version, cnt: u16; file, aux, next: u32}, Elf64_Vernaux {hash: u32; flags, other: u16; name, next: u32}.
    private long FindFlags(byte[] elf)
    {
        long sections = BitConverter.ToInt64(elf, 0x28);
        int size = BitConverter.ToUInt16(elf, 0x3A), count = BitConverter.ToUInt16(elf, 0x3C);
        for (int index = 0; index < count; index++)
        {
            long header = sections + (long)index * size;
            if (BitConverter.ToUInt32(elf, (int)header + 4) != VersionNeedSection)
                continue;
            long strings = sections + BitConverter.ToUInt32(elf, (int)header + 0x28) * (long)size;
            long names = BitConverter.ToInt64(elf, (int)strings + 0x18);
            long need = BitConverter.ToInt64(elf, (int)header + 0x18);
            for (uint next = 1; next != 0; need += next)
            {
                long entry = need + BitConverter.ToUInt32(elf, (int)need + 8);
                for (uint nextEntry = 1; nextEntry != 0; entry += nextEntry)
                {
                    if (NameAt(elf, names + BitConverter.ToUInt32(elf, (int)entry + 8)) == Version)
                        return entry + 4;
                    nextEntry = BitConverter.ToUInt32(elf, (int)entry + 12);
                }

                next = BitConverter.ToUInt32(elf, (int)need + 12);
            }
        }

        return -1;
    }

    private static string NameAt(byte[] elf, long offset)
    {
        int end = Array.IndexOf(elf, (byte)0, (int)offset);
        return Encoding.ASCII.GetString(elf, (int)offset, end - (int)offset);
    }
}
