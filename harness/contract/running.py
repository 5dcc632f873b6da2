"""Running one cell: what a protocol receives, and what it returns."""

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

CLUSTER = "cluster"
"""Column of `Result.samples` that says which samples belong together."""


class Cache(Protocol):
    """Trees of arrays, computed once and found by what decides them."""

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
    """The cell's folder for checkpoints; it survives a kill and is removed when the cell is done."""
    splits: Callable[[str], Split]
    """Opens a split of the cell's data set, limited as the run asks, and keeps it for other cells."""
    opening: Callable[[Part], Callable[[str], Split]]
    """Returns the equivalent of `splits` for another data set; `at` calls it."""
    loading: Callable[[Part], Any]
    """Loads a model that an option names, once per worker; `at` calls it."""
    kept: Shared
    """Where `shared` keeps objects."""
    keying: Callable[
        [Job, str, str | None, NDArray[np.int64] | None, bool, Mapping[str, Any]], Mapping[str, Any]
    ]
    """Builds the key of what `features` returns."""
    advance: Callable[[int, int], None] = lambda done, total: None
    """Reports to the progress display how many samples or steps are done, and of how many."""
    report: Callable[[str, int, dict[str, float]], None] = lambda name, step, values: None
    """Reports a training's values at a step to listeners and the log folder; values to be kept go into `curves`."""
    show: Callable[[str, int, NDArray[np.uint8]], None] = lambda name, step, pixels: None
    """Shows a picture of a training at a step, H×W×3, in the log folder and to listeners."""
    remarks: list[str] = field(default_factory=list)
    """Remarks on this cell for the record and footnotes; `remark` adds to it."""
    wanted: Callable[[], bool] = lambda: False
    """Tells a protocol's `warm` whether to stop, because the worker is needed for cells of its own."""
    failures: dict[str, HarnessError] = field(default_factory=dict)
    """Metrics that raised or returned no number, by name: the others count, and the next run repeats the cell."""

    def remark(self, text: str) -> None:
        """Add one statement about what was assumed, left out, cut or reordered; repetitions are ignored."""
        if text not in self.remarks:
            self.remarks.append(text)

    def at(self, plugin: object) -> Job:
        """Return this job at a data set or a model that an option of the cell's plugins holds.

        Label and identity are those of the option's plugin. Splits of a data set are opened and limited like the
        cell's own; a model is loaded once per worker, and frozen. Remarks and failures remain this job's.
        Raises Unavailable for a plugin that can't be used here, HarnessError for one that no option holds.
        """
        part = self.cell.nested(plugin)
        if part.missing:
            raise Unavailable(f"{part.label}: {part.missing}")
        if part.kind != "models":
            there = replace(self.cell, dataset=part)
            return replace(self, cell=there, dataset=part.object, splits=self.opening(part))
        model = self.loading(part)
        for text in ask(model, "remarks") or ():
            if text not in part.remarks:  # which planning has already remarked
                self.remark(f"{part.label}: {text}")
        return replace(self, cell=replace(self.cell, model=part), model=model)

    def shared(self, key: Hashable, make: Callable[[], T], *, of: Owner = "worker") -> T:
        """Return what `make` builds, once for all cells of this worker that use the same key.

        The object lives as long as the worker, or no longer than the cell's data set (with this limit) or loaded
        model, as `of` says. Keys of the latter two are distinguished by this job's data set and model.
        """
        data = (self.cell.dataset.identity, self.cell.limit)
        own = {"worker": "", "dataset": data, "model": id(self.model)}
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

        The cache key holds `what` they are, the model and its weights, the data set, its split with what was
        left out or limited, the precision, the preparation of images (unless `images` is false), and all
        libraries; `rows` for a part of the split, and `facts` for whatever else decides. Without a split, the
        data set is not in the key: the arrays depend on the model alone. Give a large `compute` over the images of
        a split as `harness.inference.blocks.forward_in_blocks`, so that idle workers can help.
        """
        return self.cache.get(self.keying(self, what, split, rows, images, facts), compute)

    def seed_for(self, *axes: object) -> int:
        """Return a random seed from the named axes alone, e.g. `job.seed_for("shots", 16, job.cell.seed)`."""
        return derive_seed(*axes)


@dataclass
class Result:
    """The outcome of running one cell.

    `metrics`: name to number. `count`: the number of test samples behind them. `samples`: columns of equal
    length, `id` among them, one row per test sample; samples that are not independent (questions about one
    image) share an entry of the column `cluster`, and then intervals and tests take clusters as units.
    `curves`: named series, each a mapping of columns. `cost`: what the protocol measured (`parameters`,
    `trainable_parameters`, `samples_per_second`, …); the core adds wall time and peak memory. `images`:
    uint8 arrays H×W×3 by name. `notes`: any JSON-able facts worth keeping. `status`: `ok` or `diverged`.
    `evidence`: what the metrics were computed from, by name. It is kept if its class can be taken apart
    (`pack` and the class method `unpack`), and then other metrics are computed from it later, without
    running the cell again: by the protocol's `measure`, else each metric of the evidence named `x` is the
    number `<metric>.x`, or `<metric>` if the name is empty. Only evidence that no metric decides may be
    returned. `resamples`: values of metrics that are no means over samples on R resampled sets of them, R each by
    name, as `harness.inference.evaluate.measure_resamples` returns them; `samples` then has a row per sample.
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
    evidence: Mapping[str, Any] = field(default_factory=dict)
    resamples: Mapping[str, Any] = field(default_factory=dict)


@runtime_checkable
class RunProtocol(Protocol):
    """How one cell is run.

    At planning, with light objects, `cannot` returns the reason to skip a cell and `assumes` the remarks
    below its numbers. `needs` (also of a method) lists the capabilities that every model must have, and
    `target_kinds` the kinds of target. Metrics that read none of the evidence classes in `provides`, and
    typos in a table's `values` if `own_numbers` is stated, are refused before anything runs.

    A protocol that can run several seeds of one configuration at once (their networks stacked, say)
    also has `seeds_at_once(cell) -> int`, the number for this cell, and `run_many(jobs) -> list[Result]`
    for jobs that differ only in their cell's seed; each result must equal that of `run`, up to floating
    point. `run` is still needed: for single seeds, and for all of them if `run_many` raises.

    A protocol whose numbers are more than each metric of each evidence has
    `measure(job, evidence) -> Mapping[str, float]`: all numbers that depend on metrics, from the
    `Result.evidence` of an earlier run. Its job has no model and no method.

    A protocol whose cells consist mostly of frozen features has `warm(job)`: it computes what the cell's run will
    ask for from the feature cache (`Job.features`, `harness.outputs`), and nothing else. It is called on a worker
    that has no cell of its own, while the cell runs or waits elsewhere; large arrays are computed in blocks, which
    both share. It writes nothing besides the cache, and the cell's numbers are the same without it. Once the
    worker is needed, requests for features raise; what takes long besides asks `job.wanted()`.
    """

    def run(self, job: Job) -> Result: ...
