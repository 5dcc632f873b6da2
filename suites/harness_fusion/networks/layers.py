"""Layers of the token networks: attention that handles empty sequences, blocks, pooling."""

from __future__ import annotations

import torch
from torch import nn

from harness_fusion.contracts import Features


def masked_mean(x: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
    """Return the mean B×D of the visible tokens of B×T×D; zero if there are none."""
    kept = x.masked_fill(~visible[..., None], 0.0).sum(dim=1)
    return kept / visible.sum(dim=1, keepdim=True).clamp(min=1)


class TokenProjection(nn.Module):
    """Project an encoder's tokens B×T×D to B×T×hidden: layer norm, then a linear layer; zero if not visible.

    The norm is needed because encoders' tokens, unlike normalised embeddings, have arbitrary scale.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.project = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, hidden))

    def forward(self, features: Features) -> torch.Tensor:
        """Return the projected tokens B×T×hidden."""
        projected: torch.Tensor = self.project(features.tokens)
        return projected.masked_fill(~features.visible[..., None], 0.0)


class MaskedAttention(nn.Module):
    """Multi-head attention whose output is zero for samples without visible keys.

    A softmax over nothing is NaN, and NaN passes through every later mask; so samples without a visible
    key attend to everything, and their output is zeroed. A single key uses the unfused path: the
    queries' gradient is exactly zero there, but fused kernels leave a rounding residue that Adam would
    scale up to full steps.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.attend = nn.MultiheadAttention(width, heads, batch_first=True)

    def forward(
        self, queries: torch.Tensor, keys: torch.Tensor, visible: torch.Tensor, shares: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the outputs B×Q×D; with `shares` also the attention B×Q×K, averaged over heads."""
        any_visible = visible.any(dim=1)[:, None, None]
        hidden = ~(visible | ~any_visible[:, 0])
        plain = shares or keys.shape[1] == 1
        answer, attention = self.attend(queries, keys, keys, key_padding_mask=hidden, need_weights=plain)
        answer = answer.masked_fill(~any_visible, 0.0)
        return answer, attention.masked_fill(~any_visible, 0.0) if shares else None


class TokenBlock(nn.Module):
    """A pre-norm transformer block: self-attention, then an MLP of twice the width."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.before_attention, self.before_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = MaskedAttention(width, heads)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(
        self, x: torch.Tensor, visible: torch.Tensor, rows: int | None = None, shares: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the first `rows` tokens of B×T×D after the block (all by default).

        With `shares` also return their attention B×rows×T. All tokens serve as keys in any case.
        """
        normed = self.before_attention(x)
        answer, attention = self.attention(normed[:, :rows], normed, visible, shares)
        x = x[:, :rows] + answer
        return x + self.mlp(self.before_mlp(x)), attention
