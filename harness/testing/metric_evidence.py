"""Evidence for checking metrics: predictions from useless to perfect, odd ones, and parts of them.

An evidence class other than Predictions may offer the same as its own methods: the class method
`example(quality, seed)`, and `shuffled(seed)`, each returning evidence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from harness.contract.declared import ask
from harness.contract.evidence import Predictions

MakeEvidence = Callable[[float, int], Any]
"""Makes evidence of a quality (0 all wrong, 0.5 guessed, 1 perfect) and a seed."""

SAMPLES, CLASSES = 240, 10


def make_predictions(quality: float, seed: int, classes: int = CLASSES) -> Predictions:
    """Make 240 predictions over some classes; 0 is sure of wrong classes, 0.5 guesses, 1 is sure and right."""
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


def shuffle_evidence(evidence: Any, seed: int) -> Any | None:
    """Return the same samples in another order; None for evidence that can't be shuffled."""
    if isinstance(evidence, Predictions):
        return select_rows(evidence, np.random.default_rng(seed).permutation(len(evidence)))
    return evidence.shuffled(seed) if ask(evidence, "shuffled") is not None else None


def select_rows(evidence: Predictions, rows: Any) -> Predictions:
    """Return some of the predictions, in the order of `rows`."""
    ids = [evidence.ids[i] for i in rows]
    return replace(evidence, logits=evidence.logits[rows], targets=evidence.targets[rows], ids=ids)


def make_odd_predictions() -> dict[str, Predictions]:
    """Return predictions on which formulas divide by zero or overflow, or on which no number means anything."""
    usual = make_predictions(0.6, 3)
    masked, broken = usual.logits.copy(), usual.logits.copy()
    masked[np.arange(len(usual)), (usual.targets + 5) % CLASSES] = -np.inf
    broken[7, 2] = np.nan
    return {
        "a single sample": select_rows(usual, np.arange(1)),
        "samples of a single class": select_rows(usual, np.flatnonzero(usual.targets == 0)),
        "equal logits for all classes": replace(usual, logits=np.zeros_like(usual.logits)),
        "logits of ten thousands": replace(usual, logits=usual.logits * 1e4),
        "classes masked by −inf": replace(usual, logits=masked),
        "float32 logits": Predictions(usual.logits.astype(np.float32), usual.targets, usual.ids),
        "two classes": Predictions(usual.logits[:, :2], usual.targets % 2, usual.ids),
        "no samples": select_rows(usual, np.arange(0)),
        "a logit that is NaN": replace(usual, logits=broken),
    }
