using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using CsCheck;
using Xunit;

namespace Perenos.Runs.Tests;

public sealed class ConfigFileTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public enum Speed
    {
        Slow,
        VeryFast,
    }

    [JsonPolymorphic(TypeDiscriminatorPropertyName = "kind")]
    [JsonDerivedType(typeof(Full), "full")]
    [JsonDerivedType(typeof(LowRank), "low_rank")]
    public abstract record Method;

    public sealed record Full : Method;

    public sealed record LowRank : Method
    {
        public int Rank { get; init; } = 8;

        public IReadOnlyList<string> Targets { get; init; } = ["q_proj", "v_proj"];

        public double Scale => 16.0 / Rank;
    }

    public sealed record Source(string Path, double Weight = 1);

    public sealed record Recipe
    {
        public required string Model { get; init; }

        public double LearningRate { get; init; } = 1e-3;

        public long? MaxSteps { get; init; }

        public bool Shuffle { get; init; } = true;

        public Speed Speed { get; init; } = Speed.Slow;

        public Method Method { get; init; } = new Full();

        public IReadOnlyList<Source> Data { get; init; } = [];

        public IReadOnlyDictionary<string, double> Weights { get; init; } = new Dictionary<string, double>();
    }

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Yaml_and_json_of_the_same_recipe_read_equal()
    {
        string yaml = _folder.File("recipe.yaml", """
            # a comment
            model: "smollm2"
            learning_rate: 3e-4
            max_steps: 100
            speed: very_fast
            method:
              rank: 16
              targets: [all-linear]
              kind: low_rank      # not the first key
            data:
              - path: a.jsonl
              - {path: b.jsonl, weight: .5}
            weights: {a: 1, b: 2.5}
            """);
        string json = _folder.File("recipe.json", """
            {"model": "smollm2", "learning_rate": 0.0003, "max_steps": 100, "speed": "very_fast",
             "method": {"rank": 16, "targets": ["all-linear"], "kind": "low_rank"},
             "data": [{"path": "a.jsonl"}, {"path": "b.jsonl", "weight": 0.5}], "weights": {"a": 1, "b": 2.5}}
            """);

        var recipe = ConfigFile.Read<Recipe>(yaml);

        Assert.Equal(3e-4, recipe.LearningRate);
        Assert.Equal(Speed.VeryFast, recipe.Speed);
        Assert.Equal(16, Assert.IsType<LowRank>(recipe.Method).Rank);
        Assert.Equal([new Source("a.jsonl"), new Source("b.jsonl", 0.5)], recipe.Data);
        Assert.Equal(ConfigFile.ToTree(ConfigFile.Read<Recipe>(json)).ToJsonString(), ConfigFile.ToTree(recipe).ToJsonString());
    }

    [Fact]
    public void What_is_written_reads_back_and_holds_every_default_but_no_computed_value()
    {
        string path = _folder["config.json"];
        var recipe = new Recipe { Model = "météo", Method = new LowRank() };
        ConfigFile.Write(path, recipe);
        string text = File.ReadAllText(path);

        Assert.Equal(text, Rewritten(path));
        Assert.Contains("\"learning_rate\": 0.001", text, StringComparison.Ordinal);
        Assert.Contains("\"kind\": \"low_rank\"", text, StringComparison.Ordinal);
        Assert.Contains("météo", text, StringComparison.Ordinal);
        Assert.DoesNotContain("scale", text, StringComparison.Ordinal);
    }

    private string Rewritten(string path)
    {
        string second = _folder["again.json"];
        ConfigFile.Write(second, ConfigFile.Read<Recipe>(path));
        return File.ReadAllText(second);
    }

    [Theory]
    // A misspelt key, with the nearest one.
    [InlineData("model: m\nlerning_rate: 1", "bad.yaml, line 2: unknown key \"lerning_rate\".", "Did you mean \"learning_rate\"?")]
    [InlineData("model: m\nmethod:\n  kind: low_rank\n  rnak: 4", "bad.yaml, line 4: unknown key \"method.rnak\".", "Did you mean \"rank\"? Known here: kind, rank, targets.")]
    [InlineData("model: m\ndata:\n- path: a\n- path: b\n  wieght: 2", "bad.yaml, line 5: unknown key \"data[1].wieght\".", "Did you mean \"weight\"?")]
    [InlineData("model: m\nmethod: {kind: low_rank, scale: 3}", "bad.yaml, line 2: unknown key \"method.scale\".", "Known here: kind, rank, targets.")]
    // Choices.
    [InlineData("model: m\nmethod: {kind: low_rnk}", "bad.yaml, line 2: method.kind is \"low_rnk\", which is not known.", "Did you mean \"low_rank\"? Known: full, low_rank.")]
    [InlineData("model: m\nmethod: {rank: 4}", "bad.yaml, line 2: method lacks the key \"kind\", which says what it is.", "one of full, low_rank")]
    [InlineData("model: m\nspeed: veryfast", "bad.yaml, line 2: speed is \"veryfast\", but must be one of slow, very_fast.", "Did you mean \"very_fast\"?")]
    [InlineData("model: m\nspeed: 1", "speed is 1, but must be one of slow, very_fast.", "")]
    // Types.
    [InlineData("model: 5", "bad.yaml, line 1: model is 5, but must be text.", "Put quotes around it.")]
    [InlineData("model: m\nmax_steps: ten", "bad.yaml, line 2: max_steps is \"ten\", but must be a whole number.", "")]
    [InlineData("model: m\nmax_steps: 2.5", "max_steps is 2.5, but must be a whole number.", "")]
    [InlineData("model: m\nlearning_rate: \"0.1\"", "learning_rate is \"0.1\", but must be a number.", "")]
    [InlineData("model: m\nlearning_rate: 1e999", "learning_rate is 1e999, too large for a number.", "")]
    [InlineData("model: m\nlearning_rate: .nan", "learning_rate is \".nan\", but must be a number.", "")]
    [InlineData("model: m\nshuffle: no", "shuffle is \"no\", but must be true or false.", "")]
    [InlineData("model: m\ndata: a.jsonl", "data is \"a.jsonl\", but must be a list.", "")]
    [InlineData("model: m\nmethod: low_rank", "method is \"low_rank\", but must be a block of keys.", "")]
    [InlineData("model: m\nweights: {a: b}", "weights.a is \"b\", but must be a number.", "")]
    [InlineData("model: m\nlearning_rate:", "learning_rate is empty, but must be a number.", "remove the key to get the default")]
    [InlineData("model: m\nmethod:", "method is empty", "")]
    [InlineData("model:", "bad.yaml, line 1: model is empty, but must be text.", "")]
    [InlineData("model: m\ndata: [~]", "data[0] is empty.", "")]
    // Required keys.
    [InlineData("shuffle: true", "bad.yaml lacks the key \"model\".", "Add \"model\": text.")]
    [InlineData("model: m\ndata: [{weight: 2}]", "bad.yaml, line 2: data[0] lacks the key \"path\".", "")]
    [InlineData("", "bad.yaml holds nothing, but must be a block of keys.", "")]
    [InlineData("- model", "bad.yaml holds [\"model\"], but must be a block of keys.", "")]
    // The file itself.
    [InlineData("model: m\nmodel: n", "bad.yaml, line 2: the key \"model\" stands here a second time.", "Keep one of the two.")]
    [InlineData("model: [m", "this is not valid YAML", "")]
    [InlineData("model: m\n\tdata: []", "bad.yaml, line 1: this is not valid YAML", "no tabs")]
    [InlineData("model: m\n---\nmodel: n", "bad.yaml, line 2: a second document begins here.", "")]
    [InlineData("model: *x", "bad.yaml, line 1: the alias *x names nothing above it.", "")]
    [InlineData("model: &x [*x]", "the alias *x names nothing above it.", "")]
    [InlineData("model: !thing m", "the tag !thing is not known here.", "")]
    [InlineData("? [a, b]\n: c", "a key is not plain text.", "")]
    public void A_mistake_in_yaml_is_named_with_its_path_and_line(string text, string message, string hint)
    {
        var problem = Assert.Throws<PerenosException>(() => ConfigFile.Read<Recipe>(_folder.File("bad.yaml", text)));
        Assert.Contains(message, problem.Message, StringComparison.Ordinal);
        Assert.Contains(hint, problem.Hint, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("{\"model\": \"m\",\n \"modle\": 1}", "bad.json, line 2: unknown key \"modle\".")]
    [InlineData("{\"model\": \"m\",\n \"model\": \"n\"}", "bad.json, line 2: the key \"model\" stands here a second time.")]
    [InlineData("{\"model\": \"m\",\n}", "bad.json, line 2: this is not valid JSON")]
    [InlineData("{\"model\": \"m\"", "this is not valid JSON")]
    [InlineData("{\"model\": \"m\"} x", "this is not valid JSON")]
    [InlineData("", "this is not valid JSON")]
    [InlineData("null", "bad.json holds nothing")]
    [InlineData("{\"model\":\n \"\\ud800\"}", "bad.json, line 2: a string here is not valid text.")]
    [InlineData("{\"method\": {\"kind\": \"full\"}, \"max_steps\": null, \"model\": null}", "bad.json, line 1: model is empty")]
    public void A_mistake_in_json_is_named_with_its_path_and_line(string text, string message)
    {
        var problem = Assert.Throws<PerenosException>(() => ConfigFile.Read<Recipe>(_folder.File("bad.json", text)));
        Assert.Contains(message, problem.Message, StringComparison.Ordinal);
        Assert.NotEmpty(problem.Hint);
    }

    [Theory]
    [InlineData("no", "\"no\"")]
    [InlineData("on", "\"on\"")]
    [InlineData("y", "\"y\"")]
    [InlineData("'5'", "\"5\"")]
    [InlineData("\"true\"", "\"true\"")]
    [InlineData("!!str 5", "\"5\"")]
    [InlineData("True", "true")]
    [InlineData("~", "null")]
    [InlineData("+12", "12")]
    [InlineData("-007", "-7")]
    [InlineData("0x1F", "31")]
    [InlineData("0o17", "15")]
    [InlineData(".5", "0.5")]
    [InlineData("1.", "1")]
    [InlineData("-0", "-0")]
    [InlineData("3e-4", "3e-4")]
    [InlineData("1E+3", "1E+3")]
    [InlineData("12:30", "\"12:30\"")]
    [InlineData("1_000", "\"1_000\"")]
    [InlineData("1.2.3", "\"1.2.3\"")]
    [InlineData(".", "\".\"")]
    [InlineData("e5", "\"e5\"")]
    [InlineData("2026-01-31", "\"2026-01-31\"")]
    public void Scalars_follow_the_core_schema_of_yaml_1_2(string scalar, string json)
    {
        var tree = YamlTree.Parse($"value: {scalar}", "x.yaml").Root!.AsObject();
        Assert.Equal(json, tree["value"]?.ToJsonString() ?? "null");
    }

    [Fact]
    public void Anchors_repeat_a_block_but_cannot_explode()
    {
        var tree = YamlTree.Parse("first: &a {rank: 8}\nsecond: *a", "x.yaml").Root!.AsObject();
        Assert.Equal(8, (int)tree["second"]!["rank"]!);

        string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + string.Concat(Enumerable.Range(1, 12).Select(i =>
            $"a{i}: &a{i} [{string.Join(", ", Enumerable.Repeat($"*a{i - 1}", 10))}]\n"));
        var problem = Assert.Throws<PerenosException>(() => YamlTree.Parse(bomb, "x.yaml"));
        Assert.Contains("aliases included", problem.Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("deep.json")]
    [InlineData("deep.yaml")]
    public void Endless_nesting_is_refused_without_a_crash(string name)
    {
        string text = new string('[', 500_000);
        Assert.Throws<PerenosException>(() => ConfigFile.Read<Recipe>(_folder.File(name, text)));
    }

    [Fact]
    public void Files_that_are_no_configuration_are_refused_by_name()
    {
        string large = _folder["large.yaml"];
        using (var stream = File.Create(large))
            stream.SetLength(2 << 20);
        Assert.Contains("is this a data file?", Assert.Throws<PerenosException>(() => ConfigFile.Read<Recipe>(large)).Hint, StringComparison.Ordinal);
        Assert.Contains("does not exist", Assert.Throws<PerenosException>(() => ConfigFile.Read<Recipe>(_folder["none.yaml"])).Message, StringComparison.Ordinal);
        Assert.Contains("neither", Assert.Throws<PerenosException>(() => ConfigFile.Read<Recipe>(_folder["recipe.toml"])).Message, StringComparison.Ordinal);
        string binary = _folder["binary.json"];
        File.WriteAllBytes(binary, [0x7B, 0xFF, 0xFE]);
        Assert.Contains("UTF-8", Assert.Throws<PerenosException>(() => ConfigFile.Read<Recipe>(binary)).Message, StringComparison.Ordinal);
        Directory.CreateDirectory(_folder["folder.json"]);
        Assert.Throws<PerenosException>(() => ConfigFile.Read<Recipe>(_folder["folder.json"]));
    }

    [Fact]
    public void A_tree_takes_command_line_values_before_it_is_fitted()
    {
        string recipe = _folder.File("recipe.yaml", "model: m\nmax_steps: 10");
        Assert.Equal(3, ConfigFile.Read<Recipe>(recipe, tree => tree["max_steps"] = 3).MaxSteps);
        string wrong = _folder.File("wrong.yaml", "model: m\nmax_stpes: 10");
        var named = Assert.Throws<PerenosException>(() => ConfigFile.Read<Recipe>(wrong, _ => { }));
        Assert.StartsWith("wrong.yaml, line 2: ", named.Message, StringComparison.Ordinal);
        var problem = Assert.Throws<PerenosException>(() => ConfigFile.Parse<Recipe>(JsonNode.Parse("{\"mdel\": 1}")!, "--set"));
        Assert.StartsWith("--set: unknown key \"mdel\"", problem.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Whatever_the_text_reading_ends_in_a_recipe_or_in_a_clear_error()
    {
        const string seedText = "model: m\nmethod: {kind: low_rank, rank: 4}\ndata:\n  - path: &a x\n    weight: 1e-3\nweights: {b: *a}\n";
        const string alphabet = " \n\t:-{}[]&*!|>'\"#,?~.0e@%aé";
        var edit = Gen.Select(Gen.Int[0, seedText.Length - 1], Gen.Char[alphabet], Gen.Int[0, 2]);
        edit.Array[1, 12].Sample(edits =>
        {
            var text = new System.Text.StringBuilder(seedText);
            foreach (var (at, letter, what) in edits)
            {
                int position = Math.Min(at, text.Length - 1);
                _ = what switch
                {
                    0 => text.Insert(position, letter),
                    1 => text.Remove(position, 1),
                    _ => text.Replace(text[position], letter, position, 1),
                };
            }

            try
            {
                var document = YamlTree.Parse(text.ToString(), "x.yaml");
                if (document.Root is not null)
                    ConfigFile.Parse<Recipe>(document.Root, "x.yaml");
            }
            catch (PerenosException problem)
            {
                Assert.NotEmpty(problem.Hint);
            }
        }, iter: 1_500, threads: 1);
    }
}
