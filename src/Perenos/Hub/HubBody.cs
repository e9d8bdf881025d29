namespace Perenos.Hub;

/// <summary>The bytes of an answer: no more than were announced, and a silence counts as a cut.</summary>
internal sealed class HubBody(HttpResponseMessage response, HubSettings settings, TimeProvider clock)
{
    private const int BufferBytes = 1 << 17;

    /// <summary>Hands over what comes, piece by piece.</summary>
    /// <param name="most">More bytes than this are refused.</param>
    /// <param name="take">Gets a buffer and how many of its bytes count.</param>
    /// <param name="stop">Ends the copying.</param>
    /// <exception cref="IOException">More came than may.</exception>
    /// <exception cref="TimeoutException">Nothing came for too long.</exception>
    public async Task CopyAsync(long most, Action<byte[], int> take, CancellationToken stop)
    {
        var body = await response.Content.ReadAsStreamAsync(stop).ConfigureAwait(false);
        await using (body.ConfigureAwait(false))
        {
            byte[] buffer = new byte[BufferBytes];
            using var timer = new CancellationTokenSource(Timeout.InfiniteTimeSpan, clock);
            using var limit = CancellationTokenSource.CreateLinkedTokenSource(stop, timer.Token);
            for (long total = 0; ;)
            {
                timer.CancelAfter(settings.Patience);
                int read;
                try
                {
                    read = await body.ReadAsync(buffer, limit.Token).ConfigureAwait(false);
                }
                catch (OperationCanceledException) when (!stop.IsCancellationRequested)
                {
                    throw new TimeoutException($"nothing came for {settings.Patience.TotalSeconds:F0} s");
                }

                if (read == 0)
                    return;
                total += read;
                if (total > most)
                    throw new IOException($"more than the announced {most:N0} bytes came");
                take(buffer, read);
            }
        }
    }
}
