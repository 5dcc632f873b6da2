"""Evaluate a fine-tuned network: validation scores, the test split, and shifts with their own classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F

from harness import DataError, Job, Predictions, Result, Split
from harness.contract.remarks import label_remark
from harness.inference.batches import forward_all
from harness.inference.classes import Classes, align_classes
from harness.inference.evaluate import classification_result, compute_metrics, measure_evidence
from harness.inference.splits import find_test_split
from harness_metrics.label_set_metrics import MeanAveragePrecision11
from harness_metrics.label_sets import LabelSets, check_label_set_metrics
from harness_peft.adapted_network import AdaptedNetwork
from harness_peft.embedding_heads import apply_head, embed_split
from harness_peft.prepared_splits import pass_through
from harness_peft.training_data import TrainingBatches

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from harness_peft.cell_facts import CellFacts


def match_classes(own: Split, other: Split, where: str) -> list[int]:
    """Return, for each class of the split `other`, the position of the same class in `own`.

    Classes are matched by the label space's indices if both splits have them, else by name. Raises
    DataError for a class that the network was not trained on.
    """
    ours, theirs = Classes.of(own), Classes.of(other)
    if ours.indices is not None and theirs.indices is not None:
        if missing := [group for group in theirs.indices if group not in ours.indices]:
            raise DataError(f"shift '{where}': class {missing[0]!r} is not among the training set's")
        return [ours.indices.index(group) for group in theirs.indices]
    if ours.names and theirs.names:
        found = align_classes(Classes(names=ours.names), Classes(names=theirs.names, keys=theirs.keys))
        if found.refusal is not None:
            unknown = next((name for name in theirs.names if name not in ours.names), theirs.names[0])
            raise DataError(f"shift '{where}': class {unknown!r} is not among the training set's")
        return [group[0] for group in found.columns or [(i,) for i in range(len(theirs.names))]]
    count = int(np.asarray(own.targets).max()) + 1
    return list(range(count))


def can_match_classes(own: Split, other: Split) -> bool:
    """Return whether the classes of two splits can be matched, by label-space indices or by name."""
    ours, theirs = Classes.of(own), Classes.of(other)
    return bool((ours.indices and theirs.indices) or (ours.names and theirs.names))


def score_network(network: AdaptedNetwork, data: TrainingBatches) -> tuple[float, float]:
    """Return accuracy and mean cross-entropy on validation samples.

    For samples with several labels: 11-point mean average precision and mean binary cross-entropy.
    """
    found, targets = [], []
    with torch.inference_mode():
        for images, labels in data.iterate(256):
            found.append(network(images).float())
            targets.append(labels)
        return score_logits(torch.cat(found), torch.cat(targets))


def score_logits(logits: torch.Tensor, labels: torch.Tensor) -> tuple[float, float]:
    """Return the two scores of `score_network` from logits N×C and labels N or N×C."""
    if labels.ndim == 1:
        right = int((logits.argmax(1) == labels).sum())
        return right / len(labels), float(F.cross_entropy(logits, labels))
    counted = labels >= 0
    loss = float(F.binary_cross_entropy_with_logits(logits[counted], labels[counted].float()))
    return MeanAveragePrecision11()(LabelSets(logits.cpu().numpy(), labels.cpu().numpy(), ())), loss


def evaluate_cell(
    run: CellFacts, network: AdaptedNetwork, cost: Mapping[str, float], notes: Mapping[str, Any]
) -> Result:
    """Return the cell's result on its test split, including its metrics on the shifts.

    Raises OptionError for metrics that read another kind of labels than the data has.
    """
    job, protocol = run.job, run.protocol
    evidence = LabelSets if run.label_sets else Predictions
    check_label_set_metrics(job.metrics, evidence, f"'{job.cell.dataset.label}'")
    logits, split = _compute_logits(run, network, job, run.data.tested)
    names = getattr(split, "class_names", None) or ()
    if run.label_sets:
        found = LabelSets(logits, np.asarray(split.targets), split.ids, names)
        return Result(
            compute_metrics(job, found), count=len(found), cost=cost, notes=notes, evidence={"": found}
        )
    result = classification_result(
        job, Predictions(logits, split.targets, split.ids, names), cost=cost, notes=notes
    )
    kept = dict(result.evidence)
    for name, dataset in protocol.shifts.items():
        there = find_test_split(dataset.splits)
        if there.name is None:
            raise DataError(f"shift '{name}': {there.refusal}")
        logits, split = _compute_logits(run, network, job.at(dataset), there.name, name)
        if not can_match_classes(run.data.train_split, split):
            text = f"shift '{name}': class i was assumed to be class i of the data set, since not both name their classes"
            job.remark(label_remark(text, job.cell))
        kept[name] = Predictions(logits, split.targets, split.ids)
    shifted = measure_evidence(job, {name: one for name, one in kept.items() if name})
    return replace(result, metrics={**result.metrics, **shifted}, evidence=kept)


def _compute_logits(
    run: CellFacts, network: AdaptedNetwork, there: Job, name: str, shift: str | None = None
) -> tuple[NDArray[np.float32], Split]:
    """Return logits on a split of the job `there`, over that split's own classes, and the split."""
    split, source = there.splits(name), run.data.prepare_split(name, there)
    if run.solves or run.fits:
        found = apply_head(network, embed_split(there, run.method, network, source)).cpu().numpy()
    else:
        found = forward_all(
            network, source, pass_through, device=there.device, batch_size=there.batch_size,
            precision=there.precision, workers=there.workers,
        ).numpy()  # fmt: skip
    if shift is not None:
        found = found[:, match_classes(run.data.train_split, split, shift)]
    return found, split
