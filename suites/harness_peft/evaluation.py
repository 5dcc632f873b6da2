"""Evaluating a fine-tuned network: validation scores, and the classes of a shift among its own."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from harness.contract import Dataset, Split
from harness.errors import DataError
from harness_peft.data import Batches
from harness_peft.network import Network


def columns(own: Split, other: Split, where: str) -> list[int]:
    """For each class of another split, the position of the same class in ours.

    Through the label space's indices where both say them, else by name. Raises DataError for a
    class that the network was not trained for.
    """
    for attribute in ("label_indices", "class_names"):
        ours, theirs = getattr(own, attribute, None), getattr(other, attribute, None)
        if ours is None or theirs is None:
            continue
        keys = [c if isinstance(c, str) else tuple(c) for c in ours]
        wanted = [c if isinstance(c, str) else tuple(c) for c in theirs]
        if missing := [c for c in wanted if c not in keys]:
            raise DataError(f"shift '{where}': class {missing[0]!r} is not among the training set's")
        return [keys.index(c) for c in wanted]
    count = int(np.asarray(own.targets).max()) + 1
    return list(range(count))


def test_split_of(dataset: Dataset) -> str:
    """`test` where the data set has it, else `val` or `validation`, else its first split."""
    return next((s for s in ("test", "val", "validation") if s in dataset.splits), dataset.splits[0])


def score(network: Network, data: Batches) -> tuple[float, float]:
    """Accuracy and mean cross-entropy on validation samples."""
    right, loss = 0, 0.0
    with torch.inference_mode():
        for start in range(0, len(data), 256):
            images, labels = data.take(np.arange(start, min(start + 256, len(data))))
            logits = network(images).float()
            right += int((logits.argmax(1) == labels).sum())
            loss += float(F.cross_entropy(logits, labels, reduction="sum"))
    return right / len(data), loss / len(data)
