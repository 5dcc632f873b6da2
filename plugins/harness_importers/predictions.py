"""Predictions per sample from Parquet, CSV, npz and npy files of any program."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from harness import DataError, ImportedPredictions, OptionError
from harness_importers.prediction_columns import (
    ColumnNames,
    ScoreColumns,
    find_columns,
    find_score_columns,
)
from harness_importers.prediction_peeking import peek_numbers, read_names
from harness_importers.prediction_tables import (
    Columns,
    read_arrays,
    read_csv,
    read_json_list,
    read_parquet,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOOKS_LIKE_PROBABILITIES = 1e-3
"""Rows of numbers from 0 to 1 whose sums miss one by no more than this are probabilities, whatever they are called."""


class PredictionFiles:
    """Read ids, targets and predicted labels, logits or probabilities of samples, a row or an entry each.

    An npy file, or a JSON list, holds predicted labels N or scores N×C alone.

    Columns (arrays of an npz file) are found by their usual names, such as `id`, `target`, `prediction`,
    `logits`, `probabilities`; logits and probabilities also as columns `logit_<class>` and `prob_<class>`.

    Args:
        id: the column of the samples' ids.
        target: the column of the right classes.
        prediction: the column of the predicted classes.
        logits: the column or array of logits, or a pattern of several, such as `score_*`.
        probabilities: the same of probabilities.
        array: what the numbers of an npy file are, or of an array called `scores`; only needed where they
            could be either.
        ids_file: ids of an npy file's rows: an npy file, or text with one in each line.
        targets_file: right classes of an npy file's rows, in the same form.
        class_names: names of the columns of logits, in their order; a list, or a text file with one in each line.
    """

    gives_predictions: ClassVar[bool] = True
    suffix: ClassVar[str | tuple[str, ...]] = (".csv", ".parquet", ".npz", ".npy")
    example: ClassVar[str] = (
        "id,target,logit_cat,logit_dog\na.png,cat,2.5,-1\nb.png,dog,0.5,1.25\nc.png,dog,1.5,0.75\n"
    )

    def __init__(
        self,
        id: str | None = None,
        target: str | None = None,
        prediction: str | None = None,
        logits: str | None = None,
        probabilities: str | None = None,
        array: Literal["logits", "probabilities"] | None = None,
        ids_file: Path | None = None,
        targets_file: Path | None = None,
        class_names: list[str] | Path | None = None,
    ) -> None:
        if logits is not None and probabilities is not None:
            raise OptionError("predictions: logits and probabilities are both named: one of them decides")
        self.names = ColumnNames(id, target, prediction, logits, probabilities)
        self.array = array
        self.ids_file, self.targets_file = ids_file, targets_file
        self.class_names = class_names

    @staticmethod
    def recognise(file: Path) -> bool:
        """Return whether a file has columns of predicted labels or scores, and of ids or targets, by their usual names."""
        names = read_names(file)
        found = find_columns(names, ColumnNames(), file)
        scores = find_score_columns(names, ColumnNames(), file)
        several = scores is not None and (not scores.listed or not peek_numbers(file, scores.columns[0]))
        return bool((found["prediction"] or several) and (found["id"] or found["target"]))

    def read(self, file: Path) -> Sequence[ImportedPredictions]:
        """Return the file's predictions. Raises DataError in one line, starting with the file's path."""
        suffix = file.suffix.lower()
        if suffix in (".npy", ".json"):
            return [self._read_bare(file)]
        readers = {".parquet": read_parquet, ".pq": read_parquet, ".csv": read_csv, ".npz": read_arrays}
        if suffix not in readers:
            raise DataError(f"{file}: expected one of {', '.join((*self.suffix, '.json'))}")
        return [self._gather(readers[suffix](file), file)]

    def _gather(self, columns: Columns, file: Path) -> ImportedPredictions:
        found = find_columns(columns.names, self.names, file)
        chosen, remarks = find_score_columns(columns.names, self.names, file), []
        named = self.names.logits or self.names.probabilities
        if (
            chosen
            and chosen.listed
            and found["prediction"]
            and not named
            and columns.holds_numbers(chosen.columns[0])
        ):
            remarks = [
                f"'{chosen.columns[0]}' was left out: it has one number for each sample, and none for each class"
            ]
            chosen = None
        if chosen is None and found["prediction"] is None:
            raise DataError(
                f"{file}: no column of predicted labels, logits or probabilities among {', '.join(columns.names)!s:.200}: "
                "name it, as in --as 'predictions?prediction=COLUMN'"
            )
        scores, kind = self._read_scores(columns, chosen, file)
        return ImportedPredictions(
            ids=self._beside(self.ids_file, columns.read_optional(found["id"])),
            targets=self._beside(self.targets_file, columns.read_optional(found["target"])),
            labels=columns.read_optional(found["prediction"]),
            scores=scores,
            kind=kind,
            class_names=self._read_names(columns) or (chosen.classes if chosen else None),
            row_word=columns.row_word,
            first_row=columns.first_row,
            remarks=remarks,
        )

    def _read_scores(
        self, columns: Columns, found: ScoreColumns | None, file: Path
    ) -> tuple[NDArray[Any] | None, Literal["logits", "probabilities"]]:
        """Return scores N×C, None for no columns, and what they are."""
        if found is None:
            return None, "logits"
        scores = columns.read_scores(found.columns, found.listed)
        if scores.ndim != 2:
            raise DataError(
                f"{file}: {found.columns[0]} of the shape {scores.shape}: expected samples × classes"
            )
        return scores, found.kind or self._tell_kind(scores, file, found.columns[0])

    def _tell_kind(self, scores: NDArray[Any], file: Path, what: str) -> Literal["logits", "probabilities"]:
        """Return what numbers are that no name tells. Raises DataError if they could be either."""
        if self.array is not None:
            return self.array
        if scores.dtype.kind not in "fiu":
            return "logits"  # the core refuses the type
        sums = scores.sum(axis=1, dtype=np.float64)
        bounded = bool(((scores >= 0) & (scores <= 1)).all())
        if bounded and bool((np.abs(sums - 1) <= LOOKS_LIKE_PROBABILITIES).all()):
            raise DataError(
                f"{file}: the rows of {what} sum to one, as probabilities do: say array=probabilities or array=logits"
            )
        return "logits"

    def _read_bare(self, file: Path) -> ImportedPredictions:
        """Return an npy file or a JSON list: predicted labels N, or scores N×C."""
        array = read_arrays(file).arrays["array"] if file.suffix.lower() == ".npy" else read_json_list(file)
        ids, targets = (self._beside(path, None) for path in (self.ids_file, self.targets_file))
        if array.ndim == 1:
            return ImportedPredictions(ids=ids, targets=targets, labels=array.tolist())
        if array.ndim != 2:
            raise DataError(
                f"{file}: an array of the shape {array.shape}: expected samples, or samples × classes"
            )
        kind = self._tell_kind(array, file, "the array")
        return ImportedPredictions(
            ids=ids, targets=targets, scores=array, kind=kind, class_names=self._read_names(None)
        )

    def _beside(self, path: Path | None, own: Sequence[Any] | None) -> Sequence[Any] | None:
        """Return the entries of a companion file, else the file's own. Raises DataError if both are there."""
        if path is None:
            return own
        if own is not None:
            raise DataError(f"{path}: the file of predictions has a column for it, too: name one of them")
        if path.suffix.lower() == ".npy":
            entries: Sequence[Any] = read_arrays(path).arrays["array"].tolist()
            return entries
        return _read_lines(path)

    def _read_names(self, columns: Columns | None) -> Sequence[str] | None:
        if isinstance(self.class_names, Path):
            return _read_lines(self.class_names)
        if self.class_names is not None:
            return [str(name) for name in self.class_names]
        return columns.read_class_names() if columns is not None else None


def _read_lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: can't be read: {error}") from None
