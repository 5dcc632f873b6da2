"""How one cell is run: what a protocol gets, and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from harness.contract.cells import Cell, Part
from harness.contract.data import Dataset, Split
from harness.contract.declared import ask
from harness.contract.evidence import Metric
from harness.contract.seeds import derive_seed
from harness.contract.sharing import Owner, Shared
from harness.errors import HarnessError, Unavailable

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

T = TypeVar("T")


class Cache(Protocol):
    """Trees of arrays by what decides them, computed once."""

    def get(self, decides: Mapping[str, Any], compute: Callable[[], T]) -> T: ...


@dataclass
class Job:
    """Everything a protocol gets to run one cell."""

    cell: Cell
    dataset: Dataset
    model: Any
    method: Any
    metrics: Mapping[str, Metric]
    device: torch.device
    precision: str
    batch_size: int
    workers: int
    cache: Cache
    workdir: Path
    """A folder of this cell's own for checkpoints; it outlives a kill and goes when the cell is done."""
    splits: Callable[[str], Split]
    """Opens a split of the cell's data set, limited as the run asks, and keeps it for other cells."""
    opening: Callable[[Part], Callable[[str], Split]]
    """Makes what `splits` is for another data set; `at` calls it."""
    loading: Callable[[Part], Any]
    """Loads a model that an option names, once for the worker; `at` calls it."""
    kept: Shared
    """Where `shared` keeps things."""
    keying: Callable[
        [Job, str, str | None, NDArray[np.int64] | None, bool, Mapping[str, Any]], Mapping[str, Any]
    ]
    """Builds the key of what `features` returns."""
    advance: Callable[[int, int], None] = lambda done, total: None
    """Tells the progress display how many samples or steps are done of how many."""
    report: Callable[[str, int, dict[str, float]], None] = lambda name, step, values: None
    """Tells a training's values at a step to listeners and to the log folder; what should be kept goes into `curves`."""
    show: Callable[[str, int, NDArray[np.uint8]], None] = lambda name, step, pixels: None
    """Shows a picture of a training at a step, H×W×3, in the log folder and to listeners."""
    remarks: list[str] = field(default_factory=list)
    """What the record and footnotes will say of this cell; `remark` adds to it."""

    failures: dict[str, HarnessError] = field(default_factory=dict)
    """Metrics that raised or gave no number, by name: the others stand, and the cell is run again next time."""

    def remark(self, text: str) -> None:
        """Add one statement about what was assumed, left out, cut or reordered; repetitions are ignored."""
        if text not in self.remarks:
            self.remarks.append(text)

    def at(self, plugin: object) -> Job:
        """Return this job at a data set or a model that an option of the cell's plugins holds.

        It keeps its label and its identity. A data set's splits are opened as the cell's own are, limited
        alike; a model is loaded, once for the worker, and frozen. Remarks and failures are this job's.
        Raises Unavailable for one that can't be used here, HarnessError for one that no option holds.
        """
        part = self.cell.nested(plugin)
        if part.missing:
            raise Unavailable(f"{part.label}: {part.missing}")
        if part.kind != "models":
            there = replace(self.cell, dataset=part)
            return replace(self, cell=there, dataset=part.object, splits=self.opening(part))
        model = self.loading(part)
        for text in ask(model, "remarks") or ():
            if text not in part.remarks:  # those planning has told
                self.remark(f"{part.label}: {text}")
        return replace(self, cell=replace(self.cell, model=part), model=model)

    def shared(self, key: Hashable, make: Callable[[], T], *, of: Owner = "worker") -> T:
        """Return what `make` builds, once for all cells of this worker that ask for the same key.

        It is kept as long as the worker, or no longer than the cell's data set (with this limit) or loaded
        model: `of` says which. Keys of the two are told apart by the data set and the model of this job.
        """
        own = {
            "worker": "",
            "dataset": (self.cell.dataset.identity, self.cell.limit),
            "model": id(self.model),
        }
        return self.kept.get(of, (own[of], key), make)

    def features(
        self,
        what: str,
        split: str | None,
        compute: Callable[[], T],
        *,
        rows: NDArray[np.int64] | None = None,
        images: bool = True,
        **facts: Any,
    ) -> T:
        """Return an array, or a tree of arrays, that the model's weights decide: from the cache or computed.

        Their key holds `what` they are, the model and its weights, the data set, its split with what was
        left out or limited, the precision, how images are prepared (unless `images` is false), and all
        libraries; `rows` are added for a part of the split, and `facts` for whatever else decides. Without
        a split the data set is not in it: the arrays belong to the model alone.
        """
        return self.cache.get(self.keying(self, what, split, rows, images, facts), compute)

    def seed_for(self, *axes: object) -> int:
        """A random seed from the named axes alone, e.g. `job.seed_for("shots", 16, job.cell.seed)`."""
        return derive_seed(*axes)


@dataclass
class Result:
    """What running one cell gave.

    `metrics`: name to number. `count`: how many test samples they rest on. `samples`: columns of
    equal length, `id` among them, one row per test sample. `curves`: named series, each a mapping
    of columns. `cost`: what the protocol measured (`parameters`, `trainable_parameters`,
    `samples_per_second`, …); wall time and peak memory are added by the core. `images`: uint8
    arrays H×W×3 by name. `notes`: any JSON-able facts worth keeping. `status`: `ok` or `diverged`.
    """

    metrics: Mapping[str, float]
    count: int | None = None
    samples: Mapping[str, Any] | None = None
    curves: Mapping[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)
    cost: Mapping[str, float] = field(default_factory=dict)
    images: Mapping[str, NDArray[np.uint8]] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)
    status: str = "ok"
    reason: str | None = None


@runtime_checkable
class RunProtocol(Protocol):
    """How one cell is run.

    `cannot` and `assumes` are asked at planning with light objects: the cell is skipped with the reason
    of the one, the other's remarks stand below its numbers. So are `needs`, the capabilities that every
    model must have (a method may declare them too), and `target_kinds`, the kinds of target it takes.
    Metrics that read none of the evidence classes in `provides`, and typos in a table's `values` where
    `own_numbers` is stated, are refused before anything runs.

    A protocol that can run several seeds of one configuration at once (their networks stacked, say)
    also has `seeds_at_once(cell) -> int`, how many for this cell, and `run_many(jobs) -> list[Result]`
    for jobs that differ in their cell's seed alone; each result must be what `run` gives, to floating
    point. `run` stays: it serves single seeds, and all of them when `run_many` raises.
    """

    def run(self, job: Job) -> Result: ...
