"""Pictures of samples: a grid of images, or a scatter plot of points."""

from __future__ import annotations

from math import ceil, sqrt
from typing import TYPE_CHECKING

import numpy as np
import torch

from harness_gan.real_samples import samples_to_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 256
"""Side of a picture of points, in pixels."""


def draw_image_grid(samples: torch.Tensor) -> NDArray[np.uint8]:
    """Arrange images N×C×H×W in [−1, 1] row by row in one picture H'×W'×3, one pixel apart."""
    images = samples_to_bytes(torch.nan_to_num(samples)).permute(0, 2, 3, 1).numpy()
    n, height, width, channels = images.shape
    columns = ceil(sqrt(n))
    rows = ceil(n / columns)
    grid = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1, 3), 255, np.uint8)
    for k, image in enumerate(images):
        top, left = k // columns * (height + 1), k % columns * (width + 1)
        grid[top : top + height, left : left + width] = image if channels == 3 else image[..., :1]
    return grid


def draw_point_picture(samples: torch.Tensor, real: torch.Tensor) -> NDArray[np.uint8]:
    """Plot points N×2 in dark over the real ones in light, on 1.25 times the real ones' range."""
    grid = np.full((SIDE, SIDE, 3), 255, np.uint8)
    extent = float(real.abs().max()) * 1.25
    for points, colour in ((real, (190, 215, 240)), (samples, (170, 30, 30))):
        place = ((points.numpy() / extent + 1) / 2 * SIDE)[np.isfinite(points.numpy()).all(1)]
        inside = place[((place >= 0) & (place < SIDE)).all(1)].astype(int)
        grid[SIDE - 1 - inside[:, 1], inside[:, 0]] = colour
    return grid
