"""The logits of Tip-Adapter: the zero-shot classifier plus a cache of shots."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def tip_logits(
    features: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    classifier: torch.Tensor,
    scale: float,
    alpha: float,
    beta: float,
) -> torch.Tensor:
    """Return logits N×C: s·f·Wᵀ + α·exp(−β(1 − f·Kᵀ))·L for keys K×D, one-hot values L K×C, classifier W C×D.

    Source: Zhang et al., Tip-Adapter, ECCV 2022, equations 5 and 6.
    """
    affinity = features @ keys.T
    return scale * features @ classifier.T + alpha * (-beta * (1 - affinity)).exp() @ values
