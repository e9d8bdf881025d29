using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using Perenos.Adapters;
using Perenos.Checkpoints;
using Perenos.Layers;
using Perenos.Models;
using Perenos.Runs;
using Perenos.Text.Tokenization;
using TorchSharp;
using static TorchSharp.torch;

namespace Perenos.Recipes;

/// <summary>What a model answered to one probe.</summary>
/// <param name="Prompt">The text.</param>
/// <param name="Ids">The five likeliest next tokens.</param>
/// <param name="Logits">Their logits, largest first.</param>
public sealed record PassportProbe(string Prompt, IReadOnlyList<int> Ids, IReadOnlyList<double> Logits);

/// <summary>
/// What an adapter belongs to and what it does, written beside it: hashes of base, tokenizer and template, and what the adapted model
/// answers to eight prompts. Opening an adapter compares all of it; names and shapes alone would let a wrong base pass.
/// </summary>
public sealed record AdapterPassport
{
    /// <summary>Name of the file in the adapter's folder.</summary>
    public const string FileName = "perenos_passport.json";

    private const int Top = 5;

    // Of each tensor so many numbers, evenly spread: seconds for the largest model, and a further training changes nearly all of them.
    private const int SampledNumbers = 4096;

    // Of the largest logit: what other processors and thread counts change in float32, and what rounding to bfloat16 costs.
    private const double FloatTolerance = 1e-3;
    private const double NarrowTolerance = 0.04;

    private static readonly string[] Prompts =
    [
        "The", "Once upon a time, there was a", "Sunny this morning with a few clouds in the", "def add(a, b):\n    return",
        "La capitale de la France est", "1, 2, 3, 4,", "{\"name\": \"Ada\", \"year\":", "Question: What is water made of?\nAnswer:",
    ];

    /// <summary>Version of this form.</summary>
    public required int Format { get; init; }

    /// <summary>SHA-256 over names, shapes and up to 4,096 evenly spread numbers of each weight of the base, rounded to bfloat16; the same for every file form and type that holds these numbers.</summary>
    public required string BaseHash { get; init; }

    /// <summary>SHA-256 over the tokens in order and the probes' token numbers.</summary>
    public required string TokenizerHash { get; init; }

    /// <summary>SHA-256 of the chat template; none where there is none.</summary>
    public required string? TemplateHash { get; init; }

    /// <summary>What the base's vocabulary was extended by; none where it is its own.</summary>
    public AddedVocabulary? AddedVocabulary { get; init; }

    /// <summary>Type in which the probes were computed.</summary>
    public required string Dtype { get; init; }

    /// <summary>What was trained, by name.</summary>
    public required IReadOnlyList<string> Trained { get; init; }

    /// <summary>The eight probes.</summary>
    public required IReadOnlyList<PassportProbe> Probes { get; init; }

    /// <summary>The passport of an attached adapter.</summary>
    public static AdapterPassport Of(Pretrained pretrained, Adapter adapter) =>
        Identify(pretrained, adapter) with { Probes = [.. Prompts.Select(prompt => Probe(pretrained, prompt))] };

    private static AdapterPassport Identify(Pretrained pretrained, Adapter adapter) => new()
    {
        Format = 1,
        BaseHash = HashOfBase(pretrained.Model.Parts, adapter),
        TokenizerHash = HashOf(pretrained.Tokenizer),
        TemplateHash = HashOfTemplate(pretrained),
        AddedVocabulary = pretrained.AddedVocabulary,
        Dtype = NameOf(pretrained.Model.ComputeType),
        Trained = [.. adapter.Saved.Select(saved => saved.Name).Order(StringComparer.Ordinal)],
        Probes = [],
    };

    /// <summary>Of all that tokens of records depend on: tokenizer, template and stop tokens.</summary>
    internal static string HashOfRendering(Pretrained pretrained, string template) =>
        Fingerprint.OfTexts([HashOf(pretrained.Tokenizer), HashOfTemplate(pretrained) ?? "", string.Join(' ', pretrained.StopTokens), template]);

