using CsCheck;
using Perenos.Runs;
using Perenos.Text.Data;
using Xunit;

namespace Perenos.Text.Tests.Data;

public sealed class LengthLimitTests
{
    private static Example Reply(int prompt, int completion, bool hasStart = false) =>
        new([.. Enumerable.Range(0, prompt + completion)], [.. Enumerable.Range(0, prompt + completion).Select(i => i >= prompt)], "f:1") { HasStart = hasStart };

    private static Example Text(int length) =>
        new([.. Enumerable.Range(0, length)], [.. Enumerable.Range(0, length).Select(i => i > 0)], "f:1") { IsText = true };

    [Fact]
    public void A_prompt_loses_tokens_from_its_left_and_the_completion_none()
    {
        var limit = new LengthLimit(6);
        var example = Assert.Single(limit.Apply(Reply(10, 4)));
        Assert.Equal([8, 9, 10, 11, 12, 13], example.Ids);
        Assert.Equal([false, false, true, true, true, true], example.IsLearnt);
        Assert.True(example.IsTruncated);

        Assert.Equal([0, 9, 10, 11, 12, 13], Assert.Single(limit.Apply(Reply(10, 4, hasStart: true))).Ids);
        Assert.Equal((2, 0), (limit.Truncated, limit.Dropped));
    }

    [Fact]
    public void A_completion_that_does_not_fit_is_dropped_and_counted()
    {
        var limit = new LengthLimit(6);
        Assert.Empty(limit.Apply(Reply(3, 6)));
        Assert.Single(limit.Apply(Reply(3, 5)));
        Assert.Single(limit.Apply(Reply(1, 5)));
        Assert.Equal((1, 1), (limit.Truncated, limit.Dropped));
    }

    [Fact]
    public void Of_a_conversation_the_last_reply_stays_and_a_reply_without_its_beginning_is_not_learnt()
    {
        //                                     q      a     a     a     q      b     b     newline
        var example = new Example([0, 1, 2, 3, 4, 5, 6, 7], [false, true, true, true, false, true, true, false], "f:1");
        var cut = Assert.Single(new LengthLimit(5).Apply(example));
        Assert.Equal([2, 3, 4, 5, 6], cut.Ids);
        Assert.Equal([false, false, false, true, true], cut.IsLearnt);
    }

    [Fact]
    public void Every_token_of_a_text_but_the_first_is_learnt_in_exactly_one_window()
    {
        Gen.Select(Gen.Int[1, 200], Gen.Int[2, 40]).Sample((length, maximum) =>
        {
            var windows = new LengthLimit(maximum).Apply(Text(length)).ToList();
            Assert.All(windows, window => Assert.InRange(window.Ids.Length, 1, maximum));
            Assert.All(windows, window => Assert.False(window.IsLearnt[0]));
            var learnt = windows.SelectMany(window => window.Ids.Where((_, i) => window.IsLearnt[i]));
            Assert.Equal(Enumerable.Range(1, length - 1), learnt);
        });
    }

    [Fact]
    public void Whatever_its_lengths_a_fitted_reply_ends_as_it_did()
    {
        Gen.Select(Gen.Int[1, 30], Gen.Int[1, 30], Gen.Int[2, 40], Gen.Bool).Sample((prompt, completion, maximum, hasStart) =>
        {
            foreach (var example in new LengthLimit(maximum).Apply(Reply(prompt, completion, hasStart)))
            {
                Assert.InRange(example.Ids.Length, completion + 1, maximum);
                Assert.Equal(Enumerable.Range(prompt, completion), example.Ids.Where((_, i) => example.IsLearnt[i]));
                Assert.Equal(example.Ids.Length, example.IsLearnt.Length);
                Assert.False(example.IsLearnt[0]);
            }
        });
    }

    [Fact]
    public void Prompts_for_generation_are_shortened_alike_and_limits_checked()
    {
        Assert.Equal([7, 8, 9], LengthLimit.ShortenPrompt([.. Enumerable.Range(0, 10)], 3, startId: null));
        Assert.Equal([0, 8, 9], LengthLimit.ShortenPrompt([.. Enumerable.Range(0, 10)], 3, startId: 0));
        Assert.Throws<PerenosException>(() => new LengthLimit(1));
    }
}
