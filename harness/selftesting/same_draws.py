"""Dropout that drops the same on every device: its mask is drawn by the CPU's generator."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@contextmanager
def drawing_on_the_cpu() -> Iterator[None]:
    """Let `torch.nn.functional.dropout`, and so `torch.nn.Dropout`, draw on the CPU inside the block.

    A device's own generator gives other masks than the CPU's from the same seed, after which not even the first
    losses agree. Dropout inside fused attention is not covered.
    """
    import torch
    from torch.nn import functional

    original = functional.dropout

    def dropout(
        input: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
    ) -> torch.Tensor:
        if not training or p in (0.0, 1.0):
            return original(input, p, training, inplace)
        kept = (torch.rand(input.shape) >= p).to(input.device, input.dtype) / (1.0 - p)
        return input.mul_(kept) if inplace else input * kept

    functional.dropout = dropout
    try:
        yield
    finally:
        functional.dropout = original
