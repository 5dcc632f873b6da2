"""The contract of layers: a class per role for third parties to subclass, and the window of a convolution.

Layers are plugins of the group `harness.methods`; the model `small-cnn` takes one of each role as an
option: `pooling = "average-pool"`, or `{plugin = "lp-pool", p = 3}`. The object of a layer is light and
states sizes by arithmetic, so that `fits` needs no network; `build` makes the module. Modules should
work under `torch.func.vmap` over stacked parameters, since many seeds may train at once: no decision in
Python about values of tensors, no change in place of a buffer without the axis of seeds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, get_args

from harness import OptionError
from harness.errors import did_you_mean
from harness_networks.option_checks import require_at_least

if TYPE_CHECKING:
    from torch import nn

    from harness_networks.contracts import Shape

Size = tuple[int, int]
"""Height and width of maps."""
Padding = Literal["valid", "same", "same-keras", "circular"]


@dataclass(frozen=True)
class Window:
    """Where a convolution looks: kernel (its side), stride, padding and dilation, alike in both directions.

    With "valid" there is no padding and the output is ⌊(n − e)/s⌋ + 1, where e = d(k − 1) + 1 is the
    extent of the dilated kernel. The others give ⌈n/s⌉: "same" pads e − 1 zeros, as torch does where the
    stride is 1 (half before, the odd one after), whatever the stride; "same-keras" pads as few as the
    output needs, again half before and the odd one after, so that with even n, s = 2 and k = 3 all are
    at the end; "circular" pads like "same", with what is at the other border.
    """

    kernel: int
    stride: int = 1
    padding: Padding = "same"
    dilation: int = 1

    def __post_init__(self) -> None:
        require_at_least("a convolution", 1, kernel=self.kernel, stride=self.stride, dilation=self.dilation)
        if self.padding not in get_args(Padding):
            hint = did_you_mean(str(self.padding), get_args(Padding))
            raise OptionError(f"a convolution: padding can't be {self.padding!r}{hint}")

    @property
    def extent(self) -> int:
        """The side of the square that the dilated kernel covers."""
        return self.dilation * (self.kernel - 1) + 1

    def find_pads(self, length: int) -> tuple[int, int]:
        """Return how much is padded before and after a map's side of `length` pixels."""
        if self.padding == "valid":
            return 0, 0
        total = self.extent - 1
        if self.padding == "same-keras":
            total = max((-(-length // self.stride) - 1) * self.stride + self.extent - length, 0)
        return total // 2, total - total // 2

    def output_size(self, size: Size) -> Size:
        """Return height and width of the output for maps of `size`; not positive if the kernel does not fit."""
        height, width = ((n + sum(self.find_pads(n)) - self.extent) // self.stride + 1 for n in size)
        return height, width

    def explain_misfit(self, size: Size) -> str | None:
        """Return why maps of `size` (height, width) can't be convolved, or None."""
        dilated = f" (side {self.extent} with dilation {self.dilation})" if self.dilation > 1 else ""
        if self.padding == "valid" and self.extent > min(size):
            return f"a kernel of side {self.kernel}{dilated} is larger than its {size[0]}×{size[1]} map"
        if self.padding == "circular" and max(self.find_pads(min(size))) > min(size):
            return f"circular padding for a kernel of side {self.kernel}{dilated} wraps a {size[0]}×{size[1]} map more than once"
        return None


class Layer:
    """Base class of all roles; subclass `Pooling`, `Convolution` or `Normalisation`."""

    plugin_kind = "methods"


class Pooling(Layer):
    """A layer that summarises windows of each map.

    Args:
        size: side of the windows.
        stride: distance between windows; by default their side, so that they don't overlap.
    """

    def __init__(self, size: int = 2, stride: int | None = None) -> None:
        require_at_least("a pooling layer", 1, size=size, **({} if stride is None else {"stride": stride}))
        self.size, self.stride = size, size if stride is None else stride

    def output_size(self, size: Size) -> Size:
        """Return height and width of the output for maps of `size`; windows that don't fit are left out."""
        return (size[0] - self.size) // self.stride + 1, (size[1] - self.size) // self.stride + 1

    def fits(self, size: Size) -> str | None:
        """Return why maps of `size` can't be pooled, or None."""
        if self.size > min(size):
            return f"a pooling window of side {self.size} is larger than its {size[0]}×{size[1]} map"
        return None

    def build(self, shape: Shape) -> nn.Module:
        """Build the module from B×C×H×W to B×C×H'×W', where `shape` is C, H, W and H', W' the output size."""
        raise NotImplementedError


class Convolution(Layer):
    """A layer of kernels; `shares_kernels` tells whether every position has the same."""

    shares_kernels: ClassVar[bool] = True

    def fits(self, shape: Shape, channels: int, window: Window) -> str | None:
        """Return why maps of `shape` can't be given `channels` outputs, or None; the window fits already."""
        return None

    def build(self, shape: Shape, channels: int, window: Window) -> nn.Module:
        """Build the module from B×C×H×W, where `shape` is C, H, W, to B×channels×H'×W' (`window.output_size`)."""
        raise NotImplementedError


class Normalisation(Layer):
    """A layer that keeps the shape; `after_activation` tells whether it stands after the activation or before."""

    after_activation: ClassVar[bool] = False

    def fits(self, shape: Shape) -> str | None:
        """Return why maps of `shape` (C, H, W) can't be normalised, or None."""
        return None

    def build(self, shape: Shape) -> nn.Module:
        """Build the module from B×C×H×W to the same shape, where `shape` is C, H, W."""
        raise NotImplementedError
