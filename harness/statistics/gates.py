"""Gates on a difference, such as `top1 < -0.5`: does B fail against A, pass, or can't it be told?"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from harness.errors import HarnessError, did_you_mean
from harness.statistics.intervals import Interval

Scale = Literal["pp", "abs"]

_GATE = re.compile(
    r"\s*(?P<metric>[^\s<>=]+)\s*(?P<op><=|>=|<|>)\s*"
    r"(?P<threshold>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(?P<scale>pp|abs)?\s*"
)


class GateError(HarnessError):
    """A gate expression is not valid; the text shows it and what was expected."""


class GateAnswer(StrEnum):
    """What a gate says; the harness never turns `inconclusive` into one of the others."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True)
class Gate:
    """Fails where `metric` of B minus that of A is `op` the `threshold`.

    `scale` is what was written after the number: `pp` for percentage points, `abs` for the
    metric's own scale, None for what tables show (points for fractions, the own scale otherwise).
    """

    metric: str
    op: Literal["<", "<=", ">", ">="]
    threshold: float
    scale: Scale | None = None

    def __str__(self) -> str:
        return f"{self.metric} {self.op} {self.threshold:g}{self.scale or ''}"

    def limit(self, unit: str | None = None) -> float:
        """The threshold on the metric's own scale: 0.5 for a `unit` of `"fraction"` is 0.005."""
        return self.threshold / 100 if self.is_in_points(unit) else self.threshold

    def is_in_points(self, unit: str | None = None) -> bool:
        """Whether the threshold is in percentage points, and so what is said of it."""
        return self.scale == "pp" or (self.scale is None and unit == "fraction")

    def is_met(self, difference: float, unit: str | None = None) -> bool:
        """Whether this difference B − A, on the metric's own scale, meets the failing condition."""
        limit = self.limit(unit)
        if self.op == "<":
            return difference < limit
        if self.op == "<=":
            return difference <= limit
        return difference > limit if self.op == ">" else difference >= limit


@dataclass(frozen=True)
class Verdict:
    """A gate's answer for one difference, with one line that says what it rests on."""

    gate: Gate
    answer: GateAnswer
    reason: str


def parse_gate(text: str, metrics: Iterable[str] | None = None) -> Gate:
    """The gate that `text` describes: metric, one of `< <= > >=`, a number, and `pp` or `abs` or nothing.

    It names what must not happen to the difference B − A: `top1 < -0.5` fails when B has lost more than
    half a percentage point, `ece > 0.02abs` when its calibration error has grown by more than 0.02.
    Raises GateError for anything else, or for a metric not among `metrics`.
    """
    found = _GATE.fullmatch(text)
    if found is None:
        raise GateError(
            f"gate {text!r}: expected METRIC OP NUMBER with OP one of < <= > >=, like 'top1 < -0.5'"
        )
    known = None if metrics is None else list(metrics)
    if known is not None and found["metric"] not in known:
        raise GateError(f"gate {text!r}: no metric {found['metric']!r}{did_you_mean(found['metric'], known)}")
    threshold = float(found["threshold"])
    if not math.isfinite(threshold):
        raise GateError(f"gate {text!r}: expected a finite number, got {found['threshold']}")
    op, scale = found["op"], found["scale"]
    return Gate(found["metric"], op, threshold, scale)  # type: ignore[arg-type]


def judge(gate: Gate, difference: float, interval: Interval | None, unit: str | None = None) -> Verdict:
    """Holds an interval for B − A, on the metric's own scale, against a gate.

    Fail where the whole interval meets the gate's condition, pass where no part of it does, and
    inconclusive where it does in part, or where there is no interval or no number at all. A
    two-sided 95 % interval so errs on either side at most 2.5 % of the time.
    """
    if math.isnan(difference):
        return Verdict(gate, GateAnswer.INCONCLUSIVE, "there is no difference: a number is missing")

    def said(value: float) -> str:
        """The number in the unit in which the gate was given."""
        return f"{100 * value if points else value:.4g}"

    points = gate.is_in_points(unit)
    words = " points" if points else " on its own scale"
    if interval is None:
        reason = f"the difference {said(difference)}{words} has no interval"
        return Verdict(gate, GateAnswer.INCONCLUSIVE, reason)
    span = f"[{said(interval.low)}, {said(interval.high)}]{words} ({100 * interval.level:.4g}%, {interval.method})"
    if math.isnan(interval.low) or math.isnan(interval.high):
        return Verdict(gate, GateAnswer.INCONCLUSIVE, f"the interval {span} is not a number")
    ends = {gate.is_met(interval.low, unit), gate.is_met(interval.high, unit)}
    against = f"the limit of {said(gate.limit(unit))}{words}"
    if ends == {True}:
        return Verdict(gate, GateAnswer.FAIL, f"all of {span} is beyond {against}")
    if ends == {False}:
        return Verdict(gate, GateAnswer.PASS, f"no part of {span} is beyond {against}")
    return Verdict(gate, GateAnswer.INCONCLUSIVE, f"{span} lies on both sides of {against}")


def combine_answers(verdicts: Iterable[Verdict]) -> GateAnswer:
    """One answer for several gates: fail if any fails, else inconclusive if any is, else pass."""
    answers = {verdict.answer for verdict in verdicts}
    for answer in (GateAnswer.FAIL, GateAnswer.INCONCLUSIVE):
        if answer in answers:
            return answer
    return GateAnswer.PASS
