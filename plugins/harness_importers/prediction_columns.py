"""Which columns of a file hold ids, targets, predicted labels and scores: by options, else by usual names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from harness import DataError, did_you_mean

USUAL: Mapping[str, Sequence[str]] = {
    "id": ("id", "ids", "sample", "sample_id", "image_id", "image", "image_name", "filename", "file", "path", "key"),
    "target": ("target", "targets", "ground_truth", "true_label", "true", "gt", "y_true", "y", "label", "labels"),
    "prediction": (
        "prediction", "predictions", "predicted", "predicted_label", "pred", "preds", "pred_label", "y_pred",
    ),
    "logits": ("logits", "logit"),
    "probabilities": ("probabilities", "probability", "probs", "prob", "softmax", "proba"),
    "scores": ("scores", "score", "outputs", "output"),
}  # fmt: skip
"""Names of columns and arrays, in any case."""

PREFIXES: Mapping[Literal["logits", "probabilities"], re.Pattern[str]] = {
    "logits": re.compile(r"logits?[_. :](.+)", re.IGNORECASE | re.DOTALL),
    "probabilities": re.compile(r"(?:prob|probs|proba|probability|probabilities|softmax)[_. :](.+)", re.IGNORECASE | re.DOTALL),
}  # fmt: skip


@dataclass(frozen=True)
class ColumnNames:
    """The names that options give."""

    id: str | None = None
    target: str | None = None
    prediction: str | None = None
    logits: str | None = None
    probabilities: str | None = None


@dataclass(frozen=True)
class ScoreColumns:
    """The columns of scores in their order: one of arrays, or one for each class, with what these are called."""

    columns: Sequence[str]
    kind: Literal["logits", "probabilities"] | None
    classes: Sequence[str] | None = None
    listed: bool = False
    """Whether one column or array holds the scores of all classes."""


def find_columns(there: Sequence[str], given: ColumnNames, file: Path) -> dict[str, str | None]:
    """Return the columns of ids, targets and predicted labels, None for what the file lacks.

    Raises DataError for a named one that is not there, and for two that could be meant.
    """
    return {
        what: _find_one(there, getattr(given, what), what, file) for what in ("id", "target", "prediction")
    }


def find_score_columns(there: Sequence[str], given: ColumnNames, file: Path) -> ScoreColumns | None:
    """Return the columns of scores, or None. Raises DataError as `find_columns`, and for missing numbers among them."""
    kinds: tuple[Literal["logits", "probabilities"], ...] = ("logits", "probabilities")
    for asked in kinds:
        if (named := getattr(given, asked)) is not None:
            return _match_named(there, named, asked, file)
    single: list[ScoreColumns] = []
    for what in ("logits", "probabilities", "scores"):
        column = _find_one(there, None, what, file)
        if column is not None:
            kind = next((kind for kind in kinds if kind == what), None)
            single.append(ScoreColumns([column], kind, listed=True))
    several = [
        _order([(name, end[1]) for name in there if (end := pattern.fullmatch(name))], which, file)
        for which, pattern in PREFIXES.items()
    ]
    found = [*single, *(columns for columns in several if columns is not None)]
    if len(found) > 1:
        shown = " and ".join(f"'{one.columns[0]}'" for one in found)
        raise DataError(f"{file}: both {shown} may hold scores: name one with logits=… or probabilities=…")
    return found[0] if found else None


def _find_one(there: Sequence[str], given: str | None, what: str, file: Path) -> str | None:
    if given is not None:
        if given not in there:
            raise DataError(f"{file}: no column '{given}'{did_you_mean(given, there)}")
        return given
    found = [name for name in there if name.lower() in USUAL[what]]
    if len(found) > 1:
        raise DataError(
            f"{file}: '{found[0]}' and '{found[1]}' may each be the {what}: name one with {what}=…"
        )
    return found[0] if found else None


def _match_named(
    there: Sequence[str], named: str, kind: Literal["logits", "probabilities"], file: Path
) -> ScoreColumns:
    if named in there:
        return ScoreColumns([named], kind, listed=True)
    if "*" not in named:
        raise DataError(f"{file}: no column '{named}'{did_you_mean(named, there)}")
    before, _, after = named.partition("*")
    matching = [name for name in there if fnmatchcase(name, named)]
    found = _order([(n, n[len(before) : len(n) - len(after)]) for n in matching], kind, file)
    if found is None:
        raise DataError(f"{file}: no column matches {kind}={named}{did_you_mean(named, there)}")
    return found


def _order(
    named: Sequence[tuple[str, str]], kind: Literal["logits", "probabilities"], file: Path
) -> ScoreColumns | None:
    """Return columns with the ends of their names: by number if these are numbers, else as named classes."""
    if not named:
        return None
    if not all(end.isdecimal() for _, end in named):
        return ScoreColumns([name for name, _ in named], kind, [end for _, end in named])
    numbers = {int(end): name for name, end in named}
    missing = next((n for n in range(len(named)) if n not in numbers), None)
    if missing is not None:
        raise DataError(
            f"{file}: {len(named)} columns such as '{named[0][0]}', and none for class {missing}: expected them "
            "numbered from 0"
        )
    return ScoreColumns([numbers[n] for n in range(len(named))], kind)