    private static string? HashOfTemplate(Pretrained pretrained) => pretrained.ChatTemplate is { } template ? Hex(SHA256.HashData(Encoding.UTF8.GetBytes(template))) : null;

    /// <summary>Writes the passport beside the adapter.</summary>
    public void Write(string folder) => ConfigFile.Write(Path.Combine(folder, FileName), this);

    /// <summary>Refuses a base without the tokens that the adapter's own was extended by; its rows would not even have a place.</summary>
    /// <exception cref="PerenosException">The passport in the folder names such tokens.</exception>
    internal static void DemandVocabulary(string folder, Pretrained pretrained)
    {
        string path = Path.Combine(folder, FileName);
        if (File.Exists(path) && ConfigFile.Read<AdapterPassport>(path).AddedVocabulary is { } added && !added.IsIn(pretrained.Tokenizer))
        {
            throw new PerenosException(
                $"{folder} was trained on a base whose vocabulary was extended by {added.Tokens.Count:N0} tokens; {pretrained.Location} does not have them.",
                $"Use that base, or make it again: {added.Command(pretrained.Location)}");
        }
    }

    /// <summary>Compares the passport in a folder with an opened adapter.</summary>
    /// <returns>What could not be verified, in words; nothing where all was.</returns>
    /// <exception cref="PerenosException">Base, tokenizer, template, trained names or answers differ.</exception>
    public static IReadOnlyList<string> Verify(string folder, Pretrained pretrained, Adapter adapter)
    {
        string path = Path.Combine(folder, FileName);
        if (!File.Exists(path))
            return ["the base's weights (names and shapes fit)", "the tokenizer", "the chat template", "the answers of the adapted model"];
        var passport = ConfigFile.Read<AdapterPassport>(path);
        if (passport.Format != 1)
            throw new PerenosException($"{path} is of the form {passport.Format}, which this version does not know.", "Open the adapter with the version that wrote it.");
        var here = Identify(pretrained, adapter);
        void Demand(bool isSame, string what, string hint)
        {
            if (!isSame)
                throw new PerenosException($"{path}: {what}.", $"{hint} To open it all the same, unverified, remove {FileName}.");
        }

        Demand(passport.BaseHash == here.BaseHash, $"the adapter was trained on other weights than those of {pretrained.Location}", "Use the base that it was trained on.");
        Demand(passport.TokenizerHash == here.TokenizerHash, $"the adapter was trained with another tokenizer than that of {pretrained.Location}", "Use the tokenizer that came with the base.");
        Demand(passport.TemplateHash == here.TemplateHash, $"the adapter was trained with another chat template than that of {pretrained.Location}", "Use the template that came with the base.");
        var differing = passport.Trained.Except(here.Trained).Concat(here.Trained.Except(passport.Trained)).ToList();
        Demand(differing.Count == 0, $"the adapter's tensors are not those of the passport: {string.Join(", ", differing.Take(4))}", "Copy the adapter's folder again.");
        double share = passport.Dtype == "float32" && here.Dtype == "float32" ? FloatTolerance : NarrowTolerance;
        foreach (var probe in passport.Probes)
        {
            double[] logits = LogitsOf(pretrained, probe.Prompt, probe.Ids);
            double worst = probe.Logits.Zip(logits, (there, now) => Math.Abs(there - now)).DefaultIfEmpty(0).Max();
            double allowed = share * Math.Max(1, probe.Logits.Select(Math.Abs).DefaultIfEmpty(0).Max());
            Demand(worst <= allowed, $"the adapted model answers \"{probe.Prompt}\" otherwise than when it was saved: a logit differs by {worst:G3}, allowed {allowed:G3}", "The adapter's files do not belong together; copy the folder again.");
        }

        return [];
    }

