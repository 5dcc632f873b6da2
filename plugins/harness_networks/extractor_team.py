"""The extractor team: a residual classifier of small images whose maps never change in size or number."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from harness import OptionError
from harness_networks.contracts import NetworkFamily, Shape
from harness_networks.option_checks import ActivationName, require_at_least, require_share

if TYPE_CHECKING:
    from torch import nn

CHANNELS = 16
"""Channels of the maps at width 1."""


class ExtractorTeamFamily(NetworkFamily):
    """A stem, modules of residual blocks with kernels 1×1 and 3×3, and a small fully connected head.

    The stem's convolution makes 16·width maps, which keep their number and (with a pool stride of 1)
    the image's size to the end, so that no shortcut needs a projection. Each of `depth` modules has one
    block per kernel size: three convolutions of that size whose result is added to the block's input.
    Global average pooling, a hidden layer and the linear output follow. For images of 3 channels and
    w = 16·width, the defaults have 28w + depth·(30w² + 6w) + hidden·(w + 1) + classes·(hidden + 1)
    parameters: 142,856 for 200 classes. At each convolution, the order is convolution, batch
    normalisation if any, activation.

    Args:
        width: multiple of 16 maps, such as 0.5, 1 or 2; the defaults are the plain network.
        depth: number of modules.
        kernels: kernel sizes of a module's blocks, in order; [1, 3, 5] alternates three.
        design: "residual", or "branches": each module is one block whose input goes through a
            convolution 1×1, through one 3×3 and unchanged; a convolution 1×1 reduces all three, side by
            side, to w maps. It takes neither `kernels` nor `activate_sum`.
        stem_kernel: kernel size of the stem's convolution (odd).
        pool: size of the max-pooling after it, padded to keep the size at stride 1; 1 leaves it out.
        pool_stride: stride of that pooling.
        hidden: width of the hidden layer before the output.
        activation: activation of every layer but the output.
        activate_sum: activate a block's sum instead of its last convolution, as in He et al. (2016); by
            default every convolution is activated and the sum is not.
        padding: what convolutions see beyond the edges of maps: zeros, or the maps' own values.
        batch_norm: normalise each convolution's output over the batch, with scale and offset.
        dropout: share of the hidden layer's outputs that training leaves out.
        block_dropout: share of maps' values left out before the last convolution of each block.
        initialiser: first weights by Keras' default (Glorot uniform, biases 0) or by torch's.
    """

    smallest: ClassVar = {"width": 0.25, "depth": 1, "hidden": 8}

    def __init__(
        self,
        width: float = 1.0,
        depth: int = 4,
        kernels: list[int] = [1, 3],  # noqa: B006 - never changed
        design: Literal["residual", "branches"] = "residual",
        stem_kernel: int = 3,
        pool: int = 2,
        pool_stride: int = 1,
        hidden: int = 512,
        activation: ActivationName = "relu",
        activate_sum: bool = False,
        padding: Literal["zeros", "circular", "reflect", "replicate"] = "zeros",
        batch_norm: bool = False,
        dropout: float = 0.0,
        block_dropout: float = 0.0,
        initialiser: Literal["glorot-uniform", "torch"] = "glorot-uniform",
    ) -> None:
        where = "extractor-team"
        require_at_least(where, 1, depth=depth, pool=pool, pool_stride=pool_stride, hidden=hidden)
        require_share(where, dropout=dropout, block_dropout=block_dropout)
        for name, sizes in (("stem_kernel", [stem_kernel]), ("kernels", kernels)):
            if not sizes or any(size < 1 or size % 2 == 0 for size in sizes):
                raise OptionError(f"{where}: {name} must be odd and at least 1, found {sizes}")
        if width <= 0 or width * CHANNELS != int(width * CHANNELS):
            raise OptionError(f"{where}: width must be a multiple of 1/{CHANNELS} above 0, found {width!r}")
        if pool_stride > pool:
            raise OptionError(f"{where}: pool_stride={pool_stride} would skip pixels: pool is {pool}")
        if design == "branches" and (list(kernels) != [1, 3] or activate_sum):
            raise OptionError(f"{where}: design=branches takes neither kernels nor activate_sum")
        self.maps = int(width * CHANNELS)
        self.depth, self.kernels, self.design = depth, tuple(kernels), design
        self.stem_kernel, self.pool, self.pool_stride = stem_kernel, pool, pool_stride
        self.hidden, self.activation, self.activate_sum = hidden, activation, activate_sum
        self.padding, self.batch_norm, self.initialiser = padding, batch_norm, initialiser
        self.dropout, self.block_dropout = dropout, block_dropout

    def fits(self, shape: Shape, classes: int) -> str | None:
        """Return why not, for images too small for their own pixels to pad them."""
        if self.padding in ("zeros", "replicate"):
            return None
        from math import ceil

        used = max(self.kernels) if self.design == "residual" else 3
        stem, later = min(shape[1:]), ceil(min(shape[1:]) / self.pool_stride)
        wide = 0 if self.padding == "circular" else 1
        if stem >= self.stem_kernel // 2 + wide and later >= used // 2 + wide:
            return None
        return f"extractor-team: images {shape[1]}×{shape[2]} are too small for padding={self.padding}"

    def build(self, shape: Shape, classes: int) -> nn.Module:
        """Build the network for images C×H×W, grey or in colour."""
        from collections import OrderedDict

        from torch import nn

        from harness_networks.network_parts import SameMaxPool, build_activation, initialise_as_keras

        stem = nn.Sequential(
            *self._convolve(shape[0], self.maps, self.stem_kernel), SameMaxPool(self.pool, self.pool_stride)
        )
        if self.design == "branches":
            blocks = [self._branch() for _ in range(self.depth)]
        else:
            blocks = [self._add(kernel) for _ in range(self.depth) for kernel in self.kernels]
        head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(self.maps, self.hidden),
            build_activation(self.activation),
            nn.Dropout(self.dropout) if self.dropout else nn.Identity(),
            nn.Linear(self.hidden, classes),
        )
        network = nn.Sequential(OrderedDict(stem=stem, blocks=nn.Sequential(*blocks), head=head))
        if self.initialiser == "glorot-uniform":
            initialise_as_keras(network)
        return network

    def _convolve(self, inputs: int, outputs: int, kernel: int, activated: bool = True) -> list[nn.Module]:
        from torch import nn

        from harness_networks.network_parts import build_activation

        layers: list[nn.Module] = [
            nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, padding_mode=self.padding)
        ]
        if self.batch_norm:
            layers.append(nn.BatchNorm2d(outputs))
        return [*layers, build_activation(self.activation)] if activated else layers

    def _drop(self) -> list[nn.Module]:
        from torch import nn

        return [nn.Dropout(self.block_dropout)] if self.block_dropout else []

    def _add(self, kernel: int) -> nn.Module:
        """Build a residual block of three convolutions."""
        from torch import nn

        from harness_networks.network_parts import ResidualSum, build_activation

        first, second = (self._convolve(self.maps, self.maps, kernel) for _ in range(2))
        last = self._convolve(self.maps, self.maps, kernel, activated=not self.activate_sum)
        body = nn.Sequential(*first, *second, *self._drop(), *last)
        return ResidualSum(body, build_activation(self.activation) if self.activate_sum else None)

    def _branch(self) -> nn.Module:
        """Build a block of three branches, which a convolution 1×1 joins."""
        from torch import nn

        from harness_networks.network_parts import ConcatenatedBranches

        point, area = (nn.Sequential(*self._convolve(self.maps, self.maps, size)) for size in (1, 3))
        branches = ConcatenatedBranches([point, area, nn.Identity()])
        return nn.Sequential(branches, *self._drop(), *self._convolve(3 * self.maps, self.maps, 1))

    def stages(self, network: nn.Module) -> list[nn.Module]:
        """Return the stem with its pooling, then each block."""
        return [network.get_submodule("stem"), *network.get_submodule("blocks").children()]
