using Perenos.Checkpoints;
using static Perenos.Tests.Checkpoints.TorchBytes;

namespace Perenos.Fuzz.Targets;

/// <summary>Pickled checkpoints: the whole file, its pickle in a container that stays right, or a pickle put together from pieces.</summary>
internal static class TorchTarget
{
    private static readonly byte[] Whole = Tensor(Storage("0", 4), 0, [2, 2], [2, 1]);
    private static readonly byte[] Transposed = Tensor(Storage("0", 4), 0, [2, 2], [1, 2]);
    private static readonly byte[] Ordered = Join("ccollections\nOrderedDict\n)R");
    private static readonly byte[] Untyped = Join("ctorch._utils\n_rebuild_tensor_v3\n(", Storage("1", 16, "torch.storage\nUntypedStorage"), Number(0), Numbers(8), Numbers(1),
        (byte)0x89, Ordered, "ctorch\nbfloat16\n", "tR");

    private static readonly byte[][] Pickles =
    [
        Pickle(Dictionary(Unicode("w"), Whole)),
        Pickle(Ordered, "q\0(", Unicode("a.weight"), Whole, Unicode("b.weight"), Transposed, Unicode("c"), Untyped, "u", Dictionary(Unicode("_metadata"), Dictionary(Unicode(""), Dictionary())), "b"),
        Pickle(Dictionary(Unicode("epoch"), Number(3), Unicode("model"), Dictionary(Unicode("w"), Join("ctorch._utils\n_rebuild_parameter\n(", Whole, (byte)0x88, Ordered, "tR")))),
    ];

    private static readonly object[] Pieces =
    [
        Whole, Transposed, Untyped, Ordered, Storage("0", 4), Storage("9", 1L << 40), Tensor(Storage("0", 4), 0, [1 << 20], [0]), Number(0), Number(-1), Number(long.MaxValue), Numbers(), Numbers(2, 2), Numbers(-1),
        Unicode("w"), Unicode("a.b"), Unicode(""), Unicode("storage"), Unicode("cpu"), "ctorch\nFloatStorage\n", "ctorch._utils\n_rebuild_tensor_v2\n", "cposix\nsystem\n", "ccollections\nOrderedDict\n",
        "N", "(", ")", "}", "]", "t", "u", "s", "e", "a", "R", "b", "Q", "0", "1", "2", "q\0", "q\u0001", "h\0", "h\u0001", ".", Join((byte)0x85), Join((byte)0x86), Join((byte)0x87), Join((byte)0x88), Join((byte)0x93), Join((byte)0x94),
        Join((byte)0x8A, (byte)9, new byte[9]), Join("X", U32(uint.MaxValue)), Join((byte)0x95, U64(9)), "K\u0001", "M\0\u0001", "G@\0\0\0\0\0\0\0",
    ];

    public static FuzzTarget Create() => new("bin",
        [.. Pickles.Select(Zipped), .. Pickles[..1].Select(pickle => Legacy(pickle, ("0", 4, FourFloats))), Zip([("a/data.pkl", Pickles[0]), ("a/data/0", FourFloats)], zip64: true)],
        Mutate, Read);

    private static byte[] Zipped(byte[] pickle) => Archive(pickle, ("0", FourFloats), ("1", FourFloats));

    private static byte[] Mutate(byte[] valid, Damage damage) => damage.Random.Next(5) switch
    {
        0 or 1 => damage.Bytes(valid),
        2 => Zipped(damage.Bytes(damage.Pick(Pickles))),
        3 => Legacy(damage.Bytes(damage.Pick(Pickles)), ("0", 4, FourFloats), ("1", 16, FourFloats)),
        _ => Zipped(Composed(damage)),
    };

    private static byte[] Composed(Damage damage)
    {
        byte[] Some(int most) => Join([.. Enumerable.Range(0, damage.Random.Next(most)).Select(_ => damage.Pick(Pieces))]);
        return damage.Random.Next(2) == 0
            ? Pickle(Some(40))
            : Pickle("}(", Join([.. Enumerable.Range(0, damage.Random.Next(6)).Select(i => (object)Join(Unicode($"{i}"), damage.Pick(Pieces)))]), "u", Some(4));
    }

    private static long Read(FuzzInput input)
    {
        using var file = TorchFile.Open(input.FileNamed("pytorch_model.bin"));
        return TensorReading.All(file);
    }
}
