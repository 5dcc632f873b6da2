"""Bottleneck adapters beside and after the MLP: AdaptFormer, Houlsby's and Pfeiffer's."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from harness.errors import OptionError

if TYPE_CHECKING:
    from harness_peft.network import Network


class Bottleneck(nn.Module):
    """s·up(f(down(x))), d → h → d with biases: 2dh + h + d parameters.

    Down is Kaiming uniform (a = √5) and up is zero, so it starts as nothing and both learn; with
    both zero, as some code has it, only the last bias ever gets a gradient.
    """

    def __init__(self, width: int, hidden: int, scale: float, activation: type[nn.Module]) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.activation, self.scale = activation(), scale
        nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5))
        for tensor in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(tensor)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What is to be added, of the shape of `x`."""
        return self.scale * self.up(self.activation(self.down(x)))


def width_of(block: nn.Module) -> int:
    """The width d of a transformer block: what its MLP's first Linear layer takes."""
    first = next((m for m in block.mlp.modules() if isinstance(m, nn.Linear)), None)
    if first is None:
        raise OptionError(f"{type(block).__name__}: its MLP has no Linear layer")
    return first.in_features


class AdaptFormer:
    """AdaptFormer: x + MLP(LN(x)) + s·up(ReLU(down(LN(x)))) (Chen et al. 2022, equations 2 and 3)."""

    rates = (1e-3, 3e-3, 1e-2)

    def __init__(self, hidden: int = 64, scale: float = 0.1) -> None:
        if hidden < 1:
            raise OptionError(f"adaptformer: hidden must be at least 1, not {hidden}")
        self.hidden, self.scale = hidden, scale

    def prepare(self, network: Network) -> None:
        """Adds a bottleneck beside every MLP."""
        for block in network.blocks():
            _beside(block, Bottleneck(width_of(block), self.hidden, self.scale, nn.ReLU))


class Adapter:
    """Bottleneck adapter x + up(GELU(down(x))) after the MLP (`mlp`), or after attention too (`both`).

    Sources: Pfeiffer et al. 2021; Houlsby et al. 2019.
    """

    rates = (1e-3, 3e-3, 1e-2)

    def __init__(self, hidden: int = 64, place: Literal["mlp", "both"] = "mlp") -> None:
        if hidden < 1:
            raise OptionError(f"adapter: hidden must be at least 1, not {hidden}")
        self.hidden, self.place = hidden, place

    def prepare(self, network: Network) -> None:
        """Adds the bottlenecks, before the residual sum."""
        for block in network.blocks():
            names = ("attn", "mlp") if self.place == "both" else ("mlp",)
            for name in names:
                _after(block, name, Bottleneck(width_of(block), self.hidden, 1.0, nn.GELU))


def _beside(block: nn.Module, adapter: Bottleneck) -> None:
    adapter.to(next(block.parameters()).device)
    block.add_module("adapter", adapter)
    block.mlp.register_forward_hook(lambda _, inputs, output: output + adapter(inputs[0]))


def _after(block: nn.Module, name: str, adapter: Bottleneck) -> None:
    adapter.to(next(block.parameters()).device)
    block.add_module(f"adapter_{name}", adapter)

    def add(_: nn.Module, __: object, output: object) -> object:
        if isinstance(output, tuple):  # nn.MultiheadAttention gives weights beside the values
            return (output[0] + adapter(output[0]), *output[1:])
        return output + adapter(output)

    getattr(block, name).register_forward_hook(add)
