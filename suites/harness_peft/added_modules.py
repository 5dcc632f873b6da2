"""Modules that methods add to a network: bottleneck adapters, scales and shifts, prompts."""

from __future__ import annotations

import math

import torch
from torch import nn

from harness import OptionError


class BottleneckAdapter(nn.Module):
    """s·up(f(down(x))), d → h → d with biases: 2dh + h + d parameters.

    Down starts Kaiming uniform (a = √5) and up starts at zero, so the output starts at zero and both
    learn. If both started at zero, only the last bias would ever get a gradient.
    """

    def __init__(self, width: int, hidden: int, scale: float, activation: type[nn.Module]) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.activation, self.scale = activation(), scale
        nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5))
        for tensor in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(tensor)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the tensor to add, of the shape of `x`."""
        added: torch.Tensor = self.scale * self.up(self.activation(self.down(x)))
        return added


def block_width(block: nn.Module) -> int:
    """Return the width d of a transformer block: the input width of its MLP's first Linear layer.

    Raises OptionError if the MLP has no Linear layer.
    """
    first = next((m for m in block.get_submodule("mlp").modules() if isinstance(m, nn.Linear)), None)
    if first is None:
        raise OptionError(f"{type(block).__name__}: its MLP has no Linear layer")
    return first.in_features


class ScaleShift(nn.Module):
    """γ⊙y + β over the last dimension, or over the channels of B×C×H×W; starts with γ ≈ 1 and β ≈ 0."""

    def __init__(self, width: int, std: float, channels_first: bool) -> None:
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))
        if std > 0:
            nn.init.normal_(self.scale, 1.0, std)
            nn.init.normal_(self.shift, 0.0, std)
        self.channels_first = channels_first

    def forward(self, y: torch.Tensor) -> torch.Tensor:
        """Return γ⊙y + β, of the shape of `y`."""
        if self.channels_first:
            return y * self.scale[:, None, None] + self.shift[:, None, None]
        return y * self.scale + self.shift


class PromptTokens(nn.Module):
    """`count` tokens of width d, initially uniform in ±v, v = √(6 / (3·P² + d)) for patches of side P."""

    def __init__(self, count: int, width: int, patch: int) -> None:
        super().__init__()
        self.tokens = nn.Parameter(torch.empty(count, width))
        bound = math.sqrt(6 / (3 * patch**2 + width))
        nn.init.uniform_(self.tokens, -bound, bound)

    def forward(self, x: torch.Tensor, at: int, replaced: int) -> torch.Tensor:
        """Insert the prompts at position `at` of B×T×d, in place of the `replaced` tokens there."""
        own = self.tokens.to(x.dtype).expand(len(x), -1, -1)
        return torch.cat([x[:, :at], own, x[:, at + replaced :]], dim=1)
