"""Costs of an arm: parameters used and trained, and samples per second from features and from raw input."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from harness.inference.evaluate import image_pipeline
from harness_fusion.contracts import FeatureBatches
from harness_fusion.head_training import FEATURES_AT_ONCE, predict_with_head
from harness_fusion.modality_features import Encoders, Modality, find_present

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from harness import Split
    from harness_fusion.fusion_head import FusionHead


def find_encoder_parameters(
    encoders: Encoders, modality: Modality, reads: str, split: Split
) -> list[nn.Parameter]:
    """Return the model's parameters that a method's input of one modality depends on.

    Found by differentiating that input for one sample, so unused towers are not counted, whatever they
    are called. The result is cached.
    """
    if not hasattr(encoders.model, "module"):
        return []
    everything = list(encoders.model.module.parameters())
    used = encoders.job.features(
        f"fusion parameters of {modality}", None, lambda: _find_used(encoders, modality, reads, split, everything),
        images=False, tokens=encoders.gives_tokens[modality], reads=reads,
    )  # fmt: skip
    return [parameter for parameter, needed in zip(everything, used, strict=True) if needed]


def _find_used(
    encoders: Encoders, modality: Modality, reads: str, split: Split, everything: list[nn.Parameter]
) -> NDArray[np.bool_]:
    """Return whether each parameter gets a gradient; `requires_grad` is restored."""
    before = [p.requires_grad for p in everything]
    row = int(np.flatnonzero(find_present(split, modality))[0])
    try:
        for parameter in everything:
            parameter.requires_grad_(True)
        with torch.enable_grad():
            if modality == "text":
                parts = encoders.encode_texts([split.texts[row]])  # type: ignore[attr-defined]
            else:
                image = image_pipeline(encoders.job, split)(split[row].image)
                parts = encoders.encode_images(image[None].to(encoders.job.device))
            read = parts[1] if reads == "tokens" and len(parts) > 1 else parts[0]
            gradients = torch.autograd.grad(read.float().sum(), everything, allow_unused=True)
    finally:
        for parameter, required in zip(everything, before, strict=True):
            parameter.requires_grad_(required)
    return np.array([gradient is not None for gradient in gradients])


def count_numbers(parameters: list[Any]) -> int:
    """Count the numbers in these parameters, each tensor once."""
    return sum(p.numel() for p in {id(p): p for p in parameters}.values())


def measure_cached_rate(head: FusionHead, source: FeatureBatches, repeats: int = 3) -> float:
    """Return samples per second of prediction from features in memory: the fastest of `repeats` after one."""
    fastest = float("inf")
    for number in range(repeats + 1):
        began = time.perf_counter()
        predict_with_head(head, source, FEATURES_AT_ONCE)
        if number:
            fastest = min(fastest, time.perf_counter() - began)
    return len(source) / max(fastest, 1e-9)


def estimate_raw_rate(cached: float, encoding: Mapping[str, float]) -> float:
    """Return samples per second including reading and encoding, one step after the other.

    NaN if an encoder's speed is unknown.
    """
    return 1 / (1 / cached + sum(1 / rate for rate in encoding.values()))
