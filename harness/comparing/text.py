"""A comparison as text and tables, for the terminal and in Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from harness.comparing.comparison import Comparison, Difference, MetricOverall
from harness.comparing.gating import CellVerdict, combine_gate_verdicts
from harness.leaderboard.formats.text import clean_text, escape_markdown


class ComparisonEscaper(Protocol):
    """Escapes a text for a format, and cuts it to `longest` characters unless that is None."""

    def __call__(self, text: str, longest: int | None = ..., /) -> str: ...


LISTED = 10
"""Cells listed by name only; --json has all of them."""

MARKS = {"better": "▲", "worse": "▼", "no difference shown": "=", "undecided": "?"}


def render_comparison_text(
    comparison: Comparison, judged: Sequence[CellVerdict] = (), significant: bool = False
) -> str:
    """Return the comparison as plain text; `significant` leaves out rows that show no difference."""
    return _render(comparison, judged, significant, clean_text, "simple", "")


def render_comparison_markdown(
    comparison: Comparison, judged: Sequence[CellVerdict] = (), significant: bool = False
) -> str:
    """Return the comparison in GitHub's Markdown."""
    return _render(comparison, judged, significant, escape_markdown, "pipe", "### ")


def _render(
    found: Comparison,
    judged: Sequence[CellVerdict],
    significant: bool,
    clean: ComparisonEscaper,
    style: str,
    heading: str,
) -> str:
    paragraphs = ["\n".join(_break_lines([f"A: {clean(found.a)}", f"B: {clean(found.b)}"], heading))]
    for overall in found.overall():
        rows = [d for d in found.differences if d.metric == overall.metric]
        paragraphs.append(f"{heading}{clean(overall.metric)}")
        shown = [d for d in rows if not significant or d.answer in ("better", "worse")]
        if shown:
            paragraphs.append(_difference_table(shown, rows, found.level, clean, style))
        paragraphs.append("\n".join(_break_lines(_overall_lines(overall, rows, clean), heading)))
    warnings = [f"warning: {clean(str(w))}" for w in found.warnings]
    remarks = [f"note: {clean(str(r), None)}" for r in found.remarks]
    paragraphs += ["\n".join(_break_lines(lines, heading)) for lines in (warnings, remarks) if lines]
    cells = [d.cell for d in found.differences] + [u.cell for u in found.unfinished]
    cells += [cell for cell, _ in found.lacking]
    names = _varying_coordinates([*cells, *found.only_a, *found.only_b])
    absent = [
        f"{clean(_cell_name(u.cell, names))} · seed {u.seed}: {u.a} in A, {u.b} in B"
        for u in found.unfinished
    ] + [
        f"{clean(_cell_name(cell, names))}: {clean(metric)} is on one side only"
        for cell, metric in found.lacking
    ]
    for title, items in (
        ("not ok on both sides", absent),
        ("only in A", [clean(_cell_name(c, names)) for c in found.only_a]),
        ("only in B", [clean(_cell_name(c, names)) for c in found.only_b]),
    ):
        if items:
            more = [f"… and {len(items) - LISTED} more (--json lists all)"] if len(items) > LISTED else []
            bullets = [f"- {item}" for item in [*items[:LISTED], *more]]
            paragraphs.append("\n".join([f"{title}: {len(items)}", "", *bullets]))
    if judged:
        paragraphs.append("\n".join(_break_lines(verdict_lines(judged, clean), heading)))
    return "\n\n".join(paragraphs) + "\n"


def verdict_lines(judged: Sequence[CellVerdict], clean: ComparisonEscaper = clean_text) -> list[str]:
    """Return a line per verdict that does not pass, and one with the answer and the number that pass."""
    names = _varying_coordinates([j.cell for j in judged])
    lines = [
        clean(f"gate {j.verdict.gate}: {j.answer.upper()}: {_cell_name(j.cell, names)}: {j.verdict.reason}")
        for j in sorted(judged, key=lambda j: str(j.answer))
        if j.answer != "pass"
    ]
    passed = sum(j.answer == "pass" for j in judged)
    return [
        *lines,
        f"gates: {combine_gate_verdicts(judged).upper()} ({passed} of {len(judged)} verdicts pass)",
    ]


