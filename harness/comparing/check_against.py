"""Check one model against a recorded leaderboard: for test suites, without the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.comparing.comparison import Comparison, compare
from harness.comparing.gating import CellVerdict, combine_gate_verdicts, judge_all, parse_gates
from harness.comparing.sides import Side
from harness.comparing.text import render_comparison_text
from harness.planning.suite import find_suite_name
from harness.records.store import Store
from harness.statistics import GateAnswer

if TYPE_CHECKING:
    from harness.api import SuiteLike


@dataclass(frozen=True, eq=False)
class CheckResult:
    """The gates' combined answer, each verdict, and the comparison behind them."""

    answer: GateAnswer
    judged: Sequence[CellVerdict]
    comparison: Comparison
    failed: Sequence[str] = ()
    """Cells that this check ran and that failed, with the reason."""

    def __str__(self) -> str:
        text = render_comparison_text(self.comparison, self.judged).rstrip()
        return "\n".join([text, *(f"run: {line}" for line in self.failed)])


def check_against(
    suite: SuiteLike,
    *,
    model: str,
    fail_on: Sequence[str],
    baseline_store: str | Path,
    store: str | Path,
    baseline_model: str | None = None,
    where: Mapping[str, Any] | None = None,
    run: bool = True,
    level: float = 0.95,
    **running: Any,
) -> CheckResult:
    """Compare a model of `store` (B) with the recorded `baseline_store` (A) on a suite's cells.

    With `run`, cells missing in `store` are run first: `model` is then a label or pattern of the suite's, or
    a new reference, and `running` are settings of `harness.run` (`datasets`, `limit`, `device`, …).
    `baseline_model` is the label of the recorded model, by default the same. `where` narrows both sides, like
    `{"dataset": "imagenet*"}`. Cells that only the baseline has are not judged. Raises HarnessError for
    anything that can't be run or compared, or an invalid gate.
    """
    gates = parse_gates(fail_on)
    labels, failed, name = [model], [], _suite_name(suite)
    if run:
        from harness.api import run as run_suite

        outcome = run_suite(suite, store=store, models=[model], **running)
        name = outcome.plan.suite.name
        labels = sorted({p.cell.model.label for p in outcome.plan if p.cell.model})
        failed = [f"{r.coordinates.get('dataset')}: {r.status}: {r.reason}" for r in outcome.failed]
    shared = dict(where or {})
    recorded = [baseline_model] if baseline_model else labels
    a = Side("A", Store(baseline_store), {"model": recorded, **shared})
    b = Side("B", Store(store), {"model": labels, **shared})
    metrics = list(dict.fromkeys(gate.metric for gate in gates))
    found = compare(a, b, metrics=metrics, suites=[name], level=level)
    judged = judge_all(found, gates)
    return CheckResult(combine_gate_verdicts(judged), judged, found, failed)


def _suite_name(suite: SuiteLike) -> str:
    if isinstance(suite, str | Path):
        return find_suite_name(str(suite)).rpartition("/")[2]
    return str(suite["name"]) if isinstance(suite, Mapping) else suite.name
