"""Judge gates over a comparison in every matched cell, at a level that holds for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.comparing.comparison import Comparison, Difference
from harness.statistics import Gate, GateAnswer, Verdict, combine_gate_answers, judge_gate, parse_gate
from harness.statistics.gates import GateError

EXIT = {GateAnswer.PASS: 0, GateAnswer.FAIL: 1, GateAnswer.INCONCLUSIVE: 3}
"""Exit status of `harness compare --fail-on`; 2 remains that of wrong use."""


@dataclass(frozen=True)
class CellVerdict:
    """A gate's verdict in one cell."""

    cell: dict[str, Any]
    verdict: Verdict

    @property
    def answer(self) -> GateAnswer:
        """Pass, fail or inconclusive."""
        return self.verdict.answer

    def to_dict(self) -> dict[str, Any]:
        """Return the verdict as JSON-able data."""
        gate, answer = str(self.verdict.gate), str(self.answer)
        return {"cell": self.cell, "gate": gate, "answer": answer, "reason": self.verdict.reason}


def parse_gates(texts: Sequence[str]) -> list[Gate]:
    """Parse gates. Raises GateError for an invalid one."""
    return [parse_gate(text) for text in texts]


def judge_all(comparison: Comparison, gates: Sequence[Gate]) -> list[CellVerdict]:
    """Return every gate's verdict in every matched cell that has its metric.

    The intervals of a gate over K cells are at level 1 − (1 − level)/K (Bonferroni), so that chance in one of
    many cells does not fail a gate: all K verdicts together err at most as often as one alone. A matched cell
    without a result or the metric makes its gate inconclusive. Raises GateError for a metric that was not
    compared.
    """
    judged = []
    nothing = "there is no result on both sides"
    for gate in gates:
        cells = [d for d in comparison.differences if d.metric == gate.metric]
        absent = [u.cell for u in comparison.unfinished]
        absent += [cell for cell, metric in comparison.lacking if metric == gate.metric]
        if not cells and not absent:
            known = ", ".join(comparison.metrics)
            raise GateError(
                f"gate '{gate}': no matched cell has the metric '{gate.metric}'; compared: {known}"
            )
        judged += [CellVerdict(d.cell, _judge_cell(gate, d, len(cells), comparison.level)) for d in cells]
        judged += [CellVerdict(cell, Verdict(gate, GateAnswer.INCONCLUSIVE, nothing)) for cell in absent]
    return judged


def combine_gate_verdicts(judged: Sequence[CellVerdict]) -> GateAnswer:
    """Return one answer for all verdicts: fail if any fails, else inconclusive if any is, else pass."""
    return combine_gate_answers(j.verdict for j in judged)


def _judge_cell(gate: Gate, difference: Difference, cells: int, level: float) -> Verdict:
    interval = difference.evidence.interval(1 - (1 - level) / cells)
    verdict = judge_gate(gate, difference.difference, interval, difference.unit)
    if interval is None and difference.reason:
        return Verdict(gate, verdict.answer, f"{verdict.reason}: {difference.reason}")
    return verdict
