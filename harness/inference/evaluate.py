"""Evaluation of a frozen model on a split: its outputs, its predictions, and the result of a cell."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.contract.data import Split
from harness.contract.declared import ask
from harness.contract.evidence import Predictions
from harness.contract.models import Preparation
from harness.contract.running import Job, Result
from harness.contract.seeds import derive_seed
from harness.contract.targets import require_labels
from harness.errors import DataError, Diverged, HarnessError, OptionError, Unavailable, interrupts, reason_of
from harness.inference.batches import ran_out_of_memory
from harness.inference.blocks import forward_in_blocks
from harness.inference.classes import Classes, align_classes, map_logits_to_classes
from harness.inference.images import Staged, exact_prepare, fast_prepare

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

NAMED_CLASSES = 100
"""The names of up to this many classes are kept in each record."""


def image_pipeline(job: Job, split: Split) -> Callable[[Any], torch.Tensor]:
    """Return what turns a sample's image into the model's input: exactly as its authors specify, or fast.

    A split of already cropped images (`already_cropped` is their size) skips the resize.
    """
    model, preparation = job.model, find_preparation(job.model, split)
    if (
        preparation is not ask(model, "preparation")
        and preparation is not None
        and job.cell.images == "exact"
    ):
        return Staged(exact_prepare(preparation))
    if job.cell.images == "exact":
        return Staged(model.prepare)
    if preparation is None:
        raise OptionError(
            f"model '{job.cell.model.label if job.cell.model else ''}' does not say its preparation as data, "
            "so images can't be prepared fast: use --images exact"
        )
    return fast_prepare(preparation)


def find_preparation(model: Any, split: Split) -> Preparation | None:
    """Return how a model's images are prepared, without the resize of already cropped ones; None if it doesn't say."""
    preparation: Preparation | None = ask(model, "preparation")
    cropped = ask(split, "already_cropped")
    if preparation is not None and cropped is not None and preparation.crop in (cropped, (cropped, cropped)):
        return replace(preparation, resize=cropped)
    return preparation


def outputs(
    job: Job, kind: str, split_name: str = "test", rows: NDArray[np.int64] | None = None
) -> tuple[NDArray[np.float32], float | None]:
    """Return the frozen model's `logits` or `image embeddings` on a split, N×D, from the cache or computed.

    `rows` restricts it to some samples, in that order, to save computing the whole split. Workers that need the
    same large array share its blocks (`harness.inference.blocks`). Also returns the samples per second of one
    worker in their computation, maybe in an earlier run; None if it was not recorded.
    """
    split = job.splits(split_name)
    model = job.model
    forward = model.classify if kind == "logits" else model.encode_image
    rate: list[float] = []

    def keep_rate(result: NDArray[np.float32], found: float) -> NDArray[np.float32]:
        rate.append(found)
        fetch_rate()  # before another worker can see the array, and miss it
        return result

    def fetch_rate() -> NDArray[np.float64]:
        return job.features(
            kind, split_name, lambda: np.array(rate or [np.nan]), rows=rows, fact="samples per second"
        )

    work = forward_in_blocks(
        job, forward, split, lambda: image_pipeline(job, split), rows=rows, finish=keep_rate
    )
    array = job.features(kind, split_name, work, rows=rows)
    speed = fetch_rate()
    return array, None if np.isnan(speed[0]) else float(speed[0])


def to_split_classes(logits: NDArray[Any], split: Split, where: str) -> NDArray[Any]:
    """Return logits N×K over a model's label space as logits N×C over the split's own classes.

    Raises DataError if the label space is too small for them. The order is not checked; `align_logits`
    compares the names of both sides.
    """
    groups: Sequence[Sequence[int]] | None = ask(split, "label_indices")
    names = ask(split, "class_names")
    if groups is None:
        if names is not None and logits.shape[1] != len(names):
            raise DataError(
                f"{where}: the model returns {logits.shape[1]} logits, the data set has {len(names)} classes"
            )
        return logits
    highest = max(max(g) for g in groups)
    if highest >= logits.shape[1]:
        raise DataError(
            f"{where}: the data set's classes reach index {highest}, the model returns {logits.shape[1]} logits"
        )
    return map_logits_to_classes(logits, groups)


def align_logits(job: Job, logits: NDArray[Any], split: Split) -> NDArray[Any]:
    """Return the logits N×K of the job's model as logits N×C over the split's classes, matched by name if both have names.

    What was reordered or assumed, and not said at planning, is remarked. Raises DataError if outputs and
    classes can't be matched.
    """
    from harness.contract.remarks import label_remark

    require_labels(split.targets, job.cell.dataset.label)
    own = Classes.of(job.model)
    found = align_classes(replace(own, count=logits.shape[1]), Classes.of(split, job.dataset))
    refusal = found.refusal
    if own.names is not None and len(own.names) != logits.shape[1]:
        refusal = f"the model returns {logits.shape[1]} logits, its class_names are {len(own.names)}"
    if refusal is not None:
        raise DataError(f"{job.cell.dataset.label}: {refusal}")
    planned = align_classes(own, Classes.of(job.dataset), planning=True).remarks
    for text in found.remarks:
        if text not in planned:
            job.remark(label_remark(text, job.cell))
    return map_logits_to_classes(logits, found.columns)


def compute_metrics(job: Job, evidence: Any) -> dict[str, float]:
    """Return all metrics of the cell that read this kind of evidence, by name.

    A metric that raises or returns no number is kept in `job.failures`; the others count.
    """
    values: dict[str, float] = {}
    for name, metric in job.metrics.items():
        with _isolate_failure(job, name), _own_randomness(derive_seed("metric", job.cell.evidence_id, name)):
            value = metric(evidence)
            several = value if isinstance(value, Mapping) else {name: value}
            for key, given in several.items():
                full = key if str(key).startswith(name) else f"{name}.{key}"
                with _isolate_failure(job, full):
                    number = _to_number(given)
                    if not isinstance(value, Mapping):
                        _check_bounds(metric, number)
                    values[full] = number
                    if values[full] != values[full]:
                        job.remark(f"metric '{full}' returned NaN, not a number")
    return values


def _check_bounds(metric: Any, value: float) -> None:
    """Raise HarnessError for a number outside the bounds that its metric states (but for rounding)."""
    lowest, highest = ask(metric, "bounds") or (-math.inf, math.inf)
    if not lowest - 1e-6 <= value <= highest + 1e-6 and value == value:
        raise HarnessError(f"it returned {value:g}, outside its bounds {lowest:g} to {highest:g}")


@contextmanager
def _own_randomness(seed: int) -> Iterator[None]:
    """Seed the global generators for a metric that draws from them, and leave them as they were.

    So it draws the same when the cell runs and when its evidence is measured later.
    """
    import torch

    before = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002
        torch.set_rng_state(before[2])


def measure_evidence(job: Job, evidence: Mapping[str, Any]) -> dict[str, float]:
    """Return all metrics of all evidence: `<metric>.<name>`, or `<metric>` of the evidence without a name."""
    return {
        f"{metric}.{name}" if name else metric: value
        for name, one in evidence.items()
        for metric, value in compute_metrics(job, one).items()
    }


def measure_samples(job: Job, evidence: Any) -> dict[str, NDArray[np.float32]]:
    """Return the metrics that have a value per sample, as columns named like them."""
    columns: dict[str, NDArray[np.float32]] = {}
    for name, metric in job.metrics.items():
        if (by_sample := ask(metric, "per_sample")) is not None:
            with _isolate_failure(job, f"{name} by sample"):
                column = np.asarray(by_sample(evidence), dtype=np.float32)
                if column.shape != (len(evidence),):
                    raise HarnessError(
                        f"it returned values of shape {column.shape} for {len(evidence)} samples: expected one each"
                    )
                columns[name] = column
    return columns


def measure_resamples(job: Job, evidence: Any) -> dict[str, NDArray[np.float64]]:
    """Return the numbers of metrics that have a method `resampled`, R each by name, for `Result.resamples`.

    The R resampled sets follow from the evidence's `ids` alone (and its `groups`, which are drawn whole), so that
    they are the same for every model.
    """
    from harness.statistics.resampling import draw_sample_weights

    draws: dict[str, NDArray[np.float64]] = {}
    asked = {name: method for name, m in job.metrics.items() if (method := ask(m, "resampled")) is not None}
    if not asked:
        return draws
    weights = draw_sample_weights(evidence.ids, ask(evidence, "groups") or None)
    for name, resampled in asked.items():
        with _isolate_failure(job, f"{name} on resampled sets"):
            value = resampled(evidence, weights)
            for key, given in (value if isinstance(value, Mapping) else {name: value}).items():
                column = np.asarray(given, np.float64)
                if column.shape != (len(weights),):
                    raise HarnessError(
                        f"it returned values of shape {column.shape} for {len(weights)} resampled sets"
                    )
                draws[key if str(key).startswith(name) else f"{name}.{key}"] = column
    return draws


@contextmanager
def _isolate_failure(job: Job, name: str) -> Iterator[None]:
    """Keep an exception of the block as one metric's failure; what concerns the whole cell is raised."""
    try:
        yield
    except (Unavailable, Diverged):
        raise
    except BaseException as error:  # a metric may raise anything
        if interrupts(error) or ran_out_of_memory(error):
            raise
        failure = HarnessError(f"metric '{name}' failed: {reason_of(error)}")
        failure.__cause__ = error
        job.failures[name] = failure


