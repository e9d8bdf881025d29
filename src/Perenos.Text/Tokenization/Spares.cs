namespace Perenos.Text.Tokenization;

/// <summary>
/// Things that one thread uses at a time, taken and given back without a lock. As many are kept as there are processors; a thread finds
/// again what was used last on its own.
/// </summary>
internal sealed class Spares<T>(Func<T> create)
    where T : class
{
    private readonly T?[] _kept = new T?[Environment.ProcessorCount];

    public T Take()
    {
        int first = First();
        for (int offset = 0; offset < _kept.Length; offset++)
        {
            if (Interlocked.Exchange(ref _kept[(first + offset) % _kept.Length], null) is { } spare)
                return spare;
        }

        return create();
    }

    public void GiveBack(T spare)
    {
        int first = First();
        for (int offset = 0; offset < _kept.Length; offset++)
        {
            if (Interlocked.CompareExchange(ref _kept[(first + offset) % _kept.Length], spare, null) is null)
                return;
        }
    }

    private int First() => Thread.GetCurrentProcessorId() % _kept.Length;
}
