"""The evidence of answers: kept whole, put in any order, and refused where it contradicts itself."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import DataError
from harness_metrics.answers import Answered


def answered(**columns: Any) -> Answered:
    """Rows of which only the given columns matter; the number of rows is that of the first."""
    count = len(next(iter(columns.values())))
    columns.setdefault("extracted", ["x"] * count)
    fallback = ["unparsed" if e is None else "ok" for e in columns["extracted"]]
    defaults: dict[str, Any] = {
        "ids": [f"q{i}" for i in range(count)],
        "groups": [f"i{i}" for i in range(count)],
        "prompts": [0] * count,
        "texts": [e or "" for e in columns["extracted"]],
        "outcomes": fallback,
        "references": [[]] * count,
        "choices": [[]] * count,
        "right": [None] * count,
    }
    return Answered(**{**defaults, **columns})


def columns_of(answers: Answered) -> dict[str, Any]:
    return {field.name: getattr(answers, field.name) for field in fields(answers)}


@given(st.floats(0, 1), st.integers(0, 99))
def test_packed_and_unpacked_it_is_the_same(quality: float, seed: int) -> None:
    answers = Answered.example(quality, seed)
    packed = answers.pack()
    assert json.loads(json.dumps(packed)) == packed
    assert columns_of(Answered.unpack(packed)) == columns_of(answers)


def test_it_is_kept_with_a_record(tmp_path: Path) -> None:
    from types import SimpleNamespace

    from harness.records.evidence_files import read_header, write_evidence

    record: Any = SimpleNamespace(id="r", provenance={"started": "now"}, cell={})
    answers = answered(extracted=["\ud800 odd", None], objects=[["cat"], []])
    write_evidence(tmp_path / "e.npz", record, {"": answers})
    header = read_header(tmp_path / "e.npz")
    assert header is not None
    assert header.missing is None
    assert columns_of(header.read([Answered])[""]) == columns_of(answers)


def test_shuffled_rows_stay_whole() -> None:
    answers = Answered.example(0.4, 3)
    rows = set(zip(*columns_of(answers).values(), strict=True))
    shuffled = answers.shuffled(1)
    assert shuffled.ids != answers.ids
    assert set(zip(*columns_of(shuffled).values(), strict=True)) == rows


def test_example_has_the_quality_asked_for() -> None:
    for quality in (0.0, 0.25, 1.0):
        answers = Answered.example(quality, 7)
        right = [
            outcome == "ok" and said == choices[index]
            for outcome, said, choices, index in zip(
                answers.outcomes, answers.extracted, answers.choices, answers.right, strict=True
            )
        ]
        assert np.mean(right) == quality
    assert set(Answered.example(0.0, 7).outcomes) == {"ok", "unparsed", "refused", "truncated", "failed"}


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ({"extracted": ["x"], "outcomes": ["fine"]}, "question 'q0': the outcome is 'fine'"),
        ({"extracted": [None], "outcomes": ["ok"]}, "nothing|no answer was extracted"),
        ({"extracted": ["x"], "outcomes": ["failed"]}, "'failed', so nothing can have been extracted"),
        ({"extracted": ["x"], "outcomes": ["refused"]}, "'refused', so nothing can have been extracted"),
        (
            {"extracted": ["x"], "choices": [["x"]], "right": [1]},
            "choice 1 is right, and there are 1 choices",
        ),
        ({"extracted": ["y"], "choices": [["x"]], "right": [0]}, "'y' was extracted, which is none of its"),
        ({"ids": ["a", "a"]}, "question 'a' has two answers for prompt 0 and order 0"),
        ({"ids": ["a", "b"], "groups": ["i"]}, "1 groups for 2 ids"),
        ({"ids": ["a", "b"], "objects": [["cat"]]}, "1 objects for 2 ids"),
    ],
)
def test_contradictions_are_refused(columns: dict[str, Any], problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        answered(**columns)


def test_one_question_may_have_several_prompts_and_orders() -> None:
    assert len(answered(ids=["a"] * 3, prompts=[0, 1, 0], orders=[0, 0, 1])) == 3
