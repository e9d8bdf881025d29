using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text.Json.Nodes;
using Perenos.Checkpoints;
using Perenos.Models;
using static TorchSharp.torch;

namespace Perenos.Benchmarks;

/// <summary>Opening a model from safetensors in the type that it is stored in, against reading the same file into memory.</summary>
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
            result.Fact($"{source}, written as safetensors; the file is in the cache of the system; {runs} runs of each in turn, the medians");
            List<IReadOnlyList<string>> rows = [];
            List<(string, bool)> bars = [];
            foreach (var type in Types)
            {
                string saved = Path.Combine(folder, $"{type}");
                Save(source, saved, type);
                var (bytes, read, weights, whole) = Measure(saved, type, runs);
                rows.Add([$"{type}, {bytes >> 20} MB", Milliseconds(read), Milliseconds(weights), $"{weights / read:F2}", Milliseconds(whole), $"{whole / read:F2}"]);
                bars.Add(($"{type}: opening the weights as a model, values checked, costs at most {MostTimes} × reading the file", weights <= MostTimes * read));
                Directory.Delete(saved, recursive: true);
            }

            result.Table(["", "read ms", "weights ms", "× reading", "with tokenizer ms", "× reading"], rows);
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

    private static (long Bytes, double Read, double Weights, double Whole) Measure(string folder, ScalarType type, int runs)
    {
        string file = Path.Combine(folder, "model.safetensors"), configuration = Path.Combine(folder, "config.json");
        var config = JsonNode.Parse(File.ReadAllText(configuration))!.AsObject();
        List<double> read = [], weights = [], whole = [];
        for (int run = 0; run <= runs; run++)
        {
            double reading = Seconds(() => new FileInMemory(file));
            double loading = Seconds(() =>
            {
                using var tensors = CheckpointFolder.OpenWeights(folder);
                return ModelCatalogue.Load(config, configuration, tensors, type);
            });
            double opening = Seconds(() => Pretrained.Open(folder, type));
            if (run == 0)
                continue; // code and caches
            read.Add(reading);
            weights.Add(loading);
            whole.Add(opening);
        }

        return (new FileInfo(file).Length, Result.Median(read), Result.Median(weights), Result.Median(whole));
    }

    // Freeing is not part of opening.
    private static double Seconds(Func<IDisposable> open)
    {
        long start = Stopwatch.GetTimestamp();
        var opened = open();
        double seconds = Stopwatch.GetElapsedTime(start).TotalSeconds;
        opened.Dispose();
        return seconds;
    }

    private static string Milliseconds(double seconds) => $"{seconds * 1000:F0}";

    /// <summary>A file read into memory of its own, as any loader must; a buffer used before would spare it the page faults.</summary>
    private sealed unsafe class FileInMemory : IDisposable
    {
        private const int Chunk = 1 << 24;
        private readonly byte* _memory;

        public FileInMemory(string path)
        {
            using var file = File.OpenHandle(path);
            long length = RandomAccess.GetLength(file);
            _memory = (byte*)NativeMemory.Alloc((nuint)length);
            for (long at = 0; at < length;)
                at += RandomAccess.Read(file, new Span<byte>(_memory + at, (int)Math.Min(Chunk, length - at)), at);
        }

        public void Dispose() => NativeMemory.Free(_memory);
    }
}
