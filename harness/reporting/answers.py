"""Excerpts of records that hold answers: questions with images, what was said, read and accepted, by outcome.

Any record is shown so whose samples have the columns `answer` and `outcome`. Further columns are shown if they are
there: `question` or `prompt`, `extracted`, `accepted`, `reason`, `order`, metrics by sample, and a few others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.records.record import Record
from harness.reporting.rendered_questions import ShownTurn, cut_turns, read_rendered_question

if TYPE_CHECKING:
    import pyarrow as pa

    from harness.reporting.thumbnails import Thumbnails

NEEDED = frozenset({"id", "answer", "outcome"})
OUTCOMES = ("wrong", "partly right", "unparsed", "refused", "truncated", "failed", "right", "answered")
"""What became of an answer, in the order shown; `answered` is one that was read and has no score."""

KNOWN = NEEDED | {"question", "prompt", "extracted", "accepted", "reason", "order", "cluster"}
FURTHER = 5
"""Columns of any other name that are shown, such as a judge's verdicts."""

QUESTION = 800
ANSWER = 300
SHORT = 160
"""Characters that are shown: of a question, of an answer, of anything else; together about those of other samples."""


def has_answers(samples: pa.Table) -> bool:
    """Return whether samples hold answers with their outcomes."""
    return set(samples.column_names) >= NEEDED


def excerpt_answers(record: Record, samples: pa.Table, rows: int, thumbnails: Thumbnails) -> dict[str, Any]:
    """Return at most `rows` answers, spread over the outcomes, as JSON-able data; `outcomes` counts all of them."""
    outcomes = tell_outcomes(record, samples)
    chosen = spread_over_outcomes(outcomes, rows)
    part = samples.take(np.asarray(chosen, dtype=np.int64)).to_pydict()
    metrics = [name for name in samples.column_names if name in record.metrics]
    further = [name for name in samples.column_names if name not in KNOWN and name not in metrics][:FURTHER]
    questions = [_read_question(part, n) for n in range(len(chosen))]
    digests = [
        [d for turn in reversed(q) for p in turn.parts if not isinstance(p, str) for d in p]
        for q in questions
    ]
    order = _take_turns([outcomes[row] for row in chosen])
    added = thumbnails.add_asked(record, [str(part["id"][n]) for n in order], [digests[n] for n in order])
    places = added.pop("places", {})
    answers = []
    for n, row in enumerate(chosen):
        turns = [
            [turn.role, *(p if isinstance(p, str) else places.get(p[0], -1) for p in turn.parts)]
            for turn in cut_turns(questions[n], QUESTION)
        ]
        texts = {
            name: _cut(part[name][n], SHORT)
            for name in ("id", "extracted", "accepted", "reason")
            if name in part
        }
        scores = {name: _as_score(part[name][n]) for name in metrics}
        answer = {
            **texts, "outcome": outcomes[row], "turns": turns, "answer": _cut(part["answer"][n], ANSWER),
            "order": part["order"][n] if "order" in part else 0, "scores": scores,
            "further": {name: text for name in further if (text := _cut(part[name][n], SHORT))},
        }  # fmt: skip
        answers.append({name: value for name, value in answer.items() if value not in ("", None, 0, {}, [])})
    counts = Counter(outcomes)
    return {
        "total": len(samples),
        "columns": samples.column_names,
        "outcomes": {name: counts[name] for name in dict.fromkeys([*OUTCOMES, *counts]) if counts[name]},
        "answers": answers,
        **added,
    }


def tell_outcomes(record: Record, samples: pa.Table) -> list[str]:
    """Return what became of each answer: its outcome, where that is "ok" by the score whether it is right.

    The score is the first metric by sample that is higher for better answers and lies between 0 and 1, one that is
    either if there is such a one.
    """
    names = [n for n in samples.column_names if n in record.metrics and record.directions.get(n, True)]
    fractions = [n for n in names if n in record.binary] + [
        n for n in names if record.units.get(n) == "fraction"
    ]
    scores = samples[fractions[0]].to_pylist() if fractions else [None] * len(samples)
    return [
        str(outcome or "") if outcome != "ok" else _name_score(score)
        for outcome, score in zip(samples["outcome"].to_pylist(), scores, strict=True)
    ]


def _name_score(score: float | None) -> str:
    if score is None or not np.isfinite(score):
        return "answered"
    return "right" if score >= 1 else "wrong" if score <= 0 else "partly right"


def spread_over_outcomes(outcomes: Sequence[str], rows: int) -> list[int]:
    """Return at most `rows` places, as evenly over the outcomes as their numbers allow, grouped by outcome.

    Those of one outcome are spread evenly over the samples, so that no order of a data set decides what is seen.
    """
    places: dict[str, list[int]] = {}
    for n, outcome in enumerate(outcomes):
        places.setdefault(outcome, []).append(n)
    shares: dict[str, int] = {}
    left = rows
    for done, name in enumerate(sorted(places, key=lambda name: len(places[name]))):
        shares[name] = min(len(places[name]), -(-left // (len(places) - done)))
        left -= shares[name]
    known = [name for name in dict.fromkeys([*OUTCOMES, *places]) if name in places]
    return [
        places[name][int(k)]
        for name in known
        for k in np.linspace(0, len(places[name]) - 1, shares[name]).astype(int)
    ]


def _take_turns(outcomes: Sequence[str]) -> list[int]:
    """Return all places, the first of each outcome before the second of any."""
    seen: Counter[str] = Counter()
    ranks = []
    for outcome in outcomes:
        ranks.append(seen[outcome])
        seen[outcome] += 1
    return sorted(range(len(outcomes)), key=ranks.__getitem__)


def _read_question(part: dict[str, list[Any]], row: int) -> list[ShownTurn]:
    name = "question" if "question" in part else "prompt"
    return read_rendered_question(str(part[name][row] or "")) if name in part else []


def _cut(value: Any, letters: int) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= letters else text[:letters] + "…"


def _as_score(value: Any) -> float | None:
    usable = isinstance(value, int | float) and np.isfinite(value)
    return float(f"{float(value):.4g}") if usable else None
