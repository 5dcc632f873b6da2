"""The data set `gaussian-mixture`: points in the plane around known modes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from harness import DataError, OptionError
from harness.errors import did_you_mean

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from harness import Sample

HELD = 10_000
"""Number of points a split keeps in memory for metrics; training draws new ones without end."""


class GaussianMixture:
    """Equally likely isotropic Gaussians, on which mode collapse can be counted exactly.

    Args:
        layout: "ring" (modes on a circle), "grid" (a square lattice), or "random" (uniform in a
            square, the same for every run).
        modes: number of Gaussians; a grid needs a square number.
        sigma: standard deviation of each mode, before scaling.
        extent: the ring's radius, the grid's spacing, or half the random square's side.
        scale: divisor of every coordinate (WGAN-GP's code: 1.414 ring, 2.828 grid).
    """

    splits: Sequence[str] = ("train", "test")

    def __init__(
        self,
        layout: Literal["ring", "grid", "random"] = "ring",
        modes: int = 8,
        sigma: float = 0.02,
        extent: float = 2.0,
        scale: float = 1.0,
    ) -> None:
        if modes < 1 or sigma <= 0 or extent <= 0 or scale <= 0:
            raise OptionError("gaussian-mixture: modes, sigma, extent and scale must be positive")
        if layout == "grid" and round(modes**0.5) ** 2 != modes:
            raise OptionError(f"gaussian-mixture: a grid needs a square number of modes, found {modes}")
        self.layout, self.modes, self.extent = layout, modes, extent
        self.sigma, self.scale = sigma, scale

    def centres(self) -> NDArray[np.float32]:
        """Return the modes' scaled centres, K×2."""
        import numpy as np

        if self.layout == "ring":
            angle = 2 * np.pi * np.arange(self.modes) / self.modes
            centres = self.extent * np.stack([np.cos(angle), np.sin(angle)], 1)
        elif self.layout == "grid":
            side = round(self.modes**0.5)
            line = self.extent * (np.arange(side) - (side - 1) / 2)
            centres = np.stack(np.meshgrid(line, line, indexing="ij"), -1).reshape(-1, 2)
        else:
            from harness import derive_seed

            rng = np.random.default_rng(derive_seed("gaussian-mixture", self.modes))
            centres = rng.uniform(-self.extent, self.extent, (self.modes, 2))
        return (centres / self.scale).astype(np.float32)

    def load(self, split: str) -> MixtureSplit:
        """Return a split that holds some points and can draw more; raise DataError for unknown splits."""
        if split not in self.splits:
            raise DataError(f"gaussian-mixture has no split '{split}'{did_you_mean(split, self.splits)}")
        return MixtureSplit(self, split)


class MixtureSplit:
    """A split: `HELD` points, their modes, and `draw` for any number of new points."""

    def __init__(self, mixture: GaussianMixture, split: str) -> None:
        import torch

        from harness import derive_seed

        self.centres = torch.from_numpy(mixture.centres())
        self.sigma = mixture.sigma / mixture.scale
        seed = derive_seed("gaussian-mixture", mixture.layout, mixture.modes, split)
        self.points, modes = self._draw_with_modes(HELD, torch.Generator().manual_seed(seed))
        self.targets: NDArray[np.int64] = modes.numpy()
        self.ids: Sequence[str] = [f"{split}/{n}" for n in range(HELD)]

    def _draw_with_modes(self, n: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        modes = torch.randint(len(self.centres), (n,), generator=generator)
        return self.centres[modes] + self.sigma * torch.randn(n, 2, generator=generator), modes

    def draw(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """Return n new points, n×2."""
        return self._draw_with_modes(n, generator)[0]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        from harness import Sample

        return Sample(self.ids[index], label=int(self.targets[index]))