    private static PassportProbe Probe(Pretrained pretrained, string prompt)
    {
        using var scope = NewDisposeScope();
        var (values, ids) = Next(pretrained, prompt).topk((int)Math.Min(Top, pretrained.Model.Config.VocabularySize));
        return new PassportProbe(prompt, [.. ids.data<long>().Select(id => (int)id)], [.. values.data<float>().Select(value => (double)value)]);
    }

    private static double[] LogitsOf(Pretrained pretrained, string prompt, IReadOnlyList<int> ids)
    {
        using var scope = NewDisposeScope();
        long vocabulary = pretrained.Model.Config.VocabularySize;
        if (ids.Any(id => id < 0 || id >= vocabulary))
            return [.. ids.Select(_ => double.NaN)];
        var chosen = Next(pretrained, prompt).index_select(0, tensor(ids.Select(id => (long)id).ToArray()));
        return [.. chosen.data<float>().Select(value => (double)value)];
    }

    // Logits (V) behind a prompt, float32 on the CPU, in the caller's scope.
    private static Tensor Next(Pretrained pretrained, string prompt)
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        var model = pretrained.Model;
        long[] ids = [.. Ids(pretrained.Tokenizer, prompt).Take((int)model.MaximumLength).Select(id => (long)id)];
        var hidden = model.Hidden(tensor(ids, [1, ids.Length], device: model.Device));
        return model.Logits(hidden.select(1, ids.Length - 1)).squeeze(0).to(ScalarType.Float32).cpu().contiguous().MoveToOuterDisposeScope();
    }

    // A tokenizer may have no token for a prompt; the first of its vocabulary then stands in.
    private static int[] Ids(Tokenizer tokenizer, string prompt) => tokenizer.Encode(prompt) is { Length: > 0 } ids ? ids : [0];

    // Without the adapter: some of its pieces stand in the base's own tensors.
    private static string HashOfBase(ModelParts parts, Adapter adapter)
    {
        adapter.Detach();
        try
        {
            using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            foreach (var (name, weight) in parts.Weights.OrderBy(weight => weight.Key, StringComparer.Ordinal))
            {
                hash.AppendData(Encoding.UTF8.GetBytes($"{name} [{string.Join(", ", weight.shape)}]\n"));
                hash.AppendData(SampleOf(weight));
            }

            return Hex(hash.GetHashAndReset());
        }
        finally
        {
            adapter.Attach();
        }
    }

    private static byte[] SampleOf(Tensor weight)
    {
        using var quiet = no_grad();
        using var scope = NewDisposeScope();
        long count = weight.numel(), taken = Math.Min(count, SampledNumbers);
        long[] places = [.. Enumerable.Range(0, (int)taken).Select(place => taken == 1 ? 0 : (long)((UInt128)place * (UInt128)(count - 1) / (UInt128)(taken - 1)))];
        // bfloat16: the numbers are the same whether the base was opened in float32 or in bfloat16.
        var numbers = weight.flatten().index_select(0, tensor(places, device: weight.device)).to(ScalarType.BFloat16).to(ScalarType.Float32).cpu();
        var bytes = new byte[2 * taken];
        var values = numbers.data<float>().ToArray();
        for (int place = 0; place < values.Length; place++)
            BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(2 * place), (ushort)(BitConverter.SingleToUInt32Bits(values[place]) >> 16));
        return bytes;
    }

    private static string HashOf(Tokenizer tokenizer)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        for (int id = 0; id < tokenizer.VocabularySize; id++)
            hash.AppendData(Encoding.UTF8.GetBytes($"{tokenizer.TokenOf(id)}\0"));
        foreach (string prompt in Prompts)
            hash.AppendData(Encoding.UTF8.GetBytes(string.Join(" ", tokenizer.Encode(prompt)) + "\n"));
        return Hex(hash.GetHashAndReset());
    }

    private static string Hex(byte[] hash) => $"sha256:{Convert.ToHexStringLower(hash)}";

    private static string NameOf(torch.ScalarType type) => type == torch.ScalarType.Float32 ? "float32" : type == torch.ScalarType.BFloat16 ? "bfloat16" : type.ToString();
}
