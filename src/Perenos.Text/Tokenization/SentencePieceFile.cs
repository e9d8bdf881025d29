using Perenos.Runs;

namespace Perenos.Text.Tokenization;

/// <summary>What a piece of a SentencePiece model is; the values are those of the file.</summary>
internal enum PieceKind
{
    Normal = 1,
    Unknown = 2,
    Control = 3,
    UserDefined = 4,
    Unused = 5,
    Byte = 6,
}

/// <summary>
/// A SentencePiece model as it stands in a .model file
/// (https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto).
/// </summary>
internal sealed record SentencePieceFile
{
    private const int Unigram = 1, Bpe = 2;

    public required IReadOnlyList<(string Text, float Score, PieceKind Kind)> Pieces { get; init; }

    public bool IsBpe { get; private init; }

    public bool ByteFallback { get; private init; }

    public int UnknownId { get; private init; }

    /// <summary>-1 where there is none.</summary>
    public int BeginId { get; private init; } = 1;

    /// <summary>-1 where there is none.</summary>
    public int EndId { get; private init; } = 2;

    /// <summary>The table of replacements as it stands in the file; empty where text is left as it is.</summary>
    public byte[] CharacterMap { get; private init; } = [];

    public bool AddDummyPrefix { get; private init; } = true;

    public bool RemoveExtraWhitespaces { get; private init; } = true;

    /// <exception cref="PerenosException">It is no SentencePiece model, or one of a kind that is not built.</exception>
    public static SentencePieceFile Read(ReadOnlySpan<byte> message, string file)
    {
        try
        {
            var model = ReadModel(message, file);
            if (model.Pieces.Count == 0)
                throw new ProtobufException("it has no pieces");
            if (model.UnknownId < 0 || model.UnknownId >= model.Pieces.Count || model.Pieces[model.UnknownId].Kind != PieceKind.Unknown)
                throw new ProtobufException("it has no unknown piece");
            if (model.BeginId >= model.Pieces.Count || model.EndId >= model.Pieces.Count)
                throw new ProtobufException("its control pieces are beyond the vocabulary");
            return model;
        }
        catch (ProtobufException error)
        {
            throw new PerenosException($"{file} is no SentencePiece model: {error.Message}.", "Download the file again; Git LFS pointers are text.", error);
        }
    }

    private static SentencePieceFile ReadModel(ReadOnlySpan<byte> message, string file)
    {
        var pieces = new List<(string, float, PieceKind)>();
        var model = new SentencePieceFile { Pieces = pieces };
        var reader = new ProtobufReader(message);
        while (reader.Next())
        {
            if (reader.Field == 1)
                pieces.Add(ReadPiece(reader.Block()));
            else if (reader.Field == 2)
                model = ReadTrainer(model, reader.Block(), file);
            else if (reader.Field == 3)
                model = ReadNormalizer(model, reader.Block(), file);
        }

        return model;
    }

    private static (string, float, PieceKind) ReadPiece(ReadOnlySpan<byte> message)
    {
        string text = "";
        float score = 0;
        var kind = PieceKind.Normal;
        var reader = new ProtobufReader(message);
        while (reader.Next())
        {
            if (reader.Field == 1)
                text = reader.Text();
            else if (reader.Field == 2)
                score = reader.Float();
            else if (reader.Field == 3)
                kind = (PieceKind)reader.Number();
        }

        if (text.Length == 0 || !Enum.IsDefined(kind) || !float.IsFinite(score))
            throw new ProtobufException("a piece has no text, no score or no known type");
        return (text, score, kind);
    }

    private static SentencePieceFile ReadTrainer(SentencePieceFile model, ReadOnlySpan<byte> message, string file)
    {
        var reader = new ProtobufReader(message);
        while (reader.Next())
        {
            model = reader.Field switch
            {
                3 => model with
                {
                    IsBpe = reader.Number() switch
                    {
                        Unigram => false,
                        Bpe => true,
                        var other => throw Refused(file, $"its model type is {other}"),
                    },
                },
                24 => reader.Number() == 0 ? model : throw Refused(file, "blanks are suffixes (treat_whitespace_as_suffix)"),
                35 => model with { ByteFallback = reader.Number() != 0 },
                40 => model with { UnknownId = (int)reader.Number() },
                41 => model with { BeginId = (int)reader.Number() },
                42 => model with { EndId = (int)reader.Number() },
                _ => model,
            };
        }

        return model;
    }

    private static SentencePieceFile ReadNormalizer(SentencePieceFile model, ReadOnlySpan<byte> message, string file)
    {
        var reader = new ProtobufReader(message);
        while (reader.Next())
        {
            model = reader.Field switch
            {
                2 => model with { CharacterMap = reader.Block().ToArray() },
                3 => model with { AddDummyPrefix = reader.Number() != 0 },
                4 => model with { RemoveExtraWhitespaces = reader.Number() != 0 },
                5 => reader.Number() != 0 ? model : throw Refused(file, "blanks stay as they are (escape_whitespaces is off)"),
                _ => model,
            };
        }

        return model;
    }

    private static PerenosException Refused(string file, string what) =>
        new($"{file}: {what}, which is not supported.", "Known are unigram (1) and BPE (2) models with blanks before words.");
}
