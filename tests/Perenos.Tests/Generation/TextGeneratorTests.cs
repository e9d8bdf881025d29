using Perenos.Generation;
using Perenos.Runs;
using Perenos.Runs.Config;
using Xunit;
using static TorchSharp.torch;

namespace Perenos.Tests.Generation;

/// <summary>Continuing prompts: against the full forward, alone and together, to the stop token and to the model's end.</summary>
public sealed class TextGeneratorTests
{
    private static readonly int[] Lengths = [7, 1, 12, 3, 7];

    public static TheoryData<string> Names => [.. TinyModel.Names];

    [Theory]
    [MemberData(nameof(Names))]
    public void Greedy_takes_the_likeliest_token_of_a_full_forward_at_every_step(string name)
    {
        using var model = TinyModel.Start(name);
        int[] prompt = TinyModel.Tokens(5, seed: 1);
        var generated = new TextGenerator(model, new GenerationConfig { MaxNewTokens = 20 }, []).Stream(prompt).ToArray();
        Assert.Equal(20, generated.Length);
        int[] text = [.. prompt, .. generated];
        for (int count = prompt.Length; count < text.Length; count++)
        {
            using var quiet = no_grad();
            using var scope = NewDisposeScope();
            var tokens = tensor(text[..count].Select(id => (long)id).ToArray(), [1, count]);
            var last = model.Logits(model.Hidden(tokens))[0, count - 1];
            Assert.Equal(last.argmax().item<long>(), text[count]);
        }
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Prompts_of_different_lengths_are_continued_together_as_one_by_one(string name)
    {
        using var model = TinyModel.Start(name);
        var generator = new TextGenerator(model, new GenerationConfig { MaxNewTokens = 15 }, [4]);
        var prompts = Prompts();
        var together = generator.Generate(prompts, cancellation: TestContext.Current.CancellationToken);
        Assert.Equal(prompts.Select(prompt => generator.Stream(prompt).ToArray()), together);
    }

    [Theory]
    [MemberData(nameof(Names))]
    public void Each_row_goes_on_to_the_models_end_whatever_its_neighbours_length(string name)
    {
        using var model = TinyModel.Start(name);
        var generator = new TextGenerator(model, new GenerationConfig { MaxNewTokens = 1000 }, []);
        int[][] prompts = [TinyModel.Tokens(TinyModel.MaximumLength - 1, seed: 1), TinyModel.Tokens(40, seed: 2), TinyModel.Tokens(2, seed: 3)];
        var together = generator.Generate(prompts, cancellation: TestContext.Current.CancellationToken);
        Assert.Equal([1, 8, 46], together.Select(text => text.Length));
        Assert.Equal(prompts.Select(prompt => generator.Stream(prompt).ToArray()), together);
    }

    [Fact]
    public void A_stop_token_ends_its_row_is_left_out_and_stops_no_other()
    {
        using var model = TinyModel.Start("llama");
        var settings = new GenerationConfig { MaxNewTokens = 15 };
        var prompts = Prompts();
        var endless = new TextGenerator(model, settings, []).Generate(prompts, cancellation: TestContext.Current.CancellationToken);
        int stop = endless[0][4];
        int other = endless[2][0];
        var stopped = new TextGenerator(model, settings, [stop, other]).Generate(prompts, cancellation: TestContext.Current.CancellationToken);
        Assert.Empty(stopped[2]);
        Assert.Equal(endless.Select(text => text.TakeWhile(token => token != stop && token != other)), stopped);
        Assert.True(stopped.Select(text => text.Length).Distinct().Count() > 1, "rows must end at different steps");
        Assert.Equal(stopped[0], new TextGenerator(model, settings, [stop, other]).Stream(prompts[0]));
    }

    [Fact]
    public void What_is_sampled_depends_on_seed_and_place_and_not_on_the_neighbours()
    {
        using var model = TinyModel.Start("gpt2");
        var settings = new GenerationConfig { MaxNewTokens = 12, Temperature = 1, Seed = 5 };
        var prompts = Prompts();
        IReadOnlyList<int[]> Sampled(IReadOnlyList<int[]> given, ulong seed = 5) =>
            new TextGenerator(model, settings with { Seed = seed }, []).Generate(given, cancellation: TestContext.Current.CancellationToken);

        var first = Sampled(prompts);
        Assert.Equal(first, Sampled(prompts));
        Assert.NotEqual(first, Sampled(prompts, seed: 6));
        // Other neighbours, longer and shorter: the first and the last prompt keep their places and their texts.
        var others = Sampled([prompts[0], TinyModel.Tokens(20, seed: 9), TinyModel.Tokens(1, seed: 9), TinyModel.Tokens(2, seed: 9), prompts[4]]);
        Assert.Equal(first[0], others[0]);
        Assert.Equal(first[4], others[4]);
        Assert.Equal(first[0], new TextGenerator(model, settings, []).Stream(prompts[0]));
    }

    [Fact]
    public void The_same_prompt_many_times_gives_many_samples()
    {
        using var model = TinyModel.Start("llama");
        // More than fit one batch: the same chance must not come back in the next.
        var prompts = Enumerable.Repeat(TinyModel.Tokens(3, seed: 1), 70).ToList();
        var settings = new GenerationConfig { MaxNewTokens = 12, Temperature = 2, Seed = 5 };
        List<int> finished = [];
        var texts = new TextGenerator(model, settings, []).Generate(prompts, finished.Add, TestContext.Current.CancellationToken);
        Assert.Equal(70, texts.Select(text => string.Join(' ', text)).Distinct().Count());
        Assert.Equal(70, finished[^1]);
        Assert.True(finished.Count > 1);
    }

    [Fact]
    public void An_empty_or_overlong_prompt_is_refused_and_cancelling_is_obeyed()
    {
        using var model = TinyModel.Start("llama");
        var generator = new TextGenerator(model, new GenerationConfig(), []);
        Assert.Throws<PerenosException>(() => generator.Generate([[1], []], cancellation: TestContext.Current.CancellationToken));
        var problem = Assert.Throws<PerenosException>(() => generator.Stream(TinyModel.Tokens(TinyModel.MaximumLength, seed: 1)).First());
        Assert.Contains($"{TinyModel.MaximumLength}", problem.Message, StringComparison.Ordinal);
        Assert.Throws<OperationCanceledException>(() => generator.Generate([[1]], cancellation: new CancellationToken(canceled: true)));
    }

    private static int[][] Prompts() => [.. Lengths.Select((length, row) => TinyModel.Tokens(length, seed: (ulong)row + 20))];
}
