"""Pooling layers: maximum, average, L_p norm, softmax-weighted, and none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import OptionError
from harness_networks.layers.contracts import Pooling

if TYPE_CHECKING:
    from torch import nn

    from harness_networks.contracts import Shape


class MaxPool(Pooling):
    """The maximum of each window."""

    def build(self, shape: Shape) -> nn.Module:
        """Build torch's maximum pooling."""
        from torch import nn

        return nn.MaxPool2d(self.size, self.stride)


class AveragePool(Pooling):
    """The average of each window."""

    def build(self, shape: Shape) -> nn.Module:
        """Build torch's average pooling."""
        from torch import nn

        return nn.AvgPool2d(self.size, self.stride)


class LpPool(Pooling):
    """The power mean (mean of |x|^p)^(1/p) of each window: the average of |x| for p = 1, the maximum for p → ∞.

    Args:
        p: the exponent, at least 1.
        size: side of the windows.
        stride: distance between windows; by default their side.
    """

    def __init__(self, p: float = 2.0, size: int = 2, stride: int | None = None) -> None:
        super().__init__(size, stride)
        if not 1 <= p < float("inf"):
            raise OptionError(
                f"lp-pool: p must be a finite number of at least 1, found {p} (p → ∞ is max-pool)"
            )
        self.p = p

    def build(self, shape: Shape) -> nn.Module:
        """Build the power mean of absolute values."""
        from harness_networks.layers.pooling_modules import PowerMeanPool2d

        return PowerMeanPool2d(self.p, self.size, self.stride)


class SoftmaxPool(Pooling):
    """The average of each window weighted by exp(βx): the average for β = 0, the maximum for β → ∞.

    Args:
        beta: the inverse temperature β; negative ones tend to the minimum.
        size: side of the windows.
        stride: distance between windows; by default their side.
    """

    def __init__(self, beta: float = 1.0, size: int = 2, stride: int | None = None) -> None:
        super().__init__(size, stride)
        if not abs(beta) < float("inf"):
            raise OptionError(f"softmax-pool: beta must be finite, found {beta} (β → ∞ is max-pool)")
        self.beta = beta

    def build(self, shape: Shape) -> nn.Module:
        """Build the softmax-weighted average."""
        from harness_networks.layers.pooling_modules import SoftmaxPool2d

        return SoftmaxPool2d(self.beta, self.size, self.stride)


class NoPool(Pooling):
    """No pooling: maps stay as they are, for networks that stride instead or keep all positions."""

    def __init__(self) -> None:
        super().__init__(size=1)

    def build(self, shape: Shape) -> nn.Module:
        """Build the identity."""
        from torch import nn

        return nn.Identity()
