"""A comparison of two stores together with its gates' verdicts: as text, data, DataFrame and HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.comparing.comparison import Comparison, compare
from harness.comparing.gating import EXIT, CellVerdict, combine_gate_verdicts, judge_all, parse_gates
from harness.comparing.sides import Side
from harness.comparing.text import render_comparison_markdown, render_comparison_text, verdict_lines
from harness.errors import HarnessError, did_you_mean
from harness.planning.suite import find_suite_name
from harness.records.store import Store
from harness.statistics import GateAnswer
from harness.statistics.checks import check_level

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 40
"""Differences that a notebook shows; `frame()` has all."""

WRITERS = {"terminal": render_comparison_text, "markdown": render_comparison_markdown}


@dataclass(frozen=True, eq=False, repr=False)
class JudgedComparison:
    """A comparison of B with A, and each gate's verdict in each matched cell."""

    comparison: Comparison
    verdicts: Sequence[CellVerdict] = ()

    @property
    def answer(self) -> GateAnswer:
        """Pass, fail or inconclusive over all verdicts; without gates it passes."""
        return combine_gate_verdicts(self.verdicts)

    @property
    def exit_status(self) -> int:
        """The exit status of `harness compare`: 0 pass, 1 fail, 3 inconclusive."""
        return EXIT[self.answer]

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as JSON-able data: what `harness compare --json` prints."""
        data = self.comparison.to_dict()
        if self.verdicts:
            verdicts = [verdict.to_dict() for verdict in self.verdicts]
            data["gates"] = {"answer": str(self.answer), "verdicts": verdicts}
        return data

    def frame(self) -> pd.DataFrame:
        """Return the differences as a DataFrame: a row per metric and matched cell.

        `low` and `high` are the interval's ends, `p_value` is before and `p_holm` after Holm's correction;
        all numbers are on the metric's own scale.
        """
        import pandas as pd

        rows = []
        for found in self.comparison.to_dict()["differences"]:
            low, high = found.pop("interval") or (None, None)
            cell = {name: value for name, value in found.pop("cell").items() if name not in found}
            answer, reason = found.pop("answer"), found.pop("reason")
            rows.append({**cell, **found, "low": low, "high": high, "answer": answer, "reason": reason})
        return pd.DataFrame(rows)

    def render(self, format: str = "terminal", significant: bool = False) -> str:
        """Return the comparison as text, `terminal` or `markdown`.

        `significant` leaves out rows that show no difference. Raises HarnessError for another format.
        """
        if format not in WRITERS:
            raise HarnessError(f"no format '{format}' of comparisons{did_you_mean(format, WRITERS)}")
        return WRITERS[format](self.comparison, self.verdicts, significant)

    def __str__(self) -> str:
        return self.render()

    def __repr__(self) -> str:
        following = "print() shows all; .frame() has the differences as a DataFrame"
        return "\n".join([*self._lines(), f"  {following}"])

    def _repr_html_(self) -> str:
        """Return what a notebook shows: both sides, the gates, and the differences."""
        columns = ["metric", "a", "b", "difference", "low", "high", "p_holm", "answer"]
        data = self.frame()
        if len(data):
            varied = [c for c in data.columns[: data.columns.get_loc("metric")] if data[c].nunique() > 1]
            data = data[[*varied, *columns]]
        lines = "<br>".join(escape(line.strip()) for line in self._lines())
        number = "{:.4g}".format
        return f"<p>{lines}</p>{data.to_html(index=False, na_rep='–', float_format=number, max_rows=SHOWN)}"

    def _lines(self) -> list[str]:
        found = self.comparison
        lines = [f"A: {found.a}", f"B: {found.b}"]
        for overall in found.overall():
            counts = ", ".join(f"{answer} in {count}" for answer, count in overall.answers.items() if count)
            lines.append(f"  {overall.metric}: B is {counts} of {overall.cells} cells")
        rest = {
            "not ok on both sides": len(found.unfinished) + len(found.lacking),
            "only in A": len(found.only_a),
            "only in B": len(found.only_b),
        }
        lines += [f"  {count} cells {what}" for what, count in rest.items() if count]
        lines += [f"  warning: {warning}" for warning in found.warnings]
        return lines + [f"  {line}" for line in (verdict_lines(self.verdicts)[-1:] if self.verdicts else [])]


def compare_stores(
    a: str | Path,
    b: str | Path,
    *,
    where: Mapping[str, Any],
    where_a: Mapping[str, Any],
    where_b: Mapping[str, Any],
    suites: Sequence[str],
    metrics: Sequence[str],
    fail_on: Sequence[str],
    level: float,
) -> JudgedComparison:
    """Compare store B with store A, and judge the gates `fail_on` in every matched cell.

    Without `metrics`, those of the gates are compared, or each cell's first metric if there are no gates.
    Raises HarnessError for an invalid gate, selection or level, or if nothing matches.
    """
    gates = parse_gates(fail_on)
    found = compare(
        Side("A", Store(a), {**where, **where_a}),
        Side("B", Store(b), {**where, **where_b}),
        metrics=[*metrics, *(gate.metric for gate in gates)],
        suites=[find_suite_name(text) for text in suites],
        level=check_level(level),
    )
    return JudgedComparison(found, judge_all(found, gates))
