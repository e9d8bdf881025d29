using System.Diagnostics;
using System.Text;
using System.Text.Json;
using Microsoft.ML.Tokenizers;
using Tokenizer = Perenos.Text.Tokenization.Tokenizer;

namespace Perenos.Benchmarks;

/// <summary>
/// Text to ids in megabytes of UTF-8 a second of processor time: the first time (no word known yet), again (words known), on text whose words
/// never come twice, and in each of several threads. Microsoft.ML.Tokenizers runs beside it where it can do the job: GPT-2's vocabulary.
/// </summary>
internal static class TokenizerThroughput
{
    private const double LeastMegabytes = 8;
    private const double MostSecondsToLoad = 0.32;
    private const double LeastScaling = 0.8;
    private const int Rounds = 9;
    private static readonly int Threads = Environment.ProcessorCount;

    internal static int Run(Options options)
    {
        string shared = options.Text("shared", "../shared");
        string[] names = options.Text("tokenizers", "gpt-neox,smollm2,qwen3,gpt2").Split(',');
        (string Name, string Text)[] texts =
        [
            ("English", File.ReadAllText(Path.Combine(shared, "data/text/wikipedia_30.txt"))),
            ("French", File.ReadAllText(Path.Combine(shared, "data/text/genesis_french.txt"))),
            ("words that never come twice", UniqueWords(options.Number("unique-megabytes", 4))),
        ];
        var result = new Result("tokenizer");
        result.Fact($"texts in MB of UTF-8: {string.Join(", ", texts.Select(text => $"{text.Name} {Megabytes(text.Text):F2}"))}; processor time, the best of {Rounds} rounds");
        var rows = new List<IReadOnlyList<string>>();
        foreach (string name in names)
            Measure(result, rows, name, shared, texts);
        result.Table(["tokenizer, text", "load s", "first MB/s", "again MB/s", $"each of {Threads}, one tokenizer", "a tokenizer each", "scaling by the clock"], rows);
        if (names.Contains("gpt2"))
            Compare(result, shared, texts);
        return result.Finish(options);
    }

    private static void Measure(Result result, List<IReadOnlyList<string>> rows, string name, string shared, (string Name, string Text)[] texts)
    {
        Open(name, shared); // compiles what is to be measured
        double load = Best(() => Seconds(() => Open(name, shared)));
        foreach (var (kind, text) in texts)
        {
            double first = Best(() =>
            {
                var fresh = Open(name, shared);
                return Seconds(() => fresh.Encode(text));
            });
            var tokenizer = Open(name, shared);
            tokenizer.Encode(text);
            double again = Best(() => Seconds(() => tokenizer.Encode(text)));
            double alone = Best(() => Elapsed(() => tokenizer.Encode(text)));
            var together = Enumerable.Range(0, Rounds).Select(_ => Together([.. Enumerable.Repeat(tokenizer, Threads)], text)).ToList();
            Tokenizer[] own = [.. Enumerable.Range(0, Threads).Select(_ => Open(name, shared))];
            Together(own, text);
            double apart = Best(() => Together(own, text).Processor);
            double size = Megabytes(text), shares = together.Min(run => run.Processor), scaling = alone / together.Min(run => run.Clock);
            rows.Add([$"{name}, {kind}", $"{load:F3}", $"{size / first:F1}", $"{size / again:F1}", $"{size / shares:F1}", $"{size / apart:F1}", $"{scaling:P0}"]);
            result.Bar($"{name}, {kind}: at least {LeastMegabytes:F0} MB/s in one thread, the first time", size / first >= LeastMegabytes);
            result.Bar($"{name}, {kind}: {Threads} threads do at least {LeastScaling:P0} of {Threads} times as much", scaling >= LeastScaling);
        }

        result.Bar($"{name} loads in at most {MostSecondsToLoad} s", load <= MostSecondsToLoad);
    }

    /// <summary>The same text in as many threads as there are tokenizers: mean processor time of one, and time by the clock, in seconds.</summary>
    private static (double Processor, double Clock) Together(Tokenizer[] tokenizers, string text)
    {
        double[] seconds = new double[tokenizers.Length];
        using var start = new Barrier(tokenizers.Length + 1);
        Thread[] threads = [.. tokenizers.Select((tokenizer, index) => new Thread(() =>
        {
            start.SignalAndWait();
            seconds[index] = Seconds(() => tokenizer.Encode(text));
        }))];
        foreach (var thread in threads)
            thread.Start();
        start.SignalAndWait();
        double clock = Elapsed(() =>
        {
            foreach (var thread in threads)
                thread.Join();
        });
        return (seconds.Average(), clock);
    }

