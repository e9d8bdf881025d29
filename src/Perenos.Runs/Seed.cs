using System.Text;

namespace Perenos.Runs;

/// <summary>Named random numbers: every random choice of a run is a pure function of (seed, name, index), so that nothing has to be replayed to resume.</summary>
public static class Seed
{
    /// <summary>64 well-mixed bits for one named choice.</summary>
    public static ulong Of(ulong seed, string name, ulong index = 0) => At(Named(seed, name), index);

    /// <summary>A permutation of 0 … count − 1 (Fisher and Yates), the same for the same arguments on every machine.</summary>
    public static int[] Permutation(ulong seed, string name, int count)
    {
        var order = new int[count];
        for (int index = 0; index < count; index++)
            order[index] = index;
        ulong named = Named(seed, name);
        for (int index = count - 1; index > 0; index--)
        {
            int other = (int)((UInt128)At(named, (ulong)index) * (ulong)(index + 1) >> 64);
            (order[index], order[other]) = (order[other], order[index]);
        }

        return order;
    }

    private static ulong Named(ulong seed, string name)
    {
        ulong state = Mix(seed + 0x9E3779B97F4A7C15);
        foreach (byte part in Encoding.UTF8.GetBytes(name))
            state = Mix(state ^ part);
        return state;
    }

    private static ulong At(ulong named, ulong index) => Mix(named ^ Mix(index));

    // SplitMix64 (Steele, Lea and Flood 2014, https://doi.org/10.1145/2660193.2660195).
    private static ulong Mix(ulong state)
    {
        state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9;
        state = (state ^ state >> 27) * 0x94D049BB133111EB;
        return state ^ state >> 31;
    }
}
