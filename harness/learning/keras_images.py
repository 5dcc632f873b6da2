"""Random affine maps, channel shifts and flips of a batch of images, as Keras' ImageDataGenerator makes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F

from harness.errors import OptionError, did_you_mean

_ROTATION, _HEIGHT, _WIDTH, _SHEAR, _ZOOM_0, _ZOOM_1, _CHANNELS, _HORIZONTAL, _VERTICAL = range(9)


@dataclass(frozen=True)
class KerasImages:
    """Ranges of random changes with the meaning that they have in Keras' ImageDataGenerator.

    One affine map (rotation, then shift, shear and zoom) is drawn for each image and applied with bilinear
    interpolation; edges are replicated. Then the channels are shifted, and then the image is flipped, each
    direction with probability ½. Each draw has a number of its own, so that switching one change on leaves the
    draws of the others as they are.

    Some of this is not what the names say:

    - a zoom z above 1 *shrinks* the image, and both axes are drawn on their own;
    - `shear` by an angle a maps (x, y) to (x − y·sin a, y·cos a), which also scales y;
    - `channel_shift` adds the same number to all channels, clipped to the range of the image's own values;
    - maps are of coordinates (row, column) in Keras' early versions. Later ones exchange the two, so that
      `width_shift` moves images vertically and `height_shift` horizontally (keras issue 17398), and the centre
      of an image that is not square is misplaced; `axes="swapped"` does so, too.

    Angles are in degrees, and shifts are shares of the image's side. (The first versions took shears in radians,
    read the nearest pixel, turned about a point one pixel off the centre, and shifted each channel by a number of
    its own; that is not reproduced.) Raises OptionError for an invalid value.
    """

    rotation: float = 0.0
    """Degrees to either side at most."""
    width_shift: float = 0.0
    height_shift: float = 0.0
    """Shares of width and height to either side at most, below 1."""
    shear: float = 0.0
    """Degrees to either side at most."""
    zoom: float | tuple[float, float] = 0.0
    """The lowest and highest zoom, or z for 1 − z to 1 + z."""
    channel_shift: float = 0.0
    """The largest shift to either side, in the unit of the images: for images in [0, 1], Keras' over 255."""
    horizontal_flip: bool = False
    vertical_flip: bool = False
    axes: Literal["named", "swapped"] = "named"

    numbers: ClassVar[int] = 9

    def __post_init__(self) -> None:
        for name in ("rotation", "width_shift", "height_shift", "shear", "channel_shift"):
            if not (value := getattr(self, name)) >= 0:
                raise OptionError(f"augmentation 'keras': {name} must be at least 0, not {value}")
        for name in ("width_shift", "height_shift"):
            if not (value := getattr(self, name)) < 1:
                raise OptionError(
                    f"augmentation 'keras': {name} is a share of the side, below 1, not {value}"
                )
        if len(self._zooms()) != 2 or not 0 < self._zooms()[0] <= self._zooms()[1]:
            raise OptionError(
                f"augmentation 'keras': zoom must be below 1, or two positive numbers that ascend, not {self.zoom}"
            )
        if self.axes not in (known := ("named", "swapped")):
            hint = did_you_mean(str(self.axes), known)
            raise OptionError(f"augmentation 'keras': axes can't be '{self.axes}'{hint}")

    def _zooms(self) -> tuple[float, ...]:
        return tuple(self.zoom) if isinstance(self.zoom, list | tuple) else (1 - self.zoom, 1 + self.zoom)

    def __call__(self, images: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
        """Return images B×C×H×W of any range, changed by uniforms B×9 (float64, on the CPU)."""
        if any((self.rotation, self.width_shift, self.height_shift, self.shear)) or self._zooms() != (1, 1):
            images = warp_images(images, self.maps(uniforms, images.shape[2], images.shape[3]))
        if self.channel_shift:
            shifts = _between(uniforms[:, _CHANNELS], self.channel_shift)
            lowest, highest = images.amin((1, 2, 3), keepdim=True), images.amax((1, 2, 3), keepdim=True)
            images = images + shifts.to(images.dtype).to(images.device)[:, None, None, None]
            images = torch.minimum(torch.maximum(images, lowest), highest)
        if self.horizontal_flip:
            images = flip_chosen(images, uniforms[:, _HORIZONTAL] < 0.5, 3)
        if self.vertical_flip:
            images = flip_chosen(images, uniforms[:, _VERTICAL] < 0.5, 2)
        return images

    def maps(self, uniforms: torch.Tensor, height: int, width: int) -> torch.Tensor:
        """Return the affine maps B×2×3 from (row, column, 1) of the output to (row, column) of the input.

        x' = c + R·(t + S·Z·(x − c)), with rotation R, shift t, shear S, zoom Z and the image's centre c.
        """
        angle = _between(uniforms[:, _ROTATION], self.rotation).deg2rad()
        shear = _between(uniforms[:, _SHEAR], self.shear).deg2rad()
        low, high = self._zooms()
        zoom = low + (high - low) * uniforms[:, [_ZOOM_0, _ZOOM_1]]
        shift = torch.stack(
            [
                _between(uniforms[:, _HEIGHT], self.height_shift) * height,
                _between(uniforms[:, _WIDTH], self.width_shift) * width,
            ],
            1,
        )
        zero, one = torch.zeros_like(angle), torch.ones_like(angle)
        rotation = _stack_matrices([angle.cos(), -angle.sin()], [angle.sin(), angle.cos()])
        sheared = _stack_matrices([one, -shear.sin()], [zero, shear.cos()])
        linear = rotation @ sheared * zoom[:, None, :]
        centre = torch.tensor([(height - 1) / 2, (width - 1) / 2], dtype=torch.float64)
        offset = centre + (rotation @ shift[:, :, None])[:, :, 0] - linear @ centre
        if self.axes == "swapped":  # also of the centre, as in Keras
            linear, offset = linear.flip(1, 2), offset.flip(1)
        return torch.cat([linear, offset[:, :, None]], 2)


def warp_images(images: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
    """Return images B×C×H×W, bilinearly read at the places that the maps B×2×3 (see `maps`) send each pixel to.

    Beyond the edges, the nearest pixel counts. It differs by rounding alone from `affine_transform` of
    scipy.ndimage with order 1 and mode "nearest".
    """
    height, width = images.shape[2:]
    # grid_sample takes (x, y), in units of half the side from the centre: pixel i is at (2i + 1)/n − 1
    sides = torch.tensor([width, height], dtype=torch.float64)[:, None]
    scaled = 2 * maps.flip(1) / sides
    scaled[:, :, 2:] += 1 / sides - 1
    scaled = scaled.to(images.dtype).to(images.device)[:, None, None]
    rows = torch.arange(height, dtype=images.dtype, device=images.device)[:, None, None]
    columns = torch.arange(width, dtype=images.dtype, device=images.device)[None, :, None]
    # element by element: a product of matrices may round differently in a batch of another size
    grid = scaled[..., 0] * rows + scaled[..., 1] * columns + scaled[..., 2]
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def flip_chosen(images: torch.Tensor, chosen: torch.Tensor, dim: int) -> torch.Tensor:
    """Return images B×C×H×W, those with a true in `chosen` (B, on the CPU) flipped along a dimension."""
    return torch.where(chosen.to(images.device)[:, None, None, None], images.flip(dim), images)


def _between(uniforms: torch.Tensor, bound: float) -> torch.Tensor:
    return (2 * uniforms - 1) * bound


def _stack_matrices(*rows: list[torch.Tensor]) -> torch.Tensor:
    return torch.stack([torch.stack(row, 1) for row in rows], 1)
