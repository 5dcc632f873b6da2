"""Attention with separate projections for q, k and v, equal to the fused attention it is made from.

peft applies a LoRA delta on `nn.MultiheadAttention`'s out_proj twice, and can't target q or v of a
fused projection alone. It handles plain Linear layers, as used here, correctly.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from harness import Unavailable


class SplitQKV(nn.Module):
    """Three Linear layers in place of timm's fused `qkv`; their outputs are concatenated."""

    def __init__(self, fused: nn.Linear) -> None:
        super().__init__()
        self.q, self.k, self.v = _split_in_three(fused.weight, fused.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return B×T×3D from B×T×D, as the fused layer does."""
        return torch.cat([self.q(x), self.k(x), self.v(x)], dim=-1)

    def fuse(self) -> nn.Linear:
        """Return one Linear layer with the current weights."""
        return _join_layers([self.q, self.k, self.v])


class SplitAttention(nn.Module):
    """`nn.MultiheadAttention` (self-attention, one width) as four Linear layers q, k, v, out.

    Raises Unavailable for any other kind of attention.
    """

    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        if attention.in_proj_weight is None or attention.bias_k is not None or attention.add_zero_attn:
            raise Unavailable("splitting attention: only self-attention of one width can be split")
        self.heads, self.batch_first, self.dropout = (
            attention.num_heads,
            attention.batch_first,
            attention.dropout,
        )
        self.q, self.k, self.v = _split_in_three(attention.in_proj_weight, attention.in_proj_bias)
        self.out = nn.Linear(
            attention.embed_dim, attention.embed_dim, bias=attention.out_proj.bias is not None
        )
        self.out.load_state_dict(attention.out_proj.state_dict())
        self.out.to(attention.out_proj.weight.device).requires_grad_(False)

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        need_weights: bool = False,
        attn_mask: torch.Tensor | None = None,
        **_: object,
    ) -> tuple[torch.Tensor, None]:
        """Return the attended values and None, for inputs B×T×D (T×B×D unless `batch_first`)."""
        if not self.batch_first:
            query, key, value = (t.transpose(0, 1) for t in (query, key, value))
        q, k, v = (self._heads(t) for t in (self.q(query), self.k(key), self.v(value)))
        dropout = self.dropout if self.training else 0.0
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask, dropout_p=dropout)
        y = self.out(y.transpose(1, 2).flatten(2))
        return (y if self.batch_first else y.transpose(0, 1)), None

    def _heads(self, x: torch.Tensor) -> torch.Tensor:
        return torch.unflatten(x, -1, (self.heads, -1)).transpose(1, 2)


def split_attention(block: nn.Module) -> tuple[nn.Module, str]:
    """Split a transformer block's attention in place; return the module with `q`, `k`, `v`.

    The second value is the name of its output projection. Raises Unavailable for unknown kinds of attention.
    """
    attention: Any = block.attn
    if isinstance(attention, SplitAttention):
        return attention, "out"
    if isinstance(attention, nn.MultiheadAttention):
        block.attn = SplitAttention(attention)
        return block.attn, "out"
    fused = getattr(attention, "qkv", None)
    if isinstance(fused, SplitQKV):
        return fused, "proj"
    if not isinstance(fused, nn.Linear) or getattr(attention, "q_bias", None) is not None:
        raise Unavailable(f"{type(attention).__name__} has no fused qkv layer that can be split")
    attention.qkv = SplitQKV(fused)
    return attention.qkv, "proj"


def _split_in_three(weight: torch.Tensor, bias: torch.Tensor | None) -> list[nn.Linear]:
    out = []
    for rows, shift in zip(weight.chunk(3), bias.chunk(3) if bias is not None else (None,) * 3):
        layer = nn.Linear(rows.shape[1], rows.shape[0], bias=shift is not None)
        layer.weight = nn.Parameter(rows.detach().clone(), requires_grad=False)
        if shift is not None:
            layer.bias = nn.Parameter(shift.detach().clone(), requires_grad=False)
        out.append(layer)
    return out


def _join_layers(layers: list[nn.Linear]) -> nn.Linear:
    weight = torch.cat([x.weight.detach() for x in layers])
    fused = nn.Linear(weight.shape[1], weight.shape[0], bias=layers[0].bias is not None)
    fused.weight = nn.Parameter(weight, requires_grad=False)
    if layers[0].bias is not None:
        fused.bias = nn.Parameter(torch.cat([x.bias.detach() for x in layers]), requires_grad=False)
    return fused
