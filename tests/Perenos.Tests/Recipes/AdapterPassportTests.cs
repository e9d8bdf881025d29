using System.Text.Json.Nodes;
using Perenos.Models;
using Perenos.Recipes;
using Perenos.Runs;
using Perenos.Runs.Config;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Recipes;

/// <summary>The passport beside an adapter: written by a run, verified on opening, refused by name where something differs.</summary>
public sealed class AdapterPassportTests : IDisposable
{
    private readonly TinyProject _project = new();
    private readonly string _folder;

    public AdapterPassportTests()
    {
        var full = _project.Config(new FullConfig());
        _project.Run(full with { Training = full.Training with { MaximumSteps = 2 } }, "first");
        _project.Run(full with { Start = new PretrainedStart { Model = Base }, Method = FineTuneTests.MethodOf("lora") }, "run");
        _folder = _project.Open("run").Adapter;
    }

    private string Base => _project.Open("first").Model;

    public void Dispose() => _project.Dispose();

    [Fact]
    public void An_adapter_on_its_own_base_is_verified_in_either_type()
    {
        foreach (var type in new[] { ScalarType.Float32, ScalarType.BFloat16 })
        {
            using var pretrained = Pretrained.Open(Base, type);
            var opened = OpenedAdapter.Open(_folder, pretrained);
            using var adapter = opened.Adapter;
            Assert.Empty(opened.Unverified);
        }

        var passport = ConfigFile.Read<AdapterPassport>(Path.Combine(_folder, AdapterPassport.FileName));
        Assert.Equal(8, passport.Probes.Count);
        Assert.All(passport.Probes, probe => Assert.Equal(5, probe.Ids.Count));
    }

    [Fact]
    public void Without_a_passport_the_caller_learns_what_was_not_verified()
    {
        File.Delete(Path.Combine(_folder, AdapterPassport.FileName));
        using var pretrained = Pretrained.Open(Base, ScalarType.Float32);
        var opened = OpenedAdapter.Open(_folder, pretrained);
        using var adapter = opened.Adapter;
        Assert.Equal(4, opened.Unverified.Count);
    }

    [Fact]
    public void Another_base_of_the_same_shape_is_refused()
    {
        using var pretrained = Pretrained.Open(Base, ScalarType.Float32);
        using (no_grad())
            pretrained.Model.Embedding.Weight.mul_(tensor(1.5f));
        Assert.Contains("other weights", Refused(pretrained), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("tokenizer_hash", "tokenizer")]
    [InlineData("template_hash", "template")]
    public void What_differs_is_named(string key, string word)
    {
        Change(passport => passport[key] = "sha256:00");
        using var pretrained = Pretrained.Open(Base, ScalarType.Float32);
        Assert.Contains(word, Refused(pretrained), StringComparison.Ordinal);
    }

    [Fact]
    public void Other_answers_than_when_it_was_saved_are_refused_with_the_difference()
    {
        Change(passport => passport["probes"]![2]!["logits"]![1] = passport["probes"]![2]!["logits"]![1]!.GetValue<double>() + 1);
        using var pretrained = Pretrained.Open(Base, ScalarType.Float32);
        Assert.Contains("differs by 1", Refused(pretrained), StringComparison.Ordinal);
    }

    [Fact]
    public void A_passport_with_token_numbers_out_of_range_is_refused()
    {
        Change(passport => passport["probes"]![0]!["ids"]![0] = 1 << 30);
        using var pretrained = Pretrained.Open(Base, ScalarType.Float32);
        Assert.Contains("answers", Refused(pretrained), StringComparison.Ordinal);
    }

    private string Refused(Pretrained pretrained)
    {
        var problem = Assert.Throws<PerenosException>(() => OpenedAdapter.Open(_folder, pretrained));
        Assert.Contains(AdapterPassport.FileName, problem.Hint, StringComparison.Ordinal);
        Assert.All(pretrained.Model.Parts.Projections, projection => Assert.False(projection.IsAdapted));
        return problem.Message;
    }

    private void Change(Action<JsonNode> change)
    {
        string path = Path.Combine(_folder, AdapterPassport.FileName);
        var passport = JsonNode.Parse(File.ReadAllText(path))!;
        change(passport);
        File.WriteAllText(path, passport.ToJsonString());
    }
}
