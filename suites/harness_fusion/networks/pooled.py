"""Networks over pooled vectors: one modality, concatenation, and gating."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from harness_fusion.contracts import Features


class Unimodal(nn.Module):
    """ReLU(W x + b) of one modality's vector; the other modality is ignored."""

    def __init__(self, modality: Literal["text", "image"], width: int, hidden: int) -> None:
        super().__init__()
        self.modality, self.width = modality, hidden
        self.layer = nn.Linear(width, hidden)

    def forward(self, text: Features, image: Features) -> torch.Tensor:
        """Return the vector B×hidden."""
        return torch.relu(self.layer((text if self.modality == "text" else image).vector))


class PooledConcatenation(nn.Module):
    """ReLU(W [t; v] + b)."""

    def __init__(self, text: int, image: int, hidden: int) -> None:
        super().__init__()
        self.width = hidden
        self.layer = nn.Linear(text + image, hidden)

    def forward(self, text: Features, image: Features) -> torch.Tensor:
        """Return the vector B×hidden."""
        return torch.relu(self.layer(torch.cat([text.vector, image.vector], dim=-1)))


class GatedUnit(nn.Module):
    """z ⊙ tanh(A t) + (1 − z) ⊙ tanh(B v) with z = σ(W [t; v] + b).

    A and B have no bias, so a missing modality, whose vector is zero, adds nothing.
    """

    def __init__(self, text: int, image: int, hidden: int) -> None:
        super().__init__()
        self.width = hidden
        self.text = nn.Linear(text, hidden, bias=False)
        self.image = nn.Linear(image, hidden, bias=False)
        self.gate = nn.Linear(text + image, hidden)

    def gates(self, text: Features, image: Features) -> torch.Tensor:
        """Return z, B×hidden: 1 lets the text through, 0 the image."""
        return torch.sigmoid(self.gate(torch.cat([text.vector, image.vector], dim=-1)))

    def forward(self, text: Features, image: Features) -> torch.Tensor:
        """Return the vector B×hidden."""
        z = self.gates(text, image)
        return z * torch.tanh(self.text(text.vector)) + (1 - z) * torch.tanh(self.image(image.vector))

    def weights(self, text: Features, image: Features) -> torch.Tensor:
        """Return the mean gate and its complement, B×2."""
        z = self.gates(text, image).mean(dim=-1)
        return torch.stack([z, 1 - z], dim=-1)
