"""What a user says of files of predictions, beside their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class PredictionsRequest:
    """What a user says of files of predictions: names for tables, metrics, and where targets are."""

    model: str | None = None
    """The model's name in tables; by default the file's, as it must be for several files."""
    dataset: str | None = None
    """The data set's name in tables; by default that of `targets`, else the suite's."""
    metrics: Sequence[str] = ()
    """References of metrics; by default those of the suite's own records on the data set, else top1."""
    targets: str | None = None
    """A data set that has the samples by their ids."""
    split: str | None = None
    protocol: str | None = None
    made_by: str | None = None
    """What made the predictions."""
    source: str | None = None
    """The address or repository that they are from."""
    commit: str | None = None
    date: str | None = None
    seed: int = 0
    tags: Mapping[str, Any] = field(default_factory=dict)
    """The model's tags, by which summaries choose it: `standard` for fits of effective robustness."""
    replacing: bool = False
    """Whether they take the place of other predictions of the same model, imported before."""

    def first_given(self) -> str | None:
        """Return the first option that was given, as the command line writes it."""
        flags, plain = {"metrics": "metric", "made_by": "made-by", "tags": "tag"}, PredictionsRequest()
        general = ("source", "commit", "date", "replacing")  # which finished numbers have, too
        given = (
            f.name
            for f in fields(self)
            if f.name not in general and getattr(self, f.name) != getattr(plain, f.name)
        )
        return next((f"--{flags.get(name, name)}" for name in given), None)