def _difference_table(
    shown: Sequence[Difference],
    rows: Sequence[Difference],
    level: float,
    clean: ComparisonEscaper,
    style: str,
) -> str:
    from tabulate import tabulate

    names = _varying_coordinates([d.cell for d in rows])
    points = rows[0].unit == "fraction"
    body = []
    reasons = list(dict.fromkeys(d.reason for d in shown if d.reason))
    for d in shown:
        note = f" ({reasons.index(d.reason) + 1})" if d.reason else ""
        ends = (d.interval.low, d.interval.high) if d.interval else ()
        interval = f"[{', '.join(_format_scaled(end, points, True) for end in ends)}]" if ends else "–"
        body.append(
            [
                *(clean(str(d.cell.get(n, ""))) for n in names),
                _format_scaled(d.a, points),
                _format_scaled(d.b, points),
                _format_scaled(d.difference, points, True),
                interval,
                "–" if d.p_value is None else "<0.001" if d.p_value < 0.001 else f"{d.p_value:.3f}",
                f"{MARKS[d.answer]} {d.answer}{note}",
            ]
        )
    unit = " (points)" if points else ""
    headers = [*map(clean, names), "A", "B", f"B − A{unit}", f"{level:.0%} interval", "p (Holm)", "B is"]
    align = ["left"] * len(names) + ["right"] * 5 + ["left"]
    text = tabulate(body, headers, tablefmt=style, colalign=align, disable_numparse=True)
    notes = [f"({n + 1}) {clean(reason)}" for n, reason in enumerate(reasons)]
    return "\n\n".join([text, *(["  \n".join(notes)] if notes else [])])


def _overall_lines(overall: MetricOverall, rows: Sequence[Difference], clean: ComparisonEscaper) -> list[str]:
    points = rows[0].unit == "fraction"
    counts = ", ".join(f"{a} in {overall.answers[a]}" for a in MARKS if overall.answers.get(a))
    mean = _format_scaled(overall.mean_difference, points, True) + (" points" if points else "")
    over = f"B: {counts} of {overall.cells} cells; mean difference {mean}"
    if overall.wilcoxon_p is not None:
        over += f"; Wilcoxon over {overall.data_sets} data sets p = {overall.wilcoxon_p:.3g}"
    tests = dict.fromkeys(d.test for d in rows if d.raw_p is not None)
    methods = dict.fromkeys(d.interval.method for d in rows if d.interval)
    rests = []
    if tests:
        count = sum(d.raw_p is not None for d in rows)
        rests.append(f"tests: {', '.join(tests)}, Holm over {count} {'cell' if count == 1 else 'cells'}")
    if methods:
        rests.append(f"intervals: {', '.join(methods)}")
    return [over + ".", *([clean("; ".join(rests)) + "."] if rests else [])]


def _varying_coordinates(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the coordinates that tell the cells apart; model and data set if there is only one cell."""
    names = list(dict.fromkeys(k for c in cells for k in c))
    varying = [n for n in names if len({str(c.get(n)) for c in cells}) > 1]
    return varying or [n for n in names if n in ("model", "dataset")] or names[:1]


def _cell_name(cell: Mapping[str, Any], names: Sequence[str]) -> str:
    return " · ".join(f"{n} {cell[n]}" for n in names if cell.get(n) not in ("", None))


def _format_scaled(value: float, points: bool, signed: bool = False) -> str:
    if value != value:
        return "–"
    text = f"{100 * value:{'+' if signed else ''}.2f}" if points else f"{value:{'+' if signed else ''}.4g}"
    return text.replace("-", "−", 1) if text.startswith("-") else text


def _break_lines(texts: Sequence[str], heading: str) -> list[str]:
    """Keep lines apart: Markdown joins them unless each ends with two spaces."""
    return [text + "  " for text in texts[:-1]] + list(texts[-1:]) if heading else list(texts)
