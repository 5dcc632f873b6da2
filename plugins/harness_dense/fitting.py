"""Trains a copy of a model that finds objects or regions, once for all cells that need the same."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from harness import DataError, Job, Sample, Split, derive_seed
from harness.contract.declared import ask
from harness_dense.prepared_images import take_whole

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from harness.inference.splits import TestSplit
    from harness.learning.pipeline import Batch
    from harness.learning.recipe import Recipe

CURVE_POINTS = 200
"""Points of a kept training curve, about."""


class DenseTraining(Protocol):
    """What a training method says of the loop."""

    checkpoint_every: int

    def build_recipe(self, images: int, precision: str) -> Recipe: ...

    def find_split(self, splits: Sequence[str]) -> TestSplit: ...


@dataclass(frozen=True)
class Fitted:
    """A trained model, and how its training went."""

    model: Any
    steps: int
    losses: NDArray[np.float64]
    seconds: float
    images: int

    def describe(self) -> tuple[dict[str, Any], dict[str, float]]:
        """Return notes and costs."""
        notes = {"training_images": self.images, "steps": self.steps}
        return notes, {"training_seconds": self.seconds, "steps": float(self.steps)}

    def thin_losses(self) -> dict[str, dict[str, list[float]]]:
        """Return the curve `training`, of about 200 points."""
        rows = range(0, self.steps, max(1, self.steps // CURVE_POINTS))
        return {"training": {"step": [n + 1.0 for n in rows], "loss": [float(self.losses[n]) for n in rows]}}


Prepare = Callable[[Sample], tuple[Any, ...]]


def find_clean(job: Job) -> Job:
    """Return the job at the clean data set of a corrupted one, else the job itself."""
    from harness_data.corrupted import Corrupted

    while isinstance(job.dataset, Corrupted):
        job = job.at(job.dataset.dataset)
    return job


def fit_model(
    job: Job, method: DenseTraining, what: str, make_prepare: Callable[[Any, Split, Job], Prepare]
) -> Fitted:
    """Return a trained copy of the job's model; its weights come from the cache if they were trained before.

    `make_prepare(model, split, job)` returns what makes a training sample into the arguments of `model.losses`, a
    tuple; draws from torch in it depend on seed, epoch and sample alone. `what` is the word for such a model. A
    training continues from its last checkpoint after a kill, bit for bit; that of a corrupted data set is on the
    clean one.

    Raises DataError for a data set without a training split, class names or images.
    """
    from harness.learning.checkpoints import copy_into, trained_state

    clean = find_clean(job)
    label = clean.cell.dataset.label
    if clean is not job:
        job.remark(f"trained on '{label}', which is not corrupted")
    found = method.find_split(clean.dataset.splits)
    if found.name is None:
        raise DataError(f"{label}: {found.refusal}")
    split = clean.splits(found.name)
    names = ask(split, "class_names") or ask(clean.dataset, "class_names")
    if not names:
        raise DataError(f"{label}: its classes have no names, which a {what} learns by")
    model = copy.deepcopy(job.model)
    model.begin(names, derive_seed(what, job.cell.seed))
    state = trained_state(model.module)
    prepare = make_prepare(model, split, clean)

    assert job.cell.method is not None
    kept = job.features(
        f"trained {what}", None, lambda: _train(job, clean, method, what, model, split, state, prepare), images=False,
        data=clean.cell.dataset.identity, limit=job.cell.limit, method=job.cell.method.identity, seed=job.cell.seed,
        device=job.device.type,
    )  # fmt: skip
    import torch

    copy_into(state, {name: torch.from_numpy(np.array(one)) for name, one in kept["weights"].items()})
    model.module.eval()
    losses = np.asarray(kept["losses"], float)
    return Fitted(model, len(losses), losses, float(kept["seconds"]), len(split))


def _train(
    job: Job,
    clean: Job,
    method: DenseTraining,
    what: str,
    model: Any,
    split: Split,
    state: Mapping[str, torch.Tensor],
    prepare: Prepare,
) -> dict[str, Any]:
    """Train in place; return weights, losses and seconds."""
    import torch

    from harness.learning.loop import train
    from harness.learning.pipeline import Pipeline

    seed = derive_seed("training", clean.cell.dataset.identity, job.cell.seed)
    recipe = method.build_recipe(len(split), job.precision)
    source = Pipeline(
        split, prepare, device=job.device, workers=job.workers, collate=list, take=take_whole, seed=seed
    )

    def objective(batch: Batch, step: int) -> torch.Tensor:
        columns = zip(*batch.data, strict=True)
        with _explain_batch_norm(clean.cell.dataset.label, len(batch.data)):
            return torch.stack(list(model.losses(*columns).values())).sum()

    def report(step: int, values: dict[str, float]) -> None:
        job.advance(step, recipe.steps)
        if step % 10 == 0:
            job.report("training", step, values)

    began = time.perf_counter()
    outcome = train(
        model.module, source, objective, recipe, seed, state=state, folder=job.workdir / what,
        checkpoint_every=method.checkpoint_every, report=report,
    )  # fmt: skip
    took = sum(outcome.seconds) or time.perf_counter() - began
    weights = {name: tensor.cpu() for name, tensor in state.items()}
    return {"weights": weights, "losses": np.array(outcome.losses), "seconds": np.array(took)}


@contextmanager
def _explain_batch_norm(label: str, images: int) -> Iterator[None]:
    """Turn torch's refusal to normalise one value per channel into DataError."""
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise DataError(
            f"{label}: batch norm needs more than one value per channel, and a batch of {images} image"
            f"{'s' * (images != 1)} of this size has one: larger batches (and enough training images), or larger images"
        ) from error
