"""Trains a copy of a detector on the clean training split, once for all cells that need the same."""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from harness import Boxes, DataError, Job, Sample, derive_seed
from harness.contract.declared import ask
from harness.learning.checkpoints import copy_into, trained_state
from harness.learning.loop import train
from harness.learning.pipeline import Batch, Pipeline
from harness_data.corrupted import Corrupted
from harness_detection.found_checks import prepare_whole, take_whole
from harness_detection.mirroring import mirror_boxes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from harness_detection.training_method import DetectorTraining


@dataclass(frozen=True)
class Fitted:
    """A trained model, and how its training went."""

    model: Any
    steps: int
    losses: NDArray[np.float64]
    seconds: float
    images: int


def find_clean(job: Job) -> Job:
    """Return the job at the clean data set of a corrupted one, else the job itself."""
    while isinstance(job.dataset, Corrupted):
        job = job.at(job.dataset.dataset)
    return job


def fit_detector(job: Job, method: DetectorTraining) -> Fitted:
    """Return a trained copy of the job's model; its weights come from the cache if they were trained before.

    It continues from the last checkpoint after a kill, bit for bit. Raises DataError for a data set without a
    training split, class names or images.
    """
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
        raise DataError(f"{label}: its classes have no names, which a detector learns by")
    model = copy.deepcopy(job.model)
    model.begin(names, derive_seed("detector", job.cell.seed))
    state = trained_state(model.module)
    seed = derive_seed("training", clean.cell.dataset.identity, job.cell.seed)

    def compute() -> Mapping[str, Any]:
        recipe = method.build_recipe(len(split), job.precision)
        source = Pipeline(
            split, _Preparing(model, method.flip), device=job.device, workers=job.workers, collate=list,
            take=take_whole, seed=seed,
        )  # fmt: skip

        def objective(batch: Batch, step: int) -> torch.Tensor:
            images, truths = zip(*batch.data, strict=True)
            return torch.stack(list(model.losses(images, truths).values())).sum()

        def report(step: int, values: dict[str, float]) -> None:
            job.advance(step, recipe.steps)
            if step % 10 == 0:
                job.report("training", step, values)

        began = time.perf_counter()
        outcome = train(
            model.module, source, objective, recipe, seed, state=state, folder=job.workdir / "detector",
            checkpoint_every=method.checkpoint_every, report=report,
        )  # fmt: skip
        weights = {name: tensor.cpu() for name, tensor in state.items()}
        took = sum(outcome.seconds) or time.perf_counter() - began
        return {"weights": weights, "losses": np.array(outcome.losses), "seconds": np.array(took)}

    assert job.cell.method is not None
    kept = job.features(
        "trained detector", None, compute, images=False, data=clean.cell.dataset.identity, limit=job.cell.limit,
        method=job.cell.method.identity, seed=job.cell.seed, device=job.device.type,
    )  # fmt: skip
    copy_into(state, {name: torch.from_numpy(np.array(one)) for name, one in kept["weights"].items()})
    model.module.eval()
    losses = np.asarray(kept["losses"], float)
    return Fitted(model, len(losses), losses, float(kept["seconds"]), len(split))


class _Preparing:
    """Makes the image and the objects of a sample ready, mirrored at random."""

    def __init__(self, model: Any, flip: float) -> None:
        self.model, self.flip = model, flip

    def __call__(self, sample: Sample) -> tuple[torch.Tensor, Boxes]:
        """Return 3×H×W and its objects. Raises DataError for a sample without image or objects' boxes."""
        if not isinstance(sample.target, Boxes):
            raise DataError(f"sample '{sample.id}' has no boxes")
        image = prepare_whole(self.model, sample)
        # drawn even if it is not used, so that `flip` changes no other draw
        if float(torch.rand(())) < self.flip:
            return image.flip(-1), mirror_boxes(sample.target, image.shape[-1])
        return image, sample.target
