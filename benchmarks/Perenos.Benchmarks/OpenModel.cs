using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using Perenos.Checkpoints;
using Perenos.Models;
using static TorchSharp.torch;

namespace Perenos.Benchmarks;

/// <summary>
/// Opening a model from safetensors in the type that it is stored in, against reading the same file into memory taken for it, as whoever keeps
/// what he read must. Reading into memory that was used before is beside it: what the pages themselves cost is the difference.
/// </summary>
internal static class OpenModel
{
    private const double MostTimes = 1.2;
    private static readonly ScalarType[] Types = [ScalarType.BFloat16, ScalarType.Float32];

    internal static int Run(Options options)
    {
        string source = options.Text("model", "../shared/models/smollm2-135m-instruct");
        int runs = options.Number("runs", 9);
        string folder = Directory.CreateTempSubdirectory("perenos-open-model-").FullName;
        try
        {
            var result = new Result("open-model");
            result.Fact($"{source}, written as safetensors; the file is in the cache of the system; {runs} runs of each in turn; milliseconds by the clock and, behind a stroke, of processor time, each the least");
            List<IReadOnlyList<string>> rows = [];
            List<(string, bool)> bars = [];
            foreach (var type in Types)
            {
                string saved = Path.Combine(folder, $"{type}");
                Save(source, saved, type);
                var (bytes, read, again, weights, whole) = Measure(saved, type, runs);
                rows.Add([$"{type}, {bytes >> 20} MB", $"{read}", $"{again}", $"{weights}", Times(weights, read), Times(weights, again), $"{whole}", Times(whole, again)]);
                bars.Add(($"{type}: opening the weights as a model, values checked, costs at most {MostTimes} × reading the file", weights.Clock <= MostTimes * read.Clock));
                Directory.Delete(saved, recursive: true);
            }

            result.Table(["", "read", "read again", "weights", "× read", "× again", "with tokenizer", "× again"], rows);
            foreach (var (statement, isMet) in bars)
                result.Bar(statement, isMet);
            return result.Finish(options);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    /// <summary>The model with its weights in that type, as Perenos writes it.</summary>
    private static void Save(string source, string folder, ScalarType type)
    {
        using var pretrained = Pretrained.Open(source, type);
        pretrained.Save(folder);
        using (NewDisposeScope())
        {
            SafetensorsWriter.Write(Path.Combine(folder, "model.safetensors"), pretrained.Model.Parts.Weights.Select(weight => (weight.Key, weight.Value.detach())));
        }
    }

    private static (long Bytes, Cost Read, Cost Again, Cost Weights, Cost Whole) Measure(string folder, ScalarType type, int runs)
    {
        string file = Path.Combine(folder, "model.safetensors"), configuration = Path.Combine(folder, "config.json");
        var config = JsonNode.Parse(File.ReadAllText(configuration))!.AsObject();
        List<Cost> read = [], again = [], weights = [], whole = [];
        for (int run = 0; run <= runs; run++) // the first for code and caches
        {
            FileInMemory? memory = null;
            read.Add(Cost.Of(() => memory = new FileInMemory(file)));
            again.Add(Cost.Of(memory!.Read));
            memory.Dispose();
            IDisposable? opened = null;
            weights.Add(Cost.Of(() =>
            {
                using var tensors = CheckpointFolder.OpenWeights(folder);
                opened = ModelCatalogue.Load(config, configuration, tensors, type);
            }));
            opened!.Dispose();
            whole.Add(Cost.Of(() => opened = Pretrained.Open(folder, type)));
            opened.Dispose();
        }

        return (new FileInfo(file).Length, Cost.Least(read), Cost.Least(again), Cost.Least(weights), Cost.Least(whole));
    }

    private static string Times(Cost cost, Cost other) => $"{cost.Clock / other.Clock:F2} / {cost.Processor / other.Processor:F2}";

    /// <summary>Seconds by the clock, and of processor time over all threads.</summary>
    private readonly record struct Cost(double Clock, double Processor)
    {
        public static Cost Of(Action action)
        {
            var processor = Environment.CpuUsage.TotalTime;
            var watch = Stopwatch.StartNew();
            action();
            return new Cost(watch.Elapsed.TotalSeconds, (Environment.CpuUsage.TotalTime - processor).TotalSeconds);
        }

        public static Cost Least(List<Cost> costs) => new(costs.Min(cost => cost.Clock), costs.Min(cost => cost.Processor));

        public override string ToString() => $"{Clock * 1000:F0} / {Processor * 1000:F0}";
    }

    /// <summary>A file read into memory of its own.</summary>
    private sealed unsafe class FileInMemory : IDisposable
    {
        private const int Chunk = 1 << 24;
        private readonly string _path;
        private readonly long _length;
        private readonly byte* _memory;

        public FileInMemory(string path)
        {
            (_path, _length) = (path, new FileInfo(path).Length);
            _memory = (byte*)NativeMemory.Alloc((nuint)_length);
            Read();
        }

        /// <summary>Once more, into the same memory: no page of it is touched for the first time.</summary>
        public void Read()
        {
            using var file = File.OpenHandle(_path);
            for (long at = 0; at < _length;)
                at += RandomAccess.Read(file, new Span<byte>(_memory + at, (int)Math.Min(Chunk, _length - at)), at);
        }

        public void Dispose() => NativeMemory.Free(_memory);
    }
}
