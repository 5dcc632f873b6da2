"""Losses of a classifier by name, one value per sample, for labels and for shares of classes."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F

from harness.errors import DataError, OptionError, did_you_mean

ClassificationLoss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""From logits B×C, and labels B or shares B×C (of mixed images), to losses B."""

LOSSES = ("cross-entropy", "categorical-hinge", "bce")


def build_loss(name: str, smoothing: float = 0.0, threshold: float | None = None) -> ClassificationLoss:
    """Return a loss that is computed in float32, and not averaged over the samples.

    - "cross-entropy" is that of the softmax.
    - "categorical-hinge" is Keras': max(0, max of (1 − y)·p − Σ y·p + 1), on the softmax outputs p, so it lies
      between 0 and 2, and is 1 at equal logits. (torch's `multi_margin_loss` sums over the classes instead.)
    - "bce" is the mean over the classes of the binary cross-entropy of each class's sigmoid, as timm's
      BinaryCrossEntropy. With a `threshold`, shares above it count as 1 and others as 0, so that a mixed
      image belongs to both its classes (Wightman et al., ResNet strikes back, 2021).

    `smoothing` ε turns shares y into (1 − ε)·y + ε/C (Szegedy et al., CVPR 2016), mixed ones, too.

    Raises OptionError for an unknown name, or options that do not fit it.
    """
    if name not in LOSSES:
        raise OptionError(f"no loss '{name}'{did_you_mean(name, LOSSES)}")
    if not 0 <= smoothing < 1:
        raise OptionError(f"loss '{name}': smoothing must be at least 0 and below 1, not {smoothing}")
    if name == "categorical-hinge" and smoothing:
        raise OptionError("loss 'categorical-hinge' takes no label smoothing")
    if threshold is not None and name != "bce":
        raise OptionError(f"loss '{name}' takes no threshold: only 'bce' does")

    def cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        given = targets if targets.ndim == 1 else to_shares(targets, logits)
        return F.cross_entropy(logits.float(), given, reduction="none", label_smoothing=smoothing)

    def categorical_hinge(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        shares, outputs = to_shares(targets, logits), logits.float().softmax(1)
        wrong = ((1 - shares) * outputs).amax(1)
        return (wrong - (shares * outputs).sum(1) + 1).clamp(min=0)

    def binary_cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        shares = to_shares(targets, logits, smoothing)
        if threshold is not None:
            shares = (shares > threshold).float()
        return F.binary_cross_entropy_with_logits(logits.float(), shares, reduction="none").mean(1)

    found = {
        "cross-entropy": cross_entropy,
        "categorical-hinge": categorical_hinge,
        "bce": binary_cross_entropy,
    }
    return found[name]


def to_shares(targets: torch.Tensor, logits: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
    """Return labels B, or shares B×C, as smoothed shares B×C in float32.

    Raises DataError for shares of another shape than the logits'.
    """
    if targets.ndim == 1:
        shares = F.one_hot(targets, logits.shape[1]).float()
    elif targets.shape == logits.shape:
        shares = targets.float()
    else:
        raise DataError(f"targets are {tuple(targets.shape)}, but logits are {tuple(logits.shape)}")
    return shares if not smoothing else shares * (1 - smoothing) + smoothing / logits.shape[1]
