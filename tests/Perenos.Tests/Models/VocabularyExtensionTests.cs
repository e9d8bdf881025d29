using Perenos.Models;
using Perenos.Runs;
using Perenos.Text.Tokenization;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Models;

/// <summary>A model with more tokens: what it knew stays, and the new rows are the mean of the old pieces.</summary>
public sealed class VocabularyExtensionTests : IDisposable
{
    private const int Entries = 300;
    private static readonly string[] Added = ["<gene>", "wolkig", "ключ"];

    private readonly string _folder = Directory.CreateTempSubdirectory("perenos-extension-").FullName;

    // Every model without rows to spare; with too few and with enough of them, one tied and one untied.
    public static TheoryData<string, int> Models() => [.. TinyModel.Names.Select(name => (name, Entries)), ("gpt2", Entries + 2), ("llama", Entries + 8)];

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [MemberData(nameof(Models))]
    public void New_rows_are_the_mean_of_the_old_pieces_and_all_else_stays(string name, int rows)
    {
        using var before = Start(name, rows);
        var extension = new VocabularyExtension(before, Added);
        extension.Save(At("grown"));
        using var after = Pretrained.Open(At("grown"), ScalarType.Float32);

        Assert.Equal(Math.Max(rows, Entries + Added.Length), after.Model.Config.VocabularySize);
        Assert.Equal([Entries, Entries + 1, Entries + 2], after.Tokenizer.Encode("<gene>wolkigключ"));
        foreach (var (pair, hasTokens) in before.Model.Parts.Weights.Select(weight => (weight, weight.Value.shape[0] == rows)))
        {
            var saved = after.Model.Parts.Weights[pair.Key];
            if (!hasTokens)
            {
                Assert.True(pair.Value.equal(saved).all().item<bool>(), pair.Key);
                continue;
            }

            Assert.True(pair.Value.narrow(0, 0, Entries).equal(saved.narrow(0, 0, Entries)).all().item<bool>(), pair.Key);
            for (int index = 0; index < Added.Length; index++)
            {
                long[] pieces = [.. before.Tokenizer.Encode(Added[index]).Select(id => (long)id)];
                Assert.True(pieces.Length > 1);
                float[] expected = new float[pair.Value.numel() / rows];
                foreach (long piece in pieces)
                {
                    float[] row = pair.Value[piece].reshape(-1).data<float>().ToArray();
                    for (int column = 0; column < expected.Length; column++)
                        expected[column] += row[column] / pieces.Length;
                }

                float[] actual = saved[Entries + index].reshape(-1).data<float>().ToArray();
                Assert.All(expected.Zip(actual), pair => Assert.Equal(pair.First, pair.Second, tolerance: 1e-6));
            }
        }
    }

    [Fact]
    public void Tokens_that_are_there_come_twice_or_are_none_are_refused()
    {
        using var pretrained = Start("llama", Entries);
        Assert.Contains("\"a\" already", Refused("a"));
        Assert.Contains("twice", Refused("<b>", "<b>"));
        Assert.Contains("no tokens", Refused());

        string Refused(params string[] tokens) => Assert.Throws<PerenosException>(() => new VocabularyExtension(pretrained, tokens)).Message;
    }

    [Fact]
    public void A_model_opens_with_the_tokenizer_files_of_old_checkpoints_and_is_saved_with_them()
    {
        using var started = Start("gpt2", Entries);
        started.Save(At("model"));
        File.Delete(Path.Combine(At("model"), "tokenizer.json"));
        Assert.Contains("tokenizer.model", Assert.Throws<PerenosException>(() => Pretrained.Open(At("model"), ScalarType.Float32)).Message);

        // fairseq's files of BioGPT.
        File.WriteAllText(Path.Combine(At("model"), "dict.txt"), "he@@ 9\nllo 8\n");
        File.WriteAllText(Path.Combine(At("model"), "bpecodes"), "h e 9\nl l 8\nll o</w> 7\n");
        using (var old = Pretrained.Open(At("model"), ScalarType.Float32))
        {
            Assert.Equal([4, 5], old.Tokenizer.Encode("hello"));
            File.Delete(Path.Combine(At("model"), "tokenizer_config.json"));
        }

        using (var old = Pretrained.Open(At("model"), ScalarType.Float32))
            old.Save(At("hub"));
        Assert.True(File.Exists(Path.Combine(At("hub"), "merges.txt")));
        using var hub = Pretrained.Open(At("hub"), ScalarType.Float32);
        Assert.Equal([4, 5], hub.Tokenizer.Encode("hello"));
        Assert.Equal("BioGptTokenizer", hub.TokenizerConfig["tokenizer_class"]!.ToString());
    }

    private Pretrained Start(string name, int rows)
    {
        string tokenizer = At("tokenizer.json"), config = At("config.json");
        // Words of six letters, whose pairs give more merges than are wanted.
        var words = Enumerable.Range(0, 60).Select(number => string.Concat(Enumerable.Range(1, 6).Select(place => (char)('a' + number * 7 * place % 23))) + " ");
        var trained = BpeTrainer.Train([string.Concat(Enumerable.Repeat(string.Concat(words), 4))], new BpeTrainerSettings { VocabularySize = Entries, MinimumFrequency = 1 });
        Assert.Equal(Entries, trained.VocabularySize);
        trained.Save(tokenizer);
        var json = TinyModel.Config(name, rows);
        json["eos_token_id"] = 0;
        File.WriteAllText(config, json.ToJsonString());
        return Pretrained.Start(config, tokenizer, seed: 3, ScalarType.Float32);
    }

    private string At(string name) => Path.Combine(_folder, name);
}
