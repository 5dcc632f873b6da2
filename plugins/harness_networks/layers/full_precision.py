"""Modules that leave mixed precision aside, because small differences of large numbers decide their outputs."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)


def without_autocast(
    forward: Callable[[Module, torch.Tensor], torch.Tensor],
) -> Callable[[Module, torch.Tensor], torch.Tensor]:
    """Return a module's `forward` of one tensor that computes in its own precision, but at least in float32."""

    @wraps(forward)
    def forward_in_full(self: Module, maps: torch.Tensor) -> torch.Tensor:
        with torch.autocast(maps.device.type, enabled=False):
            return forward(self, maps.to(torch.promote_types(maps.dtype, torch.float32)))

    return forward_in_full
