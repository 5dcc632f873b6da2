"""Comparing two stores, or two selections within one, with paired statistics and gates."""

from harness.compare.comparison import (
    Comparison,
    Difference,
    Overall,
    Unfinished,
    Warned,
    compare,
)
from harness.compare.gating import EXIT, Judged, answer, judge_all, parse_gates
from harness.compare.remarks import MatchedRemark
from harness.compare.sides import CompareError, Side, parse_selection
from harness.compare.text import markdown, terminal

__all__ = [
    "EXIT",
    "CompareError",
    "Comparison",
    "Difference",
    "Judged",
    "MatchedRemark",
    "Overall",
    "Side",
    "Unfinished",
    "Warned",
    "answer",
    "compare",
    "judge_all",
    "markdown",
    "parse_gates",
    "parse_selection",
    "terminal",
]
