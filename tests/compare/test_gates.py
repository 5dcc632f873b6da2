"""Gates of `harness compare`: three answers, their exit statuses, and many cells at once."""

import json

import numpy as np
import pytest

from harness.cli import main
from harness.comparing import Side, combine_gate_verdicts, compare, judge_all, parse_gates


def stores(maker, *pairs):
    """Stores A and B with one data set for each pair of hits."""
    a, b = maker("a"), maker("b")
    for n, (before, after) in enumerate(pairs):
        a.record("m", f"d{n}", before)
        b.record("m", f"d{n}", after)
    return [str(a.done().path), str(b.done().path)]


def lost(count, n=1000):
    before = np.ones(n)
    after = before.copy()
    after[:count] = 0
    return before, after


@pytest.mark.parametrize(
    ("pairs", "status", "word"),
    [
        ([lost(0)], 0, "PASS"),
        ([lost(100)], 1, "FAIL"),
        ([lost(6)], 3, "INCONCLUSIVE"),  # the difference is −0.6 points, its interval reaches over −0.5
        ([lost(0), lost(100)], 1, "FAIL"),
        ([lost(0), lost(6)], 3, "INCONCLUSIVE"),
    ],
)
def test_three_answers_and_exit_statuses(maker, capsys, pairs, status, word):
    assert main(["compare", *stores(maker, *pairs), "--fail-on", "top1 < -0.5"]) == status
    assert f"gates: {word}" in capsys.readouterr().out


def test_json_has_the_verdicts(maker, capsys):
    given = [*stores(maker, lost(0), lost(100)), "--fail-on", "top1 < -0.5", "--json"]
    assert main(["compare", *given]) == 1
    gates = json.loads(capsys.readouterr().out)["gates"]
    assert gates["answer"] == "fail"
    assert [(v["cell"]["dataset"], v["answer"]) for v in gates["verdicts"]] == [
        ("d0", "pass"),
        ("d1", "fail"),
    ]


@pytest.mark.parametrize("text", ["top1 below 1", "top1 <", "__import__('os') < 1 or 1"])
def test_what_is_no_gate_is_wrong_use(maker, capsys, text):
    assert main(["compare", *stores(maker, lost(0)), "--fail-on", text]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_unknown_metric_of_a_gate_is_wrong_use(maker, capsys):
    assert main(["compare", *stores(maker, lost(0)), "--fail-on", "top2 < -0.5"]) == 2
    assert "did you mean 'top1'?" in capsys.readouterr().err


def test_a_cell_that_failed_never_passes_a_gate(maker):
    a, b = maker("a"), maker("b")
    for data in ("good", "bad"):
        a.record("m", data, np.ones(50))
    b.record("m", "good", np.ones(50))
    b.record("m", "bad", status="oom", reason="memory ended")
    found = compare(Side("A", a.done()), Side("B", b.done()))
    judged = judge_all(found, parse_gates(["top1 < -0.5"]))
    assert {j.cell["dataset"]: str(j.answer) for j in judged} == {"good": "pass", "bad": "inconclusive"}
    assert combine_gate_verdicts(judged) == "inconclusive"


def test_a_missing_metric_never_passes_a_gate(maker):
    a, b = maker("a"), maker("b")
    for made, metrics in ((a, {"ece": 0.1}), (b, {})):
        made.record("m", "d", np.ones(50), values=metrics)
    found = compare(Side("A", a.done()), Side("B", b.done()), metrics=["ece"])
    assert combine_gate_verdicts(judge_all(found, parse_gates(["ece > 0.02"]))) == "inconclusive"


def test_no_pairing_is_inconclusive_with_the_reason(maker):
    a, b = maker("a"), maker("b")
    a.record("m", "d", np.ones(50))
    b.record("m", "d", np.zeros(50), files=False)
    found = compare(Side("A", a.done()), Side("B", b.done()))
    (judged,) = judge_all(found, parse_gates(["top1 < -0.5"]))
    assert judged.answer == "inconclusive"
    assert "no per-sample records in B" in judged.verdict.reason


def test_chance_in_many_cells_fails_no_gate(maker):
    """Equal models on 25 small data sets: uncorrected, many a run would fail in some cell."""
    rng = np.random.default_rng(1)
    alone = together = 0
    for trial in range(3):
        a, b = maker(f"a{trial}"), maker(f"b{trial}")
        for data in range(25):
            a.record("m", f"d{data}", rng.random(100) < 0.8)
            b.record("m", f"d{data}", rng.random(100) < 0.8)
        found = compare(Side("A", a.done()), Side("B", b.done()))
        (gate,) = parse_gates(["top1 < -0.5"])
        alone += any(gate.is_met(d.interval.high, "fraction") for d in found.differences)
        together += combine_gate_verdicts(judge_all(found, [gate])) == "fail"
    assert alone >= 1
    assert together == 0


def test_a_strict_level_still_sees_a_large_loss_among_many_cells(maker):
    pairs = [lost(0)] * 60 + [lost(100)]
    a, b = stores(maker, *pairs)
    assert main(["compare", a, b, "--fail-on", "top1 < -0.5"]) == 1
