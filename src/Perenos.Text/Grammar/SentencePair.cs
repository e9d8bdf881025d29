namespace Perenos.Text.Grammar;

/// <summary>One sentence in English and its only French translation.</summary>
public sealed record SentencePair(string English, string French);

/// <summary>Three lists of pairs whose English sides all differ, even when their numbers are left out.</summary>
public sealed record WeatherSplit(
    IReadOnlyList<SentencePair> Train,
    IReadOnlyList<SentencePair> Validation,
    IReadOnlyList<SentencePair> Test);
