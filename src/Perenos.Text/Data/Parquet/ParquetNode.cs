namespace Perenos.Text.Data.Parquet;

/// <summary>What a node of the schema stands for in a record.</summary>
internal enum NodeKind
{
    Leaf,
    Structure,
    List,
}

/// <summary>
/// A field as a record sees it. Definition levels say how far down a value is there, repetition levels at which list it goes on
/// (Melnik et al. 2010, Dremel, https://research.google/pubs/pub36632/).
/// </summary>
/// <param name="Name">Name of the field.</param>
/// <param name="Kind">Leaf, structure or list.</param>
/// <param name="Present">Least definition level at which it is not null.</param>
/// <param name="Repeated">Of a list: the repetition level of a further item; its items are there from definition level <paramref name="Filled"/> on.</param>
/// <param name="Filled">Of a list: least definition level at which it has an item.</param>
/// <param name="Children">Fields of a structure; the item of a list.</param>
/// <param name="FirstLeaf">Number of its first leaf, counted over the schema.</param>
/// <param name="Leaves">Number of its leaves.</param>
/// <param name="Line">The schema's line, for leaves.</param>
internal sealed record ParquetNode(
    string Name, NodeKind Kind, int Present, int Repeated, int Filled, IReadOnlyList<ParquetNode> Children, int FirstLeaf, int Leaves, SchemaLine Line)
{
    private const int DeepestNesting = 24;

    /// <summary>Most definition and repetition levels of a leaf's values.</summary>
    public (int Definition, int Repetition) LevelsOf { get; init; }

    /// <summary>The fields of a record.</summary>
    public static IReadOnlyList<ParquetNode> Tree(IReadOnlyList<SchemaLine> lines)
    {
        var builder = new Builder(lines);
        var fields = builder.Children(lines[0], definition: 0, repetition: 0, depth: 0);
        return builder.IsAtEnd ? fields : throw new InvalidDataException("its schema is longer than its tree");
    }

    private sealed class Builder(IReadOnlyList<SchemaLine> lines)
    {
        private int _next = 1;
        private int _leaves;

        public bool IsAtEnd => _next == lines.Count;

        public List<ParquetNode> Children(SchemaLine group, int definition, int repetition, int depth)
        {
            List<ParquetNode> children = [];
            for (int i = 0; i < group.Children; i++)
                children.Add(Next(definition, repetition, depth + 1));
            return children;
        }

        private ParquetNode Next(int definition, int repetition, int depth)
        {
            if (_next >= lines.Count || depth > DeepestNesting)
                throw new InvalidDataException(depth > DeepestNesting ? "its schema is nested too deeply" : "its schema ends early");
            var line = lines[_next++];
            if (line.Repetition == 2)
                return List(line, definition, i => Node(line, definition + 1, i, depth), repetition);
            definition += line.Repetition;
            return line.Meaning is Meaning.List or Meaning.Map && line is { Type: null, Children: 1 } && _next < lines.Count && lines[_next].Repetition == 2
                ? List(line, definition, i => Item(line, lines[_next++], definition + 1, i, depth + 1), repetition)
                : Node(line, definition, repetition, depth);
        }

        // Three ways to write a list are in use (https://github.com/apache/parquet-format/blob/master/LogicalTypes.md#lists): the repeated
        // group is the item itself where it has several fields or one of two old names; otherwise its only child is.
        private ParquetNode Item(SchemaLine list, SchemaLine repeated, int definition, int repetition, int depth)
        {
            bool isItem = repeated.Type is not null || repeated.Children != 1 || list.Meaning == Meaning.Map || repeated.Name == "array" || repeated.Name == list.Name + "_tuple";
            return isItem ? Node(repeated, definition, repetition, depth) : Next(definition, repetition, depth + 1);
        }

        private ParquetNode List(SchemaLine line, int definition, Func<int, ParquetNode> item, int repetition)
        {
            int first = _leaves;
            var child = item(repetition + 1);
            return new ParquetNode(line.Name, NodeKind.List, definition, repetition + 1, definition + 1, [child], first, _leaves - first, line);
        }

        private ParquetNode Node(SchemaLine line, int definition, int repetition, int depth)
        {
            int first = _leaves;
            if (line.Type is not null)
            {
                _leaves++;
                return new ParquetNode(line.Name, NodeKind.Leaf, definition, 0, 0, [], first, 1, line) { LevelsOf = (definition, repetition) };
            }

            var children = Children(line, definition, repetition, depth);
            return _leaves > first
                ? new ParquetNode(line.Name, NodeKind.Structure, definition, 0, 0, children, first, _leaves - first, line)
                : throw new InvalidDataException($"\"{line.Name}\" of its schema is empty");
        }
    }
}
