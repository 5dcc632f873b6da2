"""Normalisation layers: over the batch, groups of channels, the whole image, or neighbourhoods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import OptionError
from harness_networks.layers.contracts import Normalisation
from harness_networks.option_checks import require_at_least

if TYPE_CHECKING:
    from torch import nn

    from harness_networks.contracts import Shape


class BatchNormalisation(Normalisation):
    """Each channel over the batch, with learned scale and shift (Ioffe & Szegedy 2015)."""

    def build(self, shape: Shape) -> nn.Module:
        """Build torch's batch normalisation."""
        from torch import nn

        return nn.BatchNorm2d(shape[0])


class GroupNormalisation(Normalisation):
    """Groups of channels of each image, with learned scale and shift (Wu & He 2018).

    Args:
        groups: number of groups; 1 normalises all channels together.
    """

    def __init__(self, groups: int = 1) -> None:
        require_at_least("group-norm", 1, groups=groups)
        self.groups = groups

    def fits(self, shape: Shape) -> str | None:
        """Return why the channels can't be divided into the groups, or None."""
        if shape[0] % self.groups:
            return f"{shape[0]} channels can't be normalised in {self.groups} groups"
        return None

    def build(self, shape: Shape) -> nn.Module:
        """Build torch's group normalisation."""
        from torch import nn

        return nn.GroupNorm(self.groups, shape[0])


class GlobalContrast(Normalisation):
    """Global contrast normalisation (x − μ)/max(σ, ε) of each image, over channels and positions.

    It does not change with brightness and contrast: ax + b has the same output for a > 0 while aσ > ε. A
    constant image becomes 0.

    Args:
        epsilon: ε, the least standard deviation to divide by.
    """

    def __init__(self, epsilon: float = 1e-4) -> None:
        _require_positive("global-contrast", epsilon)
        self.epsilon = epsilon

    def build(self, shape: Shape) -> nn.Module:
        """Build the module, which has no parameters."""
        from harness_networks.layers.contrast_modules import GlobalContrast2d

        return GlobalContrast2d(self.epsilon)


class LocalContrast(Normalisation):
    """Local contrast normalisation (Jarrett et al. 2009), after the activation.

    A Gaussian average of the neighbourhood over all channels is subtracted, v = x − G*x, and the rest
    divided by max(c, σ), where σ = √(G*v²) at each position and c is the image's mean of σ. Neighbours
    beyond the border have no weight.

    Args:
        size: side of the neighbourhood, an odd number.
        deviation: standard deviation of the Gaussian in pixels, by default a quarter of the side.
        epsilon: the least number to divide by.
    """

    after_activation = True

    def __init__(self, size: int = 9, deviation: float | None = None, epsilon: float = 1e-4) -> None:
        require_at_least("local-contrast", 3, size=size)
        if size % 2 == 0:
            raise OptionError(f"local-contrast: size must be odd, found {size}")
        _require_positive("local-contrast", epsilon)
        if deviation is not None and not 0 < deviation < float("inf"):
            raise OptionError(f"local-contrast: deviation must be above 0, found {deviation}")
        self.size, self.epsilon = size, epsilon
        self.deviation = size / 4 if deviation is None else deviation

    def build(self, shape: Shape) -> nn.Module:
        """Build the module, which has no parameters."""
        from harness_networks.layers.contrast_modules import LocalContrast2d

        return LocalContrast2d(shape, self.size, self.deviation, self.epsilon)


def _require_positive(where: str, epsilon: float) -> None:
    if not 0 < epsilon < float("inf"):
        raise OptionError(f"{where}: epsilon must be above 0, found {epsilon}")
