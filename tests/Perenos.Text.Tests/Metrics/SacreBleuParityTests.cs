using Perenos.Text.Metrics;
using Xunit;

namespace Perenos.Text.Tests.Metrics;

public sealed class SacreBleuParityTests
{
    [Fact]
    public void Corpus_bleu_has_the_reference_score_parts_text_and_signature()
    {
        var wrong = new List<string>();
        foreach (var (name, row) in MetricFixtures.Rows("sacrebleu_corpus.jsonl", "BLEU"))
        {
            var (hypotheses, references) = MetricFixtures.Texts(row);
            var bleu = new Bleu(MetricFixtures.BleuOptions(row.GetProperty("options")));
            var statistics = bleu.Measure(hypotheses, references);
            var score = bleu.ScoreOf(statistics.Sums());
            double[] expected =
            [
                row.GetProperty("score").GetDouble(), row.GetProperty("bp").GetDouble(), row.GetProperty("sys_len").GetDouble(),
                row.GetProperty("ref_len").GetDouble(), .. MetricFixtures.Doubles(row.GetProperty("precisions")),
                .. MetricFixtures.Doubles(row.GetProperty("counts")), .. MetricFixtures.Doubles(row.GetProperty("totals")),
            ];
            double[] actual =
            [
                score.Score, score.BrevityPenalty, score.HypothesisLength, score.ReferenceLength,
                .. score.Precisions, .. score.Counts, .. score.Totals,
            ];
            bool isSame = expected.Length == actual.Length && expected.Zip(actual, MetricFixtures.IsClose).All(close => close)
                && score.ToString() == MetricFixtures.Text(row, "text")
                && MetricFixtures.WithoutVersion(statistics.Signature)
                    == MetricFixtures.WithoutVersion(MetricFixtures.Text(row, "signature"));
            if (!isSame)
                wrong.Add($"{name}: {MetricFixtures.Text(row, "text")} but {score}");
        }

        Assert.True(wrong.Count == 0, $"{wrong.Count} rows differ:\n{string.Join('\n', wrong.Take(10))}");
    }

    [Fact]
    public void Sentence_bleu_has_the_reference_scores()
    {
        var wrong = new List<string>();
        foreach (var (name, row) in MetricFixtures.Rows("sacrebleu_sentence.jsonl", "BLEU"))
        {
            var (hypotheses, references) = MetricFixtures.Texts(row);
            var bleu = new Bleu(MetricFixtures.BleuOptions(row.GetProperty("options")));
            double[] scores = MetricFixtures.Doubles(row.GetProperty("scores"));
            Assert.Equal(scores.Length, hypotheses.Length);
            for (int segment = 0; segment < scores.Length; segment++)
            {
                double score = bleu.Sentence(hypotheses[segment], references[segment]).Score;
                if (!MetricFixtures.IsClose(scores[segment], score))
                    wrong.Add($"{name} segment {segment}: {scores[segment]} but {score}");
            }
        }

        Assert.True(wrong.Count == 0, $"{wrong.Count} sentences differ:\n{string.Join('\n', wrong.Take(10))}");
    }

    [Fact]
    public void Corpus_chrf_has_the_reference_score_text_and_signature()
    {
        var wrong = new List<string>();
        foreach (var (name, row) in MetricFixtures.Rows("sacrebleu_corpus.jsonl", "chrF"))
        {
            var (hypotheses, references) = MetricFixtures.Texts(row);
            var chrF = new ChrF(MetricFixtures.ChrFOptions(row.GetProperty("options")));
            var statistics = chrF.Measure(hypotheses, references);
            bool isSame = MetricFixtures.IsClose(row.GetProperty("score").GetDouble(), statistics.Score)
                && $"{chrF.Name} = {MetricText.Fixed(statistics.Score, 2)}" == MetricFixtures.Text(row, "text")
                && MetricFixtures.WithoutVersion(statistics.Signature)
                    == MetricFixtures.WithoutVersion(MetricFixtures.Text(row, "signature"));
            if (!isSame)
                wrong.Add($"{name}: {row.GetProperty("score").GetDouble()} but {statistics.Score} {statistics.Signature}");
        }

        Assert.True(wrong.Count == 0, $"{wrong.Count} rows differ:\n{string.Join('\n', wrong.Take(10))}");
    }

    [Fact]
    public void Sentence_chrf_has_the_reference_scores()
    {
        var wrong = new List<string>();
        foreach (var (name, row) in MetricFixtures.Rows("sacrebleu_sentence.jsonl", "chrF"))
        {
            var (hypotheses, references) = MetricFixtures.Texts(row);
            var chrF = new ChrF(MetricFixtures.ChrFOptions(row.GetProperty("options")));
            double[] scores = MetricFixtures.Doubles(row.GetProperty("scores"));
            Assert.Equal(scores.Length, hypotheses.Length);
            for (int segment = 0; segment < scores.Length; segment++)
            {
                double score = chrF.Sentence(hypotheses[segment], references[segment]);
                if (!MetricFixtures.IsClose(scores[segment], score))
                    wrong.Add($"{name} segment {segment}: {scores[segment]} but {score}");
            }
        }

        Assert.True(wrong.Count == 0, $"{wrong.Count} sentences differ:\n{string.Join('\n', wrong.Take(10))}");
    }

    [Fact]
    public void Every_tokenizer_cuts_every_line_as_the_reference_does()
    {
        var wrong = new List<string>();
        foreach (var row in MetricFixtures.All("tokenization.jsonl"))
        {
            string line = MetricFixtures.Text(row, "line");
            void Check(string name, List<string> tokens)
            {
                var expected = row.GetProperty(name).EnumerateArray().Select(token => token.GetString()!);
                if (!expected.SequenceEqual(tokens))
                    wrong.Add($"{name} of '{line}': {string.Join('␣', expected)} but {string.Join('␣', tokens)}");
            }

            foreach (var tokenization in Enum.GetValues<BleuTokenization>())
                Check(BleuTokenizer.NameOf(tokenization), BleuTokenizer.Tokenize(line, tokenization));
            Check("chrf_words", ChrF.Words(line));
            if (MetricFixtures.Text(row, "lower") != MetricText.Lower(line))
                wrong.Add($"lower of '{line}': {MetricText.Lower(line)}");
        }

        Assert.True(wrong.Count == 0, $"{wrong.Count} differ:\n{string.Join('\n', wrong.Take(10))}");
    }

    [Fact]
    public void Rows_of_metrics_that_are_not_built_are_named()
    {
        string[] built = ["BLEU", "chrF"];
        var left = MetricFixtures.All("sacrebleu_corpus.jsonl").Select(row => MetricFixtures.Text(row, "metric"))
            .Where(metric => !built.Contains(metric)).GroupBy(metric => metric).Select(group => $"{group.Key} ({group.Count()} rows)").ToList();
        Assert.SkipWhen(left.Count > 0, $"not built: {string.Join(", ", left)}");
    }
}
