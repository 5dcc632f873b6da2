"""Ways from the coarse maps of the small encoder to a class for each pixel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from harness_segmenters.small_encoder import Encoded, build_stage
from harness_segmenters.unpooling import unpool


def make_bilinear_kernel(channels: int) -> Tensor:
    """Return the kernel channels×channels×4×4 of a transposed convolution with stride 2 that interpolates bilinearly."""
    line = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
    kernel = torch.zeros(channels, channels, 4, 4)
    kernel[range(channels), range(channels)] = line[:, None] * line
    return kernel


def build_doubling(channels: int) -> nn.ConvTranspose2d:
    """Return a transposed convolution that doubles the size, at first by bilinear interpolation."""
    layer = nn.ConvTranspose2d(channels, channels, 4, stride=2, padding=1, bias=False)
    with torch.no_grad():
        layer.weight.copy_(make_bilinear_kernel(channels))
    return layer


class ScoreSum(nn.Module):
    """Class scores of the coarsest maps, added from coarse to fine (FCN; Long et al. 2015).

    `count` = 1 is FCN-32s, 3 is FCN-8s on an encoder with five poolings: the sum has the third coarsest map's size.
    """

    def __init__(self, widths: Sequence[int], classes: int, count: int) -> None:
        super().__init__()
        self.scores = nn.ModuleList(nn.Conv2d(width, classes, 1) for width in widths[::-1][:count])
        self.doublings = nn.ModuleList(build_doubling(classes) for _ in range(count - 1))

    def forward(self, encoded: Encoded) -> Tensor:
        """Return scores N×C×h×w."""
        maps = encoded.maps[::-1]
        total: Tensor = self.scores[0](maps[0])
        for doubling, score, finer in zip(self.doublings, self.scores[1:], maps[1:], strict=False):
            total = doubling(total, output_size=list(finer.shape[-2:])) + score(finer)
        return total


class SkipDecoder(nn.Module):
    """Doubled maps beside the encoder's own, stage by stage (U-Net; Ronneberger et al. 2015)."""

    def __init__(self, widths: Sequence[int], convolutions: Sequence[int], norm: bool, classes: int) -> None:
        super().__init__()
        coarse_to_fine = list(zip(widths[1:], widths[:-1], convolutions[:-1], strict=True))[::-1]
        self.doublings = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, stride=2) for a, b, _ in coarse_to_fine)
        self.norms = nn.ModuleList(nn.BatchNorm2d(b) if norm else nn.Identity() for _, b, _ in coarse_to_fine)
        self.stages = nn.ModuleList(build_stage(2 * b, b, n, norm) for _, b, n in coarse_to_fine)
        self.score = nn.Conv2d(widths[0], classes, 1)

    def forward(self, encoded: Encoded) -> Tensor:
        """Return scores N×C×H×W."""
        *finer, x = encoded.maps
        ways = zip(self.doublings, self.norms, self.stages, finer[::-1], strict=True)
        for doubling, norm, stage, skip in ways:
            x = stage(torch.cat([skip, norm(doubling(x, output_size=list(skip.shape[-2:])))], dim=1))
        score: Tensor = self.score(x)
        return score


class UnpoolingDecoder(nn.Module):
    """Maps put back where the maxima were, and convolved, stage by stage.

    With convolutions this is SegNet (Badrinarayanan et al. 2017), whose last one gives the classes; with `transposed`
    ones and a 1×1 bottleneck DeconvNet (Noh et al. 2015), whose own bottleneck fits one size of images alone.
    """

    def __init__(
        self, widths: Sequence[int], convolutions: Sequence[int], norm: bool, classes: int, transposed: bool
    ) -> None:
        super().__init__()
        wide = widths[-1]
        bottom: list[nn.Module] = []
        for _ in range(2 if transposed else 0):
            bottom += [nn.Conv2d(wide, wide, 1), *([nn.BatchNorm2d(wide)] if norm else []), nn.ReLU()]
        self.bottom = nn.Sequential(*bottom)
        self.narrow = nn.Conv2d(wide, widths[-2], 1) if wide != widths[-2] else nn.Identity()
        outputs = [classes if transposed is False else widths[0], *widths[:-2]]
        stages = [
            self._build_stage(a, b, n, norm, transposed, last=place == 0 and not transposed)
            for place, (a, b, n) in enumerate(zip(widths[:-1], outputs, convolutions[:-1], strict=True))
        ]
        self.stages = nn.ModuleList(stages[::-1])
        self.score = nn.Conv2d(widths[0], classes, 1) if transposed else nn.Identity()

    @staticmethod
    def _build_stage(
        inputs: int, outputs: int, count: int, norm: bool, transposed: bool, last: bool
    ) -> nn.Module:
        kind: Any = nn.ConvTranspose2d if transposed else nn.Conv2d
        layers: list[nn.Module] = []
        for n in range(count):
            width = outputs if n == count - 1 else inputs
            layers.append(kind(inputs, width, 3, padding=1))
            if not (last and n == count - 1):
                layers += [*([nn.BatchNorm2d(width)] if norm else []), nn.ReLU()]
        return nn.Sequential(*layers)

    def forward(self, encoded: Encoded) -> Tensor:
        """Return scores N×C×H×W."""
        x = self.narrow(self.bottom(encoded.maps[-1]))
        for stage, switches, finer in zip(
            self.stages, encoded.switches[::-1], encoded.maps[-2::-1], strict=True
        ):
            x = stage(unpool(x, switches, finer.shape[-2:]))
        score: Tensor = self.score(x)
        return score
