r"""Tables in LaTeX: pdfLaTeX or newer with `\usepackage{booktabs}` sets them."""

from __future__ import annotations

import unicodedata

from harness.leaderboard.entries import Column, TableValue, format_interval, format_value
from harness.leaderboard.layout import Layout, footnote_marks, header_spans, marks_legend

SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "[": "{[}",  # a row that begins with it would become the optional argument of the rule above
}
SYMBOLS = {
    "−": "$-$",
    "–": "--",
    "—": "---",
    "±": r"$\pm$",
    "Δ": r"$\Delta$",
    "∞": r"$\infty$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "→": r"$\rightarrow$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "°": r"$^\circ$",
    "σ": r"$\sigma$",
    "ρ": r"$\rho$",
    "τ": r"$\tau$",
    "λ": r"$\lambda$",
    "…": r"\ldots{}",
    "'": "'",
}


def latex(table: Layout) -> str:
    r"""Return a `table` float with booktabs rules; best values are bold, tied ones underlined."""
    layers = max((len(c.header) for c in table.columns), default=1)
    lines = [
        "% needs \\usepackage{booktabs}, and \\usepackage{textcomp} before LaTeX 2020",
        r"\begin{table}[t]",
        r"\centering",
        rf"\caption{{{escape_latex(table.title)}{_sentence(table.caption)}}}",
        rf"\label{{tab:{''.join(c for c in table.name if c.isascii() and (c.isalnum() or c in '-.'))}}}",
        rf"\begin{{tabular}}{{{'l' * len(table.row_names)}{'r' * len(table.columns)}}}",
        r"\toprule",
    ]
    for layer in range(layers):
        names = [escape_latex(n) if layer == layers - 1 else "" for n in table.row_titles]
        for text, width in header_spans(table, layer):
            name = escape_latex(text)
            names.append(rf"\multicolumn{{{width}}}{{c}}{{{name}}}" if width > 1 else name)
        lines.append(" & ".join(names) + r" \\")
    lines.append(r"\midrule")
    group = table.rows[0].group if table.rows else ""
    for row in table.rows:
        if row.group != group:
            lines.append(r"\addlinespace")
            group = row.group
        cells = [_render_cell(e, c) for e, c in zip(row.entries, table.columns)]
        lines.append(" & ".join([*(escape_latex(h) for h in table.show_labels(row)), *cells]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    if key := marks_legend(table, r"\textbf{bold}", r"\underline{underlined}"):
        lines.append(rf"\par\footnotesize {key}")
    for n, text in enumerate(table.footnotes):
        lines.append(rf"\par\footnotesize\textsuperscript{{{n + 1}}}~{escape_latex(text)}")
    lines.append(r"\end{table}")
    return "\n".join(lines) + "\n"


def escape_latex(text: str) -> str:
    """Return text that LaTeX sets literally; letters that pdfLaTeX lacks become their code points."""
    out = []
    for character in text:
        if written := SPECIAL.get(character) or SYMBOLS.get(character):
            out.append(written)
        elif character.isascii():
            out.append(character if character.isprintable() else " ")
        elif unicodedata.category(character)[0] == "L" and _is_accented_latin(character):
            out.append(character)
        else:
            out.append(rf"\texttt{{U+{ord(character):04X}}}")
    return "".join(out)


def _is_accented_latin(character: str) -> bool:
    """Return whether a letter is an accented Latin one, which every LaTeX since 2018 reads as UTF-8."""
    base = unicodedata.normalize("NFD", character)[0]
    return base.isascii() and ord(character) < 0x180


def _render_cell(entry: TableValue, column: Column) -> str:
    notes = rf"\textsuperscript{{{escape_latex(footnote_marks(entry.notes))}}}" if entry.notes else ""
    if entry.value is None:
        return ("--" if column.kind != "delta" or entry.notes else "") + notes
    value = escape_latex(format_value(entry, column))
    value = rf"\textbf{{{value}}}" if entry.best else rf"\underline{{{value}}}" if entry.tied else value
    interval = format_interval(entry, column)
    return value + (rf" {{\scriptsize {escape_latex(interval)}}}" if interval else "") + notes


def _sentence(caption: str) -> str:
    return f". {escape_latex(caption)}" if caption else ""
