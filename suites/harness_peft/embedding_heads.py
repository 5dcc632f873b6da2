"""Fit heads on cached embeddings of the frozen backbone, without gradients through the network."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from harness import HarnessError, Job, Unavailable, derive_seed
from harness.inference.batches import forward_all
from harness.inference.blocks import forward_in_blocks
from harness.learning.augmentation import build_augmentation
from harness_peft.adapted_network import AdaptedNetwork, FittedHead
from harness_peft.prepared_splits import JoinedSplit, pass_through
from harness_peft.training_checks import GradientCheck, trainable_parameters
from harness_peft.training_data import TrainingBatches

ROWS_AT_ONCE = 8192

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness_peft.cell_facts import CellFacts


def embed_samples(
    job: Job, method: Any, network: AdaptedNetwork, data: TrainingBatches
) -> NDArray[np.float32]:
    """Return the frozen network's embeddings N×D of these samples, from the cache of the whole split."""
    parts = data.split.parts if isinstance(data.split, JoinedSplit) else [data.split]
    whole = [embed_split(job, method, network, part) for part in parts]
    found: NDArray[np.float32] = (whole[0] if len(whole) == 1 else np.concatenate(whole))[data.indices]
    return found


def embed_split(job: Job, method: Any, network: AdaptedNetwork, split: Any) -> NDArray[np.float32]:
    """Return the embeddings N×D of a whole prepared split, computed once for all cells."""
    return job.features(
        f"peft {getattr(method, 'features', 'projected')} features",
        split.name,
        forward_in_blocks(job, network.features, split, lambda: pass_through),
    )


def apply_head(network: AdaptedNetwork, features: NDArray[np.float32]) -> torch.Tensor:
    """Return logits N×C of a fitted head on cached embeddings, without running the backbone."""
    device = next(network.backbone.parameters()).device
    with torch.inference_mode():
        parts = [
            network.head(part.to(device)).float() for part in torch.from_numpy(features).split(ROWS_AT_ONCE)
        ]
        return torch.cat(parts)


def solve_head(run: CellFacts, network: AdaptedNetwork, training: TrainingBatches, candidate: float) -> None:
    """Replace the network's head by the linear one that the method solves for."""
    features = embed_samples(run.job, run.method, network, training)
    weight, bias = run.method.solve(features, training.targets.cpu().numpy(), run.classes, candidate)
    head = torch.nn.Linear(weight.shape[1], run.classes).to(run.job.device)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weight))
        head.bias.copy_(torch.from_numpy(bias))
    network.head, network.head_kind = head, "fitted"


def fit_head(
    run: CellFacts,
    network: AdaptedNetwork,
    training: TrainingBatches,
    validation: TrainingBatches | None,
    rate: float | None,
    seed: object,
) -> dict[str, Any]:
    """Replace the network's head by one that the method fits on embeddings; return the method's notes.

    `rate` overrides the method's own learning rate. Raises TrainingFault if a tensor that counts as
    trained has no gradient, Unavailable for a data set without class names.
    """
    from harness_few_shot.task import FewShotTask
    from harness_few_shot.texts import TextEmbeddings

    job, method = run.job, run.method
    if not run.class_names:
        raise Unavailable(
            f"{job.cell.dataset.label}: the method needs class names, and the data set has none"
        )
    if rate is not None:
        method = copy.copy(method)
        method.rate = rate
    features, labels = _embed_normalised(job, method, network, training), training.targets
    task = FewShotTask(
        class_names=run.class_names,
        templates=run.templates,
        features=features,
        labels=labels,
        val_features=features[:0]
        if validation is None
        else _embed_normalised(job, method, network, validation),
        val_labels=labels[:0] if validation is None else validation.targets,
        texts=job.shared(TextEmbeddings, lambda: TextEmbeddings(job.model), of="model"),
        logit_scale=run.protocol.logit_scale or float(job.model.logit_scale),
        shots=run.data.shots if isinstance(run.data.shots, int) else len(labels),
        seed=derive_seed("fit", job.cell.dataset.identity, seed),
        views=lambda number: _embed_view(run, network, training, seed, number),
        space=getattr(job.dataset, "label_space", None) or "",
        report=job.report,
        advance=job.advance,
    )
    classifier = method.fit(task)
    if not hasattr(classifier, "head"):
        raise HarnessError(
            f"{type(method).__name__}.fit returned a classifier without 'head', which fine-tuning stores"
        )
    network.head, network.head_kind = FittedHead(classifier.head()).to(job.device), "fitted"
    _check_gradients(network, features, labels)
    return task.notes


def _embed_normalised(job: Job, method: Any, network: AdaptedNetwork, data: TrainingBatches) -> torch.Tensor:
    return F.normalize(torch.from_numpy(embed_samples(job, method, network, data)).to(job.device), dim=-1)


def _embed_view(
    run: CellFacts, network: AdaptedNetwork, training: TrainingBatches, seed: object, number: int
) -> torch.Tensor:
    """Return normalised embeddings of the training samples under random crops and flips, fixed by `number`."""
    job = run.job
    found = forward_all(
        network.features, getattr(training.split, "source", training.split),
        build_augmentation("crop-flip", getattr(job.model, "preparation", None)), device=job.device,
        batch_size=job.batch_size, precision=job.precision, workers=job.workers, indices=training.indices,
        seed=derive_seed("views", job.cell.dataset.identity, seed, number),
    )  # fmt: skip
    return F.normalize(found.to(job.device), dim=-1).clone()


def _check_gradients(network: AdaptedNetwork, features: torch.Tensor, labels: torch.Tensor) -> None:
    """Raise TrainingFault unless every trainable tensor of a fitted head affects its logits."""
    parameters = trainable_parameters(network.head)
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
