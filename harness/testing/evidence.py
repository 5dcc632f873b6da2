"""Evidence for checking metrics: predictions from useless to perfect, odd ones, and parts of them.

An evidence class other than Predictions may offer the same as methods of its own: the class method
`example(quality, seed)`, and `shuffled(seed)` and `concat(parts)`, each giving evidence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from harness.contract.declared import ask
from harness.contract.evidence import Predictions

Make = Callable[[float, int], Any]
"""Evidence from a quality (0 all wrong, 0.5 guessed, 1 perfect) and a seed."""

SAMPLES, CLASSES = 240, 10


def predictions(quality: float, seed: int, classes: int = CLASSES) -> Predictions:
    """240 predictions over some classes; 0 is sure of wrong classes, 0.5 guesses, 1 is sure and right."""
    rng = np.random.default_rng(seed)
    targets = rng.permutation(np.arange(SAMPLES) % classes)
    logits = rng.normal(size=(SAMPLES, classes)) * (1 - abs(2 * quality - 1))
    strength = 24 * (quality - 0.5)
    logits[np.arange(SAMPLES), targets] += strength
    if quality < 0.5:  # sure of one wrong class, rather than unsure among nine
        logits[np.arange(SAMPLES), (targets + 1) % classes] -= strength
    return Predictions(
        logits, targets, [f"s{i:04d}" for i in range(SAMPLES)], [f"c{c}" for c in range(classes)]
    )


def shuffled(evidence: Any, seed: int) -> Any | None:
    """The same samples in another order; None for evidence that can't say."""
    if isinstance(evidence, Predictions):
        return taken(evidence, np.random.default_rng(seed).permutation(len(evidence)))
    return evidence.shuffled(seed) if ask(evidence, "shuffled") is not None else None


def taken(evidence: Predictions, rows: Any) -> Predictions:
    """Some of the predictions, in the order of `rows`."""
    ids = [evidence.ids[i] for i in rows]
    return Predictions(evidence.logits[rows], evidence.targets[rows], ids, evidence.class_names)


def degenerate() -> dict[str, Predictions]:
    """Predictions that a real run may give, and on which formulas divide by zero or overflow."""
    usual = predictions(0.6, 3)
    one_class = taken(usual, np.flatnonzero(usual.targets == 0))
    huge = Predictions(usual.logits * 1e4, usual.targets, usual.ids, usual.class_names)
    masked = usual.logits.copy()
    away = (usual.targets + 5) % CLASSES
    masked[np.arange(len(usual)), away] = -np.inf
    flat = np.zeros_like(usual.logits)
    return {
        "a single sample": taken(usual, np.arange(1)),
        "samples of a single class": one_class,
        "equal logits for all classes": Predictions(flat, usual.targets, usual.ids, usual.class_names),
        "logits of ten thousands": huge,
        "classes masked by −inf": Predictions(masked, usual.targets, usual.ids, usual.class_names),
        "float32 logits": Predictions(usual.logits.astype(np.float32), usual.targets, usual.ids),
        "two classes": Predictions(usual.logits[:, :2], usual.targets % 2, usual.ids),
    }


def refused() -> dict[str, Predictions]:
    """Predictions on which no number means anything: only a clear error will do, or a finite number."""
    usual = predictions(0.6, 3)
    broken = usual.logits.copy()
    broken[7, 2] = np.nan
    return {
        "no samples": taken(usual, np.arange(0)),
        "a logit that is NaN": Predictions(broken, usual.targets, usual.ids, usual.class_names),
    }
