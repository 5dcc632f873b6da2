"""Gates: what parses, on which scale, and the three answers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.statistics import (
    Gate,
    GateAnswer,
    GateError,
    Interval,
    combine_gate_answers,
    judge_gate,
    parse_gate,
)


def interval(low: float, high: float) -> Interval:
    return Interval(low, high, 0.95, "t", 5)


@pytest.mark.parametrize(
    ("text", "gate"),
    [
        ("top1 < -0.5", Gate("top1", "<", -0.5)),
        ("  ece>0.02abs ", Gate("ece", ">", 0.02, "abs")),
        ("recall@5 <= -1e-1 pp", Gate("recall@5", "<=", -0.1, "pp")),
        ("fid/clean-v2 >= +.5", Gate("fid/clean-v2", ">=", 0.5)),
        ("top1<-1.", Gate("top1", "<", -1.0)),
    ],
)
def test_parses(text: str, gate: Gate) -> None:
    assert parse_gate(text) == gate
    assert parse_gate(str(gate)) == gate


@pytest.mark.parametrize(
    "text",
    ["", "top1", "top1 -0.5", "top1 == 0", "top1 < nan", "top1 < 1 < 2", "< 0.5", "top1 < 1%", "top1 < 1,5"],
)
def test_refuses_in_one_line(text: str) -> None:
    with pytest.raises(GateError, match="expected METRIC OP NUMBER") as caught:
        parse_gate(text)
    assert "\n" not in str(caught.value)


def test_refuses_an_infinite_limit() -> None:
    with pytest.raises(GateError, match="finite number"):
        parse_gate("top1 < 1e999")
    assert parse_gate("top1 < -0.5").metric == "top1"


def test_fractions_are_held_against_percentage_points() -> None:
    assert parse_gate("top1 < -0.5").limit("fraction") == pytest.approx(-0.005)
    assert parse_gate("fid > 2").limit(None) == 2
    assert parse_gate("ece > 0.02abs").limit("fraction") == 0.02
    assert parse_gate("ece > 2pp").limit(None) == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("text", "low", "high", "answer"),
    [
        ("top1 < -0.5", -0.02, -0.006, GateAnswer.FAIL),
        ("top1 < -0.5", -0.02, 0.001, GateAnswer.INCONCLUSIVE),
        ("top1 < -0.5", -0.004, 0.010, GateAnswer.PASS),
        ("top1 > 0.5", 0.006, 0.020, GateAnswer.FAIL),
        ("top1 > 0.5", -0.020, 0.004, GateAnswer.PASS),
        ("top1 < 0", 0.0, 0.0, GateAnswer.PASS),
        ("top1 <= 0", 0.0, 0.0, GateAnswer.FAIL),
        ("top1 >= 0", -0.1, 0.0, GateAnswer.INCONCLUSIVE),
    ],
)
def test_three_answers(text: str, low: float, high: float, answer: GateAnswer) -> None:
    verdict = judge_gate(parse_gate(text), (low + high) / 2, interval(low, high), "fraction")
    assert verdict.answer is answer
    assert "95%" in verdict.reason


def test_without_evidence_nothing_is_decided() -> None:
    gate = parse_gate("top1 < -0.5")
    assert judge_gate(gate, -0.3, None, "fraction").answer is GateAnswer.INCONCLUSIVE
    assert "missing" in judge_gate(gate, math.nan, interval(-1, -1), "fraction").reason
    assert judge_gate(gate, -0.3, interval(math.nan, 0), "fraction").answer is GateAnswer.INCONCLUSIVE


def test_overall_is_the_worst() -> None:
    gate = parse_gate("top1 < -0.5")
    passed, failed = (judge_gate(gate, x, interval(x, x), "fraction") for x in (0.0, -0.1))
    unsure = judge_gate(gate, 0.0, None)
    assert combine_gate_answers([passed]) is combine_gate_answers([]) is GateAnswer.PASS
    assert combine_gate_answers([passed, unsure]) is GateAnswer.INCONCLUSIVE
    assert combine_gate_answers([passed, failed, unsure]) is GateAnswer.FAIL


@given(
    st.sampled_from(["<", "<=", ">", ">="]),
    st.floats(-5, 5),
    st.floats(-5, 5),
    st.floats(0, 3),
    st.floats(0, 3),
)
@settings(max_examples=200, deadline=None)
def test_a_wider_interval_never_turns_one_decision_into_the_other(
    op: str, limit: float, low: float, width: float, more: float
) -> None:
    gate = Gate("m", op, limit)
    narrow = judge_gate(gate, low, interval(low, low + width)).answer
    wide = judge_gate(gate, low, interval(low - more, low + width + more)).answer
    assert wide in (narrow, GateAnswer.INCONCLUSIVE)
    assert (narrow is GateAnswer.FAIL) <= gate.is_met(low)


@pytest.mark.parametrize(
    ("text", "unit", "span", "limit"),
    [
        ("top1 < -0.5", "fraction", "[-12.5, -8.2] points", "-0.5 points"),
        ("top1 < -0.5pp", None, "[-12.5, -8.2] points", "-0.5 points"),
        ("top1 < -0.005abs", "fraction", "[-0.125, -0.082] on its own scale", "-0.005 on its own scale"),
        ("nll < -0.01", None, "[-0.125, -0.082] on its own scale", "-0.01 on its own scale"),
    ],
)
def test_a_verdict_stays_in_the_unit_of_its_gate(text, unit, span, limit):
    found = judge_gate(parse_gate(text), -0.1, Interval(-0.125, -0.082, 0.95, "t", 3), unit)
    assert found.reason == f"all of {span} (95%, t) is beyond the limit of {limit}"
    none = judge_gate(parse_gate(text), -0.1, None, unit)
    assert none.reason.endswith(f"{span.partition('] ')[2]} has no interval")
