"""Gates on a difference, such as `top1 < -0.5`: does B fail against A, pass, or is it undecided?"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from harness.errors import HarnessError
from harness.statistics.intervals import Interval

Scale = Literal["pp", "abs"]

OPERATORS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}

_GATE = re.compile(
    r"\s*(?P<metric>[^\s<>=]+)\s*(?P<op><=|>=|<|>)\s*"
    r"(?P<threshold>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(?P<scale>pp|abs)?\s*"
)


class GateError(HarnessError):
    """A gate expression is invalid; the text shows it and what was expected."""


class GateAnswer(StrEnum):
    """A gate's answer; the harness never turns `inconclusive` into one of the others."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Gate:
    """Fails if `metric` of B minus that of A is `op` the `threshold`.

    `scale` is the suffix of the number: `pp` for percentage points, `abs` for the metric's own scale, None
    for the scale of tables (points for fractions, the own scale otherwise).
    """

    metric: str
    op: Literal["<", "<=", ">", ">="]
    threshold: float
    scale: Scale | None = None

    def __str__(self) -> str:
        return f"{self.metric} {self.op} {self.threshold:g}{self.scale or ''}"

    def limit(self, unit: str | None = None) -> float:
        """Return the threshold on the metric's own scale: 0.5 for a `unit` of `"fraction"` is 0.005."""
        return self.threshold / 100 if self.is_in_points(unit) else self.threshold

    def is_in_points(self, unit: str | None = None) -> bool:
        """Return whether the threshold, and so its messages, are in percentage points."""
        return self.scale == "pp" or (self.scale is None and unit == "fraction")

    def is_met(self, difference: float, unit: str | None = None) -> bool:
        """Return whether the difference B − A, on the metric's own scale, meets the failing condition."""
        return bool(OPERATORS[self.op](difference, self.limit(unit)))


@dataclass(frozen=True)
class Verdict:
    """A gate's answer for one difference, with one line that gives the reason."""

    gate: Gate
    answer: GateAnswer
    reason: str


def parse_gate(text: str) -> Gate:
    """Parse a gate: a metric, one of `< <= > >=`, a number, and optionally `pp` or `abs`.

    It names what must not happen to B − A: `top1 < -0.5` fails if B lost more than half a percentage point,
    `ece > 0.02abs` if its calibration error grew by more than 0.02. Raises GateError for anything else.
    """
    found = _GATE.fullmatch(text)
    if found is None:
        raise GateError(
            f"gate {text!r}: expected METRIC OP NUMBER with OP one of < <= > >=, like 'top1 < -0.5'"
        )
    threshold = float(found["threshold"])
    if not math.isfinite(threshold):
        raise GateError(f"gate {text!r}: expected a finite number, got {found['threshold']}")
    op, scale = found["op"], found["scale"]
    return Gate(found["metric"], op, threshold, scale)  # type: ignore[arg-type]


def judge_gate(gate: Gate, difference: float, interval: Interval | None, unit: str | None = None) -> Verdict:
    """Judge an interval for B − A, on the metric's own scale, by a gate.

    Fail if the whole interval meets the gate's condition, pass if no part of it does, else inconclusive, as
    without an interval or a number. A two-sided 95 % interval so errs on either side at most 2.5 % of the
    time.
    """
    if math.isnan(difference):
        return Verdict(gate, GateAnswer.INCONCLUSIVE, "there is no difference: a number is missing")

    def scaled(value: float) -> str:
        """Return the number in the gate's unit."""
        return f"{100 * value if points else value:.4g}"

    points = gate.is_in_points(unit)
    words = " points" if points else " on its own scale"
    if interval is None:
        reason = f"the difference {scaled(difference)}{words} has no interval"
        return Verdict(gate, GateAnswer.INCONCLUSIVE, reason)
    span = f"[{scaled(interval.low)}, {scaled(interval.high)}]{words} ({100 * interval.level:.4g}%, {interval.method})"
    if math.isnan(interval.low) or math.isnan(interval.high):
        return Verdict(gate, GateAnswer.INCONCLUSIVE, f"the interval {span} is not a number")
    ends = {gate.is_met(interval.low, unit), gate.is_met(interval.high, unit)}
    against = f"the limit of {scaled(gate.limit(unit))}{words}"
    if ends == {True}:
        return Verdict(gate, GateAnswer.FAIL, f"all of {span} is beyond {against}")
    if ends == {False}:
        return Verdict(gate, GateAnswer.PASS, f"no part of {span} is beyond {against}")
    return Verdict(gate, GateAnswer.INCONCLUSIVE, f"{span} lies on both sides of {against}")


def combine_gate_answers(verdicts: Iterable[Verdict]) -> GateAnswer:
    """Return one answer for several gates: fail if any fails, else inconclusive if any is, else pass."""
    answers = {verdict.answer for verdict in verdicts}
    for answer in (GateAnswer.FAIL, GateAnswer.INCONCLUSIVE):
        if answer in answers:
            return answer
    return GateAnswer.PASS