def _to_number(value: Any) -> float:
    try:
        if value is None or isinstance(value, str | bytes):  # float() would read a text
            raise TypeError
        return float(value.detach() if hasattr(value, "detach") else value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise HarnessError(f"it returned {' '.join(repr(value).split()):.80}, not a number") from None


def classification_result(job: Job, predictions: Predictions, **more: Any) -> Result:
    """Return the result of a cell from its predictions: metrics, count, and one row per sample.

    A column named like a metric holds that metric's value per sample, for paired tests. The note `class_names`
    holds the names of up to `NAMED_CLASSES` classes, by which plots and pages call them.
    """
    targets = predictions.targets
    columns = predictions.logits.shape[1]
    if len(targets) == 0:
        raise DataError(f"{job.cell.dataset.label}: the split has no samples")
    require_labels(targets, job.cell.dataset.label)
    outside = np.flatnonzero((targets < 0) | (targets >= columns))
    if len(outside):
        wrong = int(outside[0])
        raise DataError(
            f"{job.cell.dataset.label}: sample '{predictions.ids[wrong]}' has label {targets[wrong]}, "
            f"the class list has {columns} entries"
        )
    if not np.isfinite(predictions.logits).all():  # what metrics make of these is no measurement
        facts = {**more, "status": "diverged", "reason": "the logits are not finite"}
        return Result(metrics={}, count=len(targets), **facts)
    samples: dict[str, Any] = {
        "id": list(predictions.ids),
        "target": targets,
        "prediction": predictions.predicted,
        "confidence": predictions.confidence.astype(np.float32),
    }
    samples |= measure_samples(job, predictions)
    names = [str(name) for name in predictions.class_names]
    if len(names) == columns <= NAMED_CLASSES:
        more["notes"] = {**(more.get("notes") or {}), "class_names": names}
    metrics = compute_metrics(job, predictions)
    resamples = measure_resamples(job, predictions)
    return Result(metrics, len(targets), samples, evidence={"": predictions}, resamples=resamples, **more)
