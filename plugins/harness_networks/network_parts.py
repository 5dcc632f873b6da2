"""Modules that several families of networks are composed of, and their first weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil

import torch
from torch import nn
from torch.nn import functional

from harness_networks.option_checks import ActivationName

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "leaky-relu": nn.LeakyReLU,
    "silu": nn.SiLU,
}


def build_activation(name: ActivationName) -> nn.Module:
    """Return a new module of an activation by name."""
    return _ACTIVATIONS[name]()


class ResidualSum(nn.Module):
    """A body plus its own input, both of one shape, with an activation of the sum if there is one."""

    def __init__(self, body: nn.Module, activation: nn.Module | None = None) -> None:
        super().__init__()
        self.body = body
        self.activation = nn.Identity() if activation is None else activation

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return the activated sum."""
        summed: torch.Tensor = self.activation(self.body(maps) + maps)
        return summed


class ConcatenatedBranches(nn.Module):
    """Branches that see the same maps B×C×H×W; their outputs are concatenated along the channels."""

    def __init__(self, branches: Sequence[nn.Module]) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return the concatenated outputs."""
        return torch.cat([branch(maps) for branch in self.branches], dim=1)


class SameMaxPool(nn.Module):
    """Max-pooling of maps with side n to ⌈n/stride⌉, as with Keras' padding "same".

    An odd number of padded rows has the extra one at the end. Padding never wins the maximum.
    """

    def __init__(self, size: int, stride: int) -> None:
        super().__init__()
        self.size, self.stride = size, stride

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Return B×C×⌈H/stride⌉×⌈W/stride⌉."""
        if self.size == self.stride == 1:
            return maps
        height, width = (self._padding(side) for side in maps.shape[-2:])
        padded = functional.pad(maps, (*width, *height), value=-torch.inf)
        return functional.max_pool2d(padded, self.size, self.stride)

    def _padding(self, side: int) -> tuple[int, int]:
        total = max(0, (ceil(side / self.stride) - 1) * self.stride + self.size - side)
        return total // 2, total - total // 2

    def extra_repr(self) -> str:
        """Return size and stride, for the printed network."""
        return f"size={self.size}, stride={self.stride}"


def initialise_as_keras(network: nn.Module) -> None:
    """Draw weights of convolutions and linear layers from Glorot's uniform distribution; biases are 0.

    These are the defaults of Keras (Glorot & Bengio 2010); torch's own depend on the inputs alone.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)


def initialise_as_he(network: nn.Module) -> None:
    """Draw weights of convolutions from He et al.'s (2015) normal distribution by outputs; biases are 0."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        if isinstance(layer, nn.Conv2d | nn.Linear) and layer.bias is not None:
            nn.init.zeros_(layer.bias)
