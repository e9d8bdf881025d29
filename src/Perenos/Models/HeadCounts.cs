namespace Perenos.Models;

/// <summary>Heads of grouped-query attention.</summary>
/// <param name="Queries">Query heads, H.</param>
/// <param name="Keys">Key and value heads, G; divides H.</param>
/// <param name="Size">Size of a head, D.</param>
internal sealed record HeadCounts(int Queries, int Keys, long Size)
{
    /// <summary>H · D.</summary>
    public long QueryWidth => Queries * Size;

    /// <summary>G · D.</summary>
    public long KeyWidth => Keys * Size;

    /// <summary>Reads <c>num_attention_heads</c>, <c>num_key_value_heads</c> and <c>head_dim</c>.</summary>
    /// <param name="reader">The configuration.</param>
    /// <param name="width">Width of the hidden states.</param>
    /// <param name="absentKeys">The family's G where the key is absent; H if none is given, or where the file says null.</param>
    /// <param name="absentSize">The family's D where the key is absent; width / H if none is given.</param>
    public static HeadCounts Read(ConfigReader reader, long width, int? absentKeys = null, long? absentSize = null)
    {
        int queries = (int)reader.Size("num_attention_heads");
        int keys = (int)(reader.SizeOrNone("num_key_value_heads", absentKeys) ?? queries);
        if (queries % keys != 0)
            throw reader.Wrong("num_key_value_heads", $"a divisor of num_attention_heads ({queries})");
        return new HeadCounts(queries, keys, reader.Size("head_dim", absent: absentSize ?? width / queries));
    }
}
