"""Numbers of a judge's verdicts, and their values per sample: pure functions of `Judged`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness_mllm.judged import COMPARED, UNREADABLE, Judged

Numbers = dict[str, float]
Columns = dict[str, NDArray[np.float64]]


def summarise_verdicts(judged: Judged, criteria: Sequence[str] = ()) -> tuple[Numbers, Columns]:
    """Return the numbers of the evidence's way, and for each share or mean its values per sample, N.

    A number that is undefined, such as a mark where no verdict could be read, is left out. `criteria` are the names of
    a rubric's criteria.
    """
    if judged.how == "compare":
        numbers, columns = _summarise_comparisons(judged)
    elif judged.how == "rubric":
        numbers, columns = _summarise_marks(judged, criteria)
    else:
        numbers, columns = _summarise_claims(judged)
    numbers["characters"] = float(np.mean([len(text) for text in judged.answers]))
    if (kappa := compute_agreement(judged)) is not None:
        numbers["kappa"] = kappa
    return numbers, columns


def spread_ratio(parts: Sequence[float], wholes: Sequence[float]) -> tuple[float, NDArray[np.float64]] | None:
    """Return Σ parts / Σ wholes, and values per sample whose mean it is; None if it is undefined.

    The values r + (part − r·whole) / mean(whole) linearise the ratio r (delta method), so that intervals and paired
    tests of their means are those of the ratio. A sample without a whole has the value r.
    """
    part, whole = np.asarray(parts, np.float64), np.asarray(wholes, np.float64)
    if not whole.sum():
        return None
    ratio = float(part.sum() / whole.sum())
    return ratio, ratio + (part - ratio * whole) / whole.mean()


def compute_agreement(judged: Judged) -> float | None:
    """Return Cohen's κ of verdicts and the data's right answers over the rows where both are known.

    A comparison should be won where only the student is right, lost where only the other is, else tied. A mean mark
    above the middle of the scale, and an answer without a contradicted claim, count as the judge's "right". None if
    nothing is known of both, or if all verdicts and labels are the same one, where κ is undefined.
    """
    from sklearn.metrics import cohen_kappa_score

    said, true = [], []
    for row, (right, others) in enumerate(zip(judged.right, judged.others_right, strict=True)):
        verdict = _tell_verdict(judged, row)
        if right is None or verdict is None or (judged.how == "compare" and others is None):
            continue
        said.append(verdict)
        expected = "tie" if right == others else "win" if right else "loss"
        true.append(expected if judged.how == "compare" else "right" if right else "wrong")
    if len({*said, *true}) < 2:
        return None
    return float(cohen_kappa_score(said, true))


def _tell_verdict(judged: Judged, row: int) -> str | None:
    """Return what the judge says in all, in the words of `compute_agreement`; None if it can't be read."""
    verdicts = judged.verdicts[row]
    if judged.how == "compare":
        decided = judged.decide(row)
        return None if decided == UNREADABLE else decided
    if not verdicts or UNREADABLE in verdicts:
        return None
    if judged.how == "claims":
        return "wrong" if "contradicted" in verdicts else "right"
    return "right" if np.mean([int(v) for v in verdicts]) > (1 + judged.scale) / 2 else "wrong"


def _summarise_comparisons(judged: Judged) -> tuple[Numbers, Columns]:
    rows = range(len(judged))
    decided = [judged.decide(row) for row in rows]
    shares = {"wins": "win", "losses": "loss", "ties": "tie", "unreadable": UNREADABLE}
    columns = {name: np.array([d == value for d in decided], np.float64) for name, value in shares.items()}
    columns["net_wins"] = columns["wins"] - columns["losses"]
    columns["forfeits"] = np.array([not v for v in judged.verdicts], np.float64)
    numbers = {name: float(values.mean()) for name, values in columns.items()}
    read = [pair for pair in judged.verdicts if pair and UNREADABLE not in pair]
    if read:
        numbers["orders_agree"] = float(np.mean([first == second for first, second in read]))
    # the first place holds the student in the first order, and the other in the second
    places = [(pair[0] == "win", pair[0] == "loss") for pair in judged.verdicts if pair]
    places += [(pair[1] == "loss", pair[1] == "win") for pair in judged.verdicts if pair]
    preferred = [first for first, second in places if first or second]
    if preferred:
        numbers["first_preferred"] = float(np.mean(preferred))
    lengths = [(len(a), len(b)) for a, b in zip(judged.answers, judged.others, strict=True)]
    longer = [
        (lengths[row][0] > lengths[row][1]) == (decided[row] == "win")
        for row in rows
        if decided[row] in COMPARED[:2] and judged.verdicts[row] and lengths[row][0] != lengths[row][1]
    ]
    if longer:
        numbers["longer_wins"] = float(np.mean(longer))
    numbers["characters.other"] = float(np.mean([there for _, there in lengths]))
    return numbers, columns


def _summarise_marks(judged: Judged, criteria: Sequence[str]) -> tuple[Numbers, Columns]:
    numbers: Numbers = {}
    columns: Columns = {}
    whole = [bool(marks) and UNREADABLE not in marks for marks in judged.verdicts]
    means = [
        float(np.mean([int(m) for m in v])) if ok else 0.0
        for v, ok in zip(judged.verdicts, whole, strict=True)
    ]
    _add_ratio("mark", means, whole, numbers, columns)
    for place, name in enumerate(criteria):
        given = [marks[place] for marks in judged.verdicts]
        read = [mark != UNREADABLE for mark in given]
        _add_ratio(
            f"mark.{name}",
            [int(m) if ok else 0 for m, ok in zip(given, read, strict=True)],
            read,
            numbers,
            columns,
        )
    columns["unreadable"] = np.array([UNREADABLE in marks for marks in judged.verdicts], np.float64)
    numbers["unreadable"] = float(columns["unreadable"].mean())
    return numbers, columns


def _summarise_claims(judged: Judged) -> tuple[Numbers, Columns]:
    numbers: Numbers = {}
    columns: Columns = {}
    read = [sum(v != UNREADABLE for v in verdicts) for verdicts in judged.verdicts]
    for name, value in {
        "hallucination": "contradicted",
        "supported": "supported",
        "not_visible": "not visible",
    }.items():
        _add_ratio(name, [verdicts.count(value) for verdicts in judged.verdicts], read, numbers, columns)
    known = [sum(v != UNREADABLE for v in found) for found in judged.found]
    _add_ratio("coverage", [found.count("stated") for found in judged.found], known, numbers, columns)
    every = [(*verdicts, *found) for verdicts, found in zip(judged.verdicts, judged.found, strict=True)]
    _add_ratio("unreadable", [v.count(UNREADABLE) for v in every], [len(v) for v in every], numbers, columns)
    columns["claims"] = np.array([len(claims) for claims in judged.claims], np.float64)
    numbers["claims"] = float(columns["claims"].mean())
    return numbers, columns


def _add_ratio(
    name: str, parts: Sequence[Any], wholes: Sequence[Any], numbers: Numbers, columns: Columns
) -> None:
    if (found := spread_ratio(parts, wholes)) is not None:
        numbers[name], columns[name] = found
