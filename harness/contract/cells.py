"""Cells (points of a suite's grid), their parts, and the id that hashes what decides a cell's result."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from harness.errors import HarnessError

RECORD_SCHEMA = 1

State = Literal["run", "done", "skipped", "broken"]


@dataclass(frozen=True, eq=False)
class Part:
    """One plugin of a cell. `object` is the light instance (None if `problem` says why it can't be built).

    `identity` is canonical JSON of what decides results: names, versions, options other than paths,
    fingerprint. `missing` is a reason to skip; `problem` is a failure of the plugin itself.
    """

    kind: str
    plugin: str
    distribution: str
    version: str
    label: str
    tags: Mapping[str, Any]
    options: Mapping[str, Any]
    identity: str
    object: Any = field(repr=False)
    make: Callable[[], Any] = field(repr=False)
    missing: str | None = None
    problem: str | None = None
    remarks: tuple[str, ...] = ()
    skip_unreadable: bool = False
    """Whether unreadable samples are left out, of a data set or of one in an option."""
    moved: bool = False
    """Whether relative paths in its options were resolved against the suite file's folder."""
    nested: tuple[Part, ...] = ()
    """The plugins that its options name; their `object` is what the factory received."""
    written: tuple[str, ...] = ()
    """The reference as written: in short form, and its value alone; they mean it where no label matches."""


def canonical_json(value: Any) -> str:
    """Return JSON text that is the same for equal values on every machine. Raises TypeError for other values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(f"{value!r} can't be written as JSON")


@dataclass(frozen=True, eq=False)
class Cell:
    """One point of the grid with every option resolved."""

    suite: str
    experiment: str
    protocol: Part
    model: Part | None
    dataset: Part
    method: Part | None
    metrics: tuple[Part, ...]
    axes: Mapping[str, Any]
    seed: int
    precision: str = "float32"
    images: str = "exact"
    limit: int | None = None
    remarks: list[str] = field(default_factory=list)
    """What its parts and its protocol said at planning: what is assumed, left out, cut or reordered."""

    @cached_property
    def id(self) -> str:
        """Content hash of what decides the result: 20 hexadecimal digits."""
        # a metric's label decides under which name its number is recorded
        return self._hash(
            sorted(m.identity + (f" as {m.label}" if m.label != m.plugin else "") for m in self.metrics)
        )

    @cached_property
    def evidence_id(self) -> str:
        """Content hash of what decides the evidence that its metrics read: all but the metrics themselves."""
        return self._hash(["evidence"])

    def _hash(self, last: Sequence[str]) -> str:
        parts = [self.protocol, self.model, self.dataset, self.method]
        rest = {name: getattr(self, name) for name in ("axes", "seed", "precision", "images", "limit")}
        rest["schema"] = RECORD_SCHEMA
        text = "\n".join([*(p.identity if p else "" for p in parts), *last, canonical_json(rest)])
        return hashlib.sha256(text.encode()).hexdigest()[:20]

    @property
    def parts(self) -> list[Part]:
        """Its protocol, model, data set, method and metrics, without those that it lacks."""
        return [p for p in (self.protocol, self.model, self.dataset, self.method, *self.metrics) if p]

    def nested(self, plugin: object) -> Part:
        """Return the part of a plugin object that an option of the cell's plugins holds.

        Raises HarnessError if no option holds it.
        """
        waiting = list(self.parts)
        while waiting:
            part = waiting.pop(0)
            for inner in part.nested:
                if inner.object is plugin:
                    return inner
            waiting += part.nested
        raise HarnessError(f"{type(plugin).__name__} is named in no option of the cell's plugins")

    @property
    def coordinates(self) -> dict[str, Any]:
        """The cell's position in tables: labels, seed and axes."""
        return {
            "experiment": self.experiment,
            "protocol": self.protocol.label,
            "model": self.model.label if self.model else "",
            "dataset": self.dataset.label,
            "method": self.method.label if self.method else "",
            **self.axes,
            "seed": self.seed,
        }

    @property
    def tags(self) -> dict[str, Any]:
        """The tags of its parts, as `model.<key>` and so on."""
        named = (("model", self.model), ("dataset", self.dataset), ("method", self.method))
        return {f"{kind}.{k}": v for kind, part in named if part for k, v in part.tags.items()}

    @property
    def shown(self) -> str:
        """A short text for people."""
        return show_coordinates(self.coordinates)


def show_coordinates(at: Mapping[str, Any]) -> str:
    """Return a cell's coordinates as a short text for people.

    >>> show_coordinates({"protocol": "few-shot", "model": "vit", "dataset": "digits", "shots": 4, "seed": 1})
    'vit · digits · shots 4 · seed 1'
    """
    kinds = ("model", "method", "dataset")
    labels = [str(at[kind]) for kind in kinds if at.get(kind)]
    axes = [f"{k} {v}" for k, v in at.items() if k not in (*kinds, "experiment", "protocol", "seed")]
    seed = [f"seed {at['seed']}"] if at.get("seed") else []
    return " · ".join(labels + axes + seed)


@dataclass
class PlannedCell:
    """A cell, and whether it is to be run, done, skipped or broken."""

    cell: Cell
    state: State = "run"
    reason: str | None = None
