"""Probe a trained head at test time: shuffle, zero, average or drop one modality."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from harness_fusion.contracts import Features, PairFeatures

if TYPE_CHECKING:
    import torch

ProbeKind = Literal["shuffled", "zeroed", "averaged", "missing"]
KINDS: tuple[ProbeKind, ...] = ("shuffled", "zeroed", "averaged", "missing")
"""`shuffled` is the fairest: each input stays as realistic as in training, only the pairing is wrong."""

ROWS_AT_ONCE = 1024


def remove_modality(
    pairs: PairFeatures, modality: Literal["text", "image"], kind: ProbeKind, train: Features, seed: int = 0
) -> PairFeatures:
    """Return the pairs without the information of one modality.

    `shuffled`: every pair gets another pair's features and presence, drawn from `seed`. `zeroed`: zero
    vectors and tokens that count as present. `averaged`: the mean vector and mean token of the training
    features `train` everywhere. `missing`: marked as missing.
    """
    import torch

    features: Features = getattr(pairs, modality)
    if kind == "shuffled":
        changed = features.map_tensors(lambda t: t[draw_derangement(len(pairs), seed).to(t.device)])
    elif kind == "missing":
        changed = Features.from_pooled(
            features.pooled, torch.zeros_like(features.present), features.sequence, features.mask
        )
    else:
        vector, token = (torch.zeros_like(f[:1]) for f in (features.pooled, features.sequence[:, 0]))
        if kind == "averaged":
            vector, token = (m[None].to(features.pooled.device) for m in average_features(train))
        changed = Features.from_pooled(
            vector.expand_as(features.pooled),
            features.present,
            token[:, None].to(features.sequence.dtype).expand_as(features.sequence),
            features.mask,
        )
    return PairFeatures(
        changed if modality == "text" else pairs.text,
        changed if modality == "image" else pairs.image,
        pairs.targets,
    )


def draw_derangement(count: int, seed: int) -> torch.Tensor:
    """Draw a permutation of `count` positions that moves every one (if there are at least two).

    It is a single random cycle through all positions.
    """
    import torch

    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    permutation = torch.empty_like(order)
    permutation[order] = order.roll(1)
    return permutation


def average_features(features: Features) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean vector E of samples that have the modality, and the mean D of their visible tokens."""
    import torch

    vector = features.pooled[features.present].float().mean(0)
    visible = features.visible
    total = torch.zeros(features.sequence.shape[-1], device=features.sequence.device)
    for part in torch.arange(len(features), device=total.device).split(ROWS_AT_ONCE):
        total += (features.sequence[part].float() * visible[part][..., None]).sum((0, 1))
    return torch.nan_to_num(vector), total / visible.sum().clamp(min=1)
