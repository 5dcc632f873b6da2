"""Tables for the terminal and in Markdown, through tabulate."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from harness.leaderboard.entries import DASH, Column, TableValue, format_interval, format_value
from harness.leaderboard.layout import Layout, footnote_marks, marks_legend

LONGEST = 240
"""Longer names are cut."""

SUPERSCRIPTS = str.maketrans("0123456789–", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def terminal(table: Layout) -> str:
    """Return the table as plain text; best values have a star, tied ones a degree sign."""

    def mark(entry: TableValue, text: str) -> str:
        return text + ("*" if entry.best else "°" if entry.tied else "")

    text = _tabulate(table, "simple", clean_text, mark, "\n")
    return "\n".join([clean_text(table.title), "", text, *_lines_below(table, "*", "°", clean_text)])


def markdown(table: Layout) -> str:
    """Return the table in GitHub's Markdown; best values are bold, tied ones underlined."""

    def mark(entry: TableValue, text: str) -> str:
        return f"**{text}**" if entry.best else f"<u>{text}</u>" if entry.tied else text

    text = _tabulate(table, "pipe", escape_markdown, mark, " / ")
    below = _lines_below(table, "bold", "underlined", escape_markdown)
    lines = [
        f"### {escape_markdown(table.title)}",
        "",
        text,
        *(f"{line}  " if line else "" for line in below),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _tabulate(
    table: Layout,
    style: str,
    clean: Callable[[str], str],
    mark: Callable[[TableValue, str], str],
    joiner: str,
) -> str:
    """Return the body and headers in one of tabulate's styles; `joiner` joins the layers of a header."""
    from tabulate import tabulate

    body = [
        [
            *map(clean, table.show_labels(r)),
            *(mark(e, _cell_text(e, c)) for e, c in zip(r.entries, table.columns)),
        ]
        for r in table.rows
    ]
    above = (joiner.join(clean(h) for h in table.show_header(c) if h) for c in table.columns)
    align = ["left"] * len(table.row_names) + ["right"] * len(table.columns) if body else None
    headers = [*map(clean, table.row_titles), *above]
    return tabulate(body, headers, tablefmt=style, colalign=align, disable_numparse=True)


def _cell_text(entry: TableValue, column: Column) -> str:
    notes = footnote_marks(entry.notes).translate(SUPERSCRIPTS)
    if entry.value is None:
        return DASH + notes if entry.notes else ("" if column.kind == "delta" else DASH)
    interval = format_interval(entry, column)
    return format_value(entry, column) + (f" {interval}" if interval else "") + notes


def _lines_below(table: Layout, best: str, tied: str, clean: Callable[[str, int | None], str]) -> list[str]:
    """Return legend, caption and footnotes below a table. They are never cut: readers need all of them."""
    lines = [key] if (key := marks_legend(table, best, tied)) else []
    if table.caption:
        lines.append(clean(table.caption, None))
    lines += [
        f"{str(n + 1).translate(SUPERSCRIPTS)} {clean(text, None)}" for n, text in enumerate(table.footnotes)
    ]
    return ["", *lines] if lines else []


def clean_text(text: str, longest: int | None = LONGEST) -> str:
    """Return the text without control characters, which could move the cursor, cut to `longest`."""
    clean = "".join(c if not unicodedata.category(c).startswith("C") else " " for c in text)
    return clean if longest is None or len(clean) <= longest else clean[: longest - 1] + "…"


def escape_markdown(text: str, longest: int | None = LONGEST) -> str:
    """Return the text with all markup escaped: HTML, table bars, emphasis, code, links and mathematics."""
    escaped = clean_text(text, longest).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\|*_`\[\]$~#])", r"\\\1", escaped)
