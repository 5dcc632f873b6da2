"""Tables for the terminal and in markdown, through tabulate."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from harness.leaderboard.entries import DASH, Column, Entry, footnote_marks, format_interval, format_value
from harness.leaderboard.layout import Layout, marks_legend

LONGEST = 240
"""Longer names are cut."""

SUPERSCRIPTS = str.maketrans("0123456789–", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def terminal(table: Layout) -> str:
    """The table as plain text; the best is starred, what is tied with it has a degree sign."""
    from tabulate import tabulate

    def marked(entry: Entry, column: Column) -> str:
        mark = "*" if entry.best else "°" if entry.tied else ""
        return _cell_text(entry, column) + mark

    body = [
        [*map(clean_text, r.header), *(marked(e, c) for e, c in zip(r.entries, table.columns))]
        for r in table.rows
    ]
    headers = [
        *map(clean_text, table.row_names),
        *("\n".join(clean_text(h) for h in c.header if h) for c in table.columns),
    ]
    align = ["left"] * len(table.row_names) + ["right"] * len(table.columns)
    text = tabulate(body, headers, tablefmt="simple", colalign=align if body else None, disable_numparse=True)
    return "\n".join([clean_text(table.title), "", text, *_lines_below(table, "*", "°", clean_text)])


def markdown(table: Layout) -> str:
    """The table in GitHub's markdown; the best is bold, what is tied with it underlined."""
    from tabulate import tabulate

    def marked(entry: Entry, column: Column) -> str:
        text = _cell_text(entry, column)
        return f"**{text}**" if entry.best else f"<u>{text}</u>" if entry.tied else text

    body = [
        [*map(escape_markdown, r.header), *(marked(e, c) for e, c in zip(r.entries, table.columns))]
        for r in table.rows
    ]
    headers = [
        *map(escape_markdown, table.row_names),
        *(" / ".join(escape_markdown(h) for h in c.header if h) for c in table.columns),
    ]
    align = ["left"] * len(table.row_names) + ["right"] * len(table.columns)
    text = tabulate(body, headers, tablefmt="pipe", colalign=align if body else None, disable_numparse=True)
    lines = [
        f"### {escape_markdown(table.title)}",
        "",
        text,
        *(f"{line}  " if line else "" for line in _lines_below(table, "bold", "underlined", escape_markdown)),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _cell_text(entry: Entry, column: Column) -> str:
    notes = footnote_marks(entry.notes).translate(SUPERSCRIPTS)
    if entry.value is None:
        return DASH + notes if entry.notes else ("" if column.kind == "delta" else DASH)
    interval = format_interval(entry, column)
    return format_value(entry, column) + (f" {interval}" if interval else "") + notes


def _lines_below(table: Layout, best: str, tied: str, clean: Callable[[str, int | None], str]) -> list[str]:
    """Return what stands below a table. Footnotes are never cut: what they say must be known."""
    lines = [said] if (said := marks_legend(table, best, tied)) else []
    if table.caption:
        lines.append(clean(table.caption, None))
    lines += [
        f"{str(n + 1).translate(SUPERSCRIPTS)} {clean(text, None)}" for n, text in enumerate(table.footnotes)
    ]
    return ["", *lines] if lines else []


def clean_text(text: str, longest: int | None = LONGEST) -> str:
    """Return the text without control characters, which could move the cursor, and not too long."""
    clean = "".join(c if not unicodedata.category(c).startswith("C") else " " for c in text)
    return clean if longest is None or len(clean) <= longest else clean[: longest - 1] + "…"


def escape_markdown(text: str, longest: int | None = LONGEST) -> str:
    """Return text in which nothing is markup: HTML, table bars, emphasis, code, links and mathematics."""
    escaped = clean_text(text, longest).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\|*_`\[\]$~#])", r"\\\1", escaped)
