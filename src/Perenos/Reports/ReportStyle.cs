namespace Perenos.Reports;

/// <summary>The look of a report. Well-formed as XML text: no ampersand and no less-than sign.</summary>
internal static class ReportStyle
{
    public const string Css = """

        :root {
          --paper: #f7f5f0; --card: #ffffff; --ink: #1e2430; --soft: #5b6472; --rule: #e4e1da; --accent: #1f6f8b;
          --gain: #2b7a57; --loss: #a8541f; --learnt: #d3e8ef; --learnt-rule: #7fb3c6; --mark: #b5562b; --bar: #9cc5d3;
        }
        @media (prefers-color-scheme: dark) {
          :root {
            --paper: #14171c; --card: #1b1f26; --ink: #e6e8ec; --soft: #a3adbb; --rule: #2c323b; --accent: #6cc0dd;
            --gain: #7fd1a8; --loss: #f0a070; --learnt: #1d4252; --learnt-rule: #4691ab; --mark: #f0a070; --bar: #2f6479;
          }
          .light { display: none; }
        }
        @media not all and (prefers-color-scheme: dark) { .dark { display: none; } }
        * { box-sizing: border-box; }
        html { background: var(--paper); color: var(--ink); color-scheme: light dark; -webkit-text-size-adjust: 100%; }
        body {
          margin: 0 auto; max-width: 62rem; padding: 3rem 1.5rem 5rem; overflow-wrap: break-word;
          font: 1rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
          font-variant-numeric: tabular-nums;
        }
        p { margin: 0 0 .75rem; max-width: 44rem; }
        h1 { font-size: 2.1rem; line-height: 1.2; font-weight: 650; letter-spacing: -.015em; margin: .25rem 0 0; text-wrap: balance; }
        h2 { font-size: 1.2rem; font-weight: 650; letter-spacing: -.005em; margin: 0 0 1rem; }
        h3 { font-size: 1rem; font-weight: 650; margin: 1.75rem 0 .5rem; }
        h4 { font-size: .78rem; font-weight: 500; margin: 0 0 .15rem; color: var(--soft); }
        section { margin-top: 2.75rem; padding-top: 1.5rem; border-top: 1px solid var(--rule); }
        header + main section:first-child { border-top: 0; margin-top: 1.5rem; padding-top: 0; }
        .eyebrow, .note, .purpose { color: var(--soft); font-size: .9rem; }
        .eyebrow { margin: 0; }
        .lede { font-size: 1.25rem; line-height: 1.5; }
        main section:first-child h2 { font-size: .9rem; font-weight: 500; color: var(--soft); margin: 0 0 .25rem; }

        .findings { display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); gap: 1rem; }
        .finding { background: var(--card); border: 1px solid var(--rule); border-top: 3px solid var(--soft); border-radius: .4rem; padding: 1rem 1.2rem; }
        .finding p { margin: 0; }
        .finding .word { font-size: .82rem; color: var(--soft); }
        .finding .figure { font-size: 1.65rem; line-height: 1.25; font-weight: 600; letter-spacing: -.02em; margin: .1rem 0 .4rem; }
        .finding.gained { border-top-color: var(--gain); } .finding.gained .figure { color: var(--gain); }
        .finding.lost { border-top-color: var(--loss); } .finding.lost .figure { color: var(--loss); }

        dl { margin: 0 0 1rem; }
        dl div { display: grid; grid-template-columns: 13rem 1fr; gap: 1rem; padding: .3rem 0; }
        dl div + div { border-top: 1px solid var(--rule); }
        dt { color: var(--soft); } dd { margin: 0; min-width: 0; white-space: pre-line; }

        .scroll { overflow-x: auto; margin: 0 0 1rem; }
        table { border-collapse: collapse; width: 100%; }
        th, td { text-align: left; vertical-align: top; font-weight: 400; padding: .5rem 0 .5rem 1.5rem; border-bottom: 1px solid var(--rule); }
        th:first-child, td:first-child { padding-left: 0; }
        thead th { color: var(--soft); font-size: .9rem; vertical-align: bottom; }
        .number { text-align: right; white-space: nowrap; }
        thead .number { white-space: normal; }
        .value, .interval { display: block; }
        .interval { font-size: .85rem; color: var(--soft); }
        .way { display: block; font-size: .85rem; color: var(--soft); }
        .best .value { font-weight: 700; }
        .results td { min-width: 7.5rem; }
        .bar { display: block; position: relative; height: 4px; margin-top: .4rem; background: var(--rule); border-radius: 2px; text-align: left; }
        .bar i, .bar b { position: absolute; top: 0; height: 4px; border-radius: 2px; }
        .bar i { left: 0; background: var(--bar); }
        .bar b { background: var(--accent); min-width: 2px; }

        .plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1rem; margin-bottom: .75rem; }
        figure { margin: 0; background: var(--card); border: 1px solid var(--rule); border-radius: .4rem; padding: .5rem; }
        svg { display: block; width: 100%; height: auto; }
        svg text { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif; }

        .examples { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 18rem), 1fr)); gap: 1rem; }
        .example, .sample p { max-height: 24rem; overflow-y: auto; }
        .example p { margin: 0; white-space: pre-line; } .example .completion { margin-top: .35rem; color: var(--accent); }
        .tokens { max-width: none; line-height: 2.1; font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: .88rem; }
        .token { border: 1px solid var(--rule); border-radius: .25rem; padding: .1rem .2rem; margin-right: 2px; color: var(--soft); -webkit-box-decoration-break: clone; box-decoration-break: clone; }
        .token.learnt { background: var(--learnt); border-color: var(--learnt-rule); color: var(--ink); }

        .sample { display: grid; grid-template-columns: 1fr 1fr; gap: .9rem 2rem; padding: 1.1rem 0; border-bottom: 1px solid var(--rule); }
        .sample:last-child { border-bottom: 0; padding-bottom: 0; }
        .sample p { margin: 0; white-space: pre-line; min-width: 0; }
        .sample div { min-width: 0; }
        mark { background: none; color: inherit; text-decoration: underline; text-decoration-color: var(--mark); text-decoration-thickness: 2px; text-underline-offset: 3px; }
        .empty { color: var(--soft); font-style: italic; }

        .purpose { margin: 0 0 .3rem; }
        pre { margin: 0 0 1.1rem; padding: .75rem 1rem; background: var(--card); border: 1px solid var(--rule); border-radius: .4rem; white-space: pre-wrap; }
        code { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: .88rem; overflow-wrap: anywhere; }

        @media (max-width: 40rem) {
          body { padding: 1.75rem 1rem 3rem; }
          h1 { font-size: 1.6rem; } .lede { font-size: 1.1rem; }
          dl div { grid-template-columns: 1fr; gap: 0; }
          .sample { grid-template-columns: 1fr; }
          th, td { padding-left: .6rem; }
          .results { font-size: .93rem; } .results td { min-width: 0; }
          .results .interval, .results .way { font-size: .76rem; }
        }
        @media print {
          :root {
            --paper: #ffffff; --card: #ffffff; --ink: #000000; --soft: #444444; --rule: #cccccc; --accent: #1f6f8b;
            --gain: #20603f; --loss: #8a4216; --learnt: #d3e8ef; --learnt-rule: #7fb3c6; --mark: #b5562b; --bar: #9cc5d3;
          }
          html { color-scheme: light; }
          body { max-width: none; padding: 0; font-size: 10pt; }
          .light { display: block; } .dark { display: none; }
          .finding, .sample, figure, pre, tr, dl div { break-inside: avoid; }
          .example, .sample p { max-height: none; }
          h2, h3 { break-after: avoid; }
          .token.learnt, .bar i, .bar b, .bar { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
        }
        """;
}
