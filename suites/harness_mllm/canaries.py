"""Canaries of a judge: equal answers must tie, and a false claim that is added to an answer must be caught."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from harness_mllm.answer_judge import AnswerJudge, Case, JudgeVerdict
from harness_mllm.judged import UNREADABLE


def plant_claim(answer: str, claim: str) -> str:
    """Return the answer with a claim after it, as a sentence of its own."""
    said = answer.rstrip()
    return f"{said}{'' if said[-1:] in ('.', '!', '?') else '.'} {claim}"


def try_canaries(
    judge: AnswerJudge, cases: Sequence[Case], judged: Sequence[JudgeVerdict]
) -> dict[str, float]:
    """Return `canary.identical_tie` and `canary.false_caught`, shares of the cases; empty for none.

    Comparing: the judge itself says "tie" of an answer against itself, both times (disagreeing orders do not do, or a
    judge that always takes the first would pass), and an answer wins against itself with the false claim.
    Marking: an answer that is marked again has the same marks, and lower ones with the false claim (of answers with
    more than the lowest marks). Claims: a repetition has the same verdicts, and the false claim adds one that is not
    "supported". Verdicts that can't be read neither tie nor catch. `judged` are the verdicts on the cases.
    """
    again = [replace(case, id=f"{case.id}#again", other=case.answer) for case in cases]
    planted = [_plant(judge.options.how, case, judge.options.planted) for case in cases]
    how = judge.options.how
    ask = {"compare": judge.compare, "rubric": judge.mark, "claims": judge.check}[how]
    repeated, with_claim = ask(again), ask(planted)
    ties, caught = [], []
    for before, same, false in zip(judged, repeated, with_claim, strict=True):
        if how == "compare":
            ties.append(same.verdicts == ("tie", "tie"))
            caught.append(false.verdicts == ("win", "win"))
            continue
        ties.append(UNREADABLE not in same.verdicts and same.verdicts == before.verdicts)
        fair = UNREADABLE not in (*before.verdicts, *false.verdicts)
        if how == "claims":
            caught.append(fair and _count_unsupported(false) > _count_unsupported(before))
        elif UNREADABLE in before.verdicts or _add_marks(before) > len(before.verdicts):
            caught.append(fair and _add_marks(false) < _add_marks(before))
    found = {"canary.identical_tie": ties, "canary.false_caught": caught}
    return {name: float(np.mean(values)) for name, values in found.items() if values}


def _plant(how: str, case: Case, claim: str) -> Case:
    with_claim, id = plant_claim(case.answer, claim), f"{case.id}#planted"
    if how == "compare":
        return replace(case, id=id, other=with_claim)
    return replace(case, id=id, answer=with_claim)


def _count_unsupported(verdict: JudgeVerdict) -> int:
    return sum(v in ("contradicted", "not visible") for v in verdict.verdicts)


def _add_marks(verdict: JudgeVerdict) -> int:
    return sum(int(mark) for mark in verdict.verdicts)
