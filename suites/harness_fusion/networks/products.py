"""Networks that multiply the modalities: bilinear, tensor, and low-rank tensor fusion."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn.functional import normalize

from harness_fusion.contracts import Features


class VectorProjection(nn.Module):
    """Project a vector to a few dimensions of unit scale: linear, then layer norm; zero if missing.

    Without the norm, products of two small projections start near zero and learn slowly.
    """

    def __init__(self, width: int, size: int) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.Linear(width, size), nn.LayerNorm(size))

    def forward(self, features: Features) -> torch.Tensor:
        """Return the projected vectors B×size."""
        projected: torch.Tensor = self.project(features.vector)
        return projected.masked_fill(~features.present[:, None], 0.0)


def with_one(x: torch.Tensor) -> torch.Tensor:
    """Return [1; x], B×(D+1)."""
    return torch.cat([x.new_ones(len(x), 1), x], dim=-1)


def outer(t: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Return all products of two entries, B×(T·V): entry i·V + j is tᵢ vⱼ."""
    return (t[:, :, None] * v[:, None, :]).flatten(1)


class BilinearNetwork(nn.Module):
    """Each output k is t ᵀ W_k v + b_k of the projected vectors."""

    def __init__(self, text: int, image: int, size: int, hidden: int) -> None:
        super().__init__()
        self.width = hidden
        self.text, self.image = VectorProjection(text, size), VectorProjection(image, size)
        self.product = nn.Linear(size**2, hidden)  # of t ⊗ v: nn.Bilinear, several times as fast on a CPU

    def forward(self, text: Features, image: Features) -> torch.Tensor:
        """Return the vector B×hidden."""
        vector: torch.Tensor = self.product(outer(self.text(text), self.image(image)))
        return vector


class TensorNetwork(nn.Module):
    """[1; t] ⊗ [1; v] of the projected vectors, flattened as `outer` does."""

    def __init__(self, text: int, image: int, size: int) -> None:
        super().__init__()
        self.width = (size + 1) ** 2
        self.text, self.image = VectorProjection(text, size), VectorProjection(image, size)

    def forward(self, text: Features, image: Features) -> torch.Tensor:
        """Return the vector B×(size+1)²."""
        return outer(with_one(self.text(text)), with_one(self.image(image)))


class LowRankNetwork(nn.Module):
    """Σᵣ wᵣ ([1; t] Uᵣ ⊙ [1; v] Vᵣ) + b: the linear map Σᵣ wᵣ Uᵣ ⊗ Vᵣ of the full tensor.

    t and v are the vectors at unit length. Each factor starts as a normal matrix of variance ½, so that
    ([1; t] has length √2) every product starts at unit scale, whatever the encoders' scale: Xavier's
    fans would be wrong for a stack of matrices, products of two small factors would start near zero,
    and products of two large ones would drown everything else.
    """

    def __init__(self, text: int, image: int, rank: int, hidden: int) -> None:
        super().__init__()
        self.width = hidden
        self.text = nn.Parameter(torch.randn(rank, text + 1, hidden) * math.sqrt(0.5))
        self.image = nn.Parameter(torch.randn(rank, image + 1, hidden) * math.sqrt(0.5))
        self.weight = nn.Parameter(torch.full((rank,), 1 / math.sqrt(rank)))
        self.bias = nn.Parameter(torch.zeros(hidden))

    def forward(self, text: Features, image: Features) -> torch.Tensor:
        """Return the vector B×hidden."""
        t = torch.einsum("bd,rdh->brh", with_one(normalize(text.vector, dim=-1)), self.text)
        v = torch.einsum("bd,rdh->brh", with_one(normalize(image.vector, dim=-1)), self.image)
        return torch.einsum("r,brh->bh", self.weight, t * v) + self.bias
