"""Methods without gradients through the network: heads found on cached embeddings of the frozen backbone."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from harness import HarnessError, Job, Unavailable, derive_seed
from harness.inference.batches import forward_all
from harness.learning.augmentation import build_augmentation
from harness_peft.checks import GradientCheck, trained
from harness_peft.data import Batches
from harness_peft.network import FittedHead, Network
from harness_peft.prepared import JoinedSplit, as_is

ROWS_AT_ONCE = 8192

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness_peft.facts import CellFacts


def embeddings(job: Job, method: Any, network: Network, data: Batches) -> NDArray[np.float32]:
    """The frozen network's embeddings N×D of these samples, from the cache of the whole split."""
    parts = data.split.parts if isinstance(data.split, JoinedSplit) else [data.split]
    whole = [of_split(job, method, network, part) for part in parts]
    found: NDArray[np.float32] = (whole[0] if len(whole) == 1 else np.concatenate(whole))[data.indices]
    return found


def of_split(job: Job, method: Any, network: Network, split: Any) -> NDArray[np.float32]:
    """Embeddings of a whole prepared split of the job's data set, computed once for all cells."""
    return job.features(
        f"peft {getattr(method, 'features', 'projected')} features",
        split.name,
        lambda: forward_all(
            network.features, split, as_is, device=job.device, batch_size=job.batch_size,
            precision=job.precision, workers=job.workers,
        ).numpy(),
    )  # fmt: skip


def head_logits(network: Network, features: NDArray[np.float32]) -> torch.Tensor:
    """Logits N×C of a fitted head on kept embeddings; the backbone need not run again."""
    device = next(network.backbone.parameters()).device
    with torch.inference_mode():
        parts = [
            network.head(part.to(device)).float() for part in torch.from_numpy(features).split(ROWS_AT_ONCE)
        ]
        return torch.cat(parts)


def solve(run: CellFacts, network: Network, training: Batches, candidate: float) -> None:
    """Puts the linear head that the method finds in closed form (or by L-BFGS) into the network."""
    features = embeddings(run.job, run.method, network, training)
    weight, bias = run.method.solve(features, training.targets.cpu().numpy(), run.classes, candidate)
    head = torch.nn.Linear(weight.shape[1], run.classes).to(run.job.device)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weight))
        head.bias.copy_(torch.from_numpy(bias))
    network.head, network.head_kind = head, "fitted"


def fit(
    run: CellFacts,
    network: Network,
    training: Batches,
    validation: Batches | None,
    rate: float | None,
    seed: object,
) -> dict[str, Any]:
    """Puts the head that a method fits on embeddings into the network; gives what it wants kept.

    `rate` stands for the method's own learning rate. Raises TrainingFault when a tensor that counts as
    trained has no gradient, Unavailable for a data set without class names.
    """
    from harness_few_shot.task import Task
    from harness_few_shot.texts import Texts

    job, method = run.job, run.method
    if not run.class_names:
        raise Unavailable(
            f"{job.cell.dataset.label}: the method needs class names, and the data set has none"
        )
    if rate is not None:
        method = copy.copy(method)
        method.rate = rate
    features, labels = _unit(job, method, network, training), training.targets
    task = Task(
        class_names=run.class_names,
        templates=run.templates,
        features=features,
        labels=labels,
        val_features=features[:0] if validation is None else _unit(job, method, network, validation),
        val_labels=labels[:0] if validation is None else validation.targets,
        texts=job.shared(Texts, lambda: Texts(job.model), of="model"),
        logit_scale=run.protocol.logit_scale or float(job.model.logit_scale),
        shots=run.data.shots if isinstance(run.data.shots, int) else len(labels),
        seed=derive_seed("fit", job.cell.dataset.identity, seed),
        views=lambda number: _view(run, network, training, seed, number),
        space=getattr(job.dataset, "label_space", None) or "",
        report=job.report,
        advance=job.advance,
    )
    classifier = method.fit(task)
    if not hasattr(classifier, "head"):
        raise HarnessError(
            f"{type(method).__name__}.fit gave a classifier without 'head', which fine-tuning stores"
        )
    network.head, network.head_kind = FittedHead(classifier.head()).to(job.device), "fitted"
    _check_gradients(network, features, labels)
    return task.notes


def _unit(job: Job, method: Any, network: Network, data: Batches) -> torch.Tensor:
    return F.normalize(torch.from_numpy(embeddings(job, method, network, data)).to(job.device), dim=-1)


def _view(run: CellFacts, network: Network, training: Batches, seed: object, number: int) -> torch.Tensor:
    """Normalised embeddings of the training samples under random crops and flips, the same for a number."""
    job = run.job
    found = forward_all(
        network.features, getattr(training.split, "source", training.split),
        build_augmentation("crop-flip", getattr(job.model, "preparation", None)), device=job.device,
        batch_size=job.batch_size, precision=job.precision, workers=job.workers, indices=training.indices,
        seed=derive_seed("views", job.cell.dataset.identity, seed, number),
    )  # fmt: skip
    return F.normalize(found.to(job.device), dim=-1).clone()


def _check_gradients(network: Network, features: torch.Tensor, labels: torch.Tensor) -> None:
    """What a fitted head counts as trained must take part in its answers."""
    parameters = trained(network.head)
    if not parameters:
        return
    check = GradientCheck(network)
    for _ in range(GradientCheck.STEPS):
        loss = F.cross_entropy(network.head(features), labels)
        gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        for parameter, gradient in zip(parameters.values(), gradients, strict=True):
            parameter.grad = gradient
        if not check.done:
            check.after_backward()
    network.zero_grad(set_to_none=True)