    private static void Compare(Result result, string shared, (string Name, string Text)[] texts)
    {
        string vocabulary = Path.Combine(shared, "tokenizers/gpt2/encoder.json"), merges = Path.Combine(shared, "tokenizers/gpt2/vocab.bpe");
        using Stream ranks = TiktokenRanks(vocabulary);
        var tiktoken = TiktokenTokenizer.Create(ranks, new RegexPreTokenizer(new System.Text.RegularExpressions.Regex(
            @"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+", System.Text.RegularExpressions.RegexOptions.Compiled), null), null);
        using Stream vocabularyStream = File.OpenRead(vocabulary), mergesStream = File.OpenRead(merges);
        var codeGen = CodeGenTokenizer.Create(vocabularyStream, mergesStream);
        var ours = Tokenizer.LoadGpt2(vocabulary, merges);
        var rows = new List<IReadOnlyList<string>>();
        foreach (var (kind, text) in texts)
        {
            int[] expected = ours.Encode(text);
            var others = new (string Name, Func<IReadOnlyList<int>> Encode)[]
            {
                ("Perenos", () => ours.Encode(text)),
                ("TiktokenTokenizer", () => tiktoken.EncodeToIds(text)),
                ("CodeGenTokenizer", () => codeGen.EncodeToIds(text)),
            };
            double? reference = null;
            foreach (var (name, encode) in others)
            {
                bool isEqual = expected.SequenceEqual(encode());
                double rate = Megabytes(text) / Best(() => Seconds(() => encode()));
                reference ??= rate;
                rows.Add([$"{name}, {kind}", $"{rate:F1}", $"{rate / reference:F2}", isEqual ? "yes" : "no"]);
            }
        }

        result.Fact("GPT-2's vocabulary beside Microsoft.ML.Tokenizers 2.0, one thread, words known:");
        result.Table(["", "MB/s", "of ours", "the same ids"], rows);
    }

    // The form of tiktoken: bytes in base 64 and a rank, which for GPT-2 is the id.
    private static MemoryStream TiktokenRanks(string vocabularyPath)
    {
        var bytes = new byte[0x180];
        int next = 0x100;
        for (int value = 0; value < 256; value++)
            bytes[value is >= '!' and <= '~' or >= 0xA1 and <= 0xAC or >= 0xAE ? value : next++] = (byte)value;
        var lines = JsonSerializer.Deserialize<Dictionary<string, int>>(File.ReadAllBytes(vocabularyPath))!
            .Where(entry => entry.Key != "<|endoftext|>").OrderBy(entry => entry.Value)
            .Select(entry => $"{Convert.ToBase64String([.. entry.Key.Select(unit => bytes[unit])])} {entry.Value}\n");
        return new MemoryStream(Encoding.UTF8.GetBytes(string.Concat(lines)));
    }

    private static Tokenizer Open(string name, string shared) => name switch
    {
        "smollm2" => Tokenizer.Load(Path.Combine(shared, "models/smollm2-135m-instruct/tokenizer.json")),
        _ => Tokenizer.OpenFolder(Path.Combine(shared, "tokenizers", name)) ?? throw new ArgumentException($"There is no tokenizer {name}."),
    };

    // Syllables in random order, so that words look like words and no cache of them helps.
    private static string UniqueWords(int megabytes)
    {
        string[] syllables = ["ka", "ri", "ton", "bel", "us", "mir", "a", "ent", "lo", "sha", "qui", "der", "pro", "ex", "vin", "th", "our", "é", "pha", "zu"];
        var random = new Random(7);
        var text = new StringBuilder();
        while (text.Length < megabytes * 1_000_000)
        {
            int length = random.Next(3, 7);
            for (int part = 0; part < length; part++)
                text.Append(syllables[random.Next(syllables.Length)]);
            text.Append(random.Next(12) == 0 ? ".\n" : " ");
        }

        return text.ToString();
    }

    private static double Megabytes(string text) => Encoding.UTF8.GetByteCount(text) / 1e6;

    private static double Best(Func<double> measure) => Enumerable.Range(0, Rounds).Min(_ => measure());

    private static double Seconds(Action action)
    {
        double start = Machine.ThreadSeconds();
        action();
        return Machine.ThreadSeconds() - start;
    }

    private static double Elapsed(Action action)
    {
        var watch = Stopwatch.StartNew();
        action();
        return watch.Elapsed.TotalSeconds;
    }
}
