"""Crops images of any size to squares."""

from __future__ import annotations

from PIL import Image


def crop_to_square(image: Image.Image, size: int, how: Image.Resampling | None = None) -> Image.Image:
    """Resize the shorter side to `size` and crop the centre square.

    Resize by area averaging, or bicubically when enlarging, unless `how` is given.
    """
    width, height = image.size
    scale = size / min(width, height)
    if how is None:
        how = Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC
    image = image.resize((max(size, round(width * scale)), max(size, round(height * scale))), how)
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return image.crop((left, top, left + size, top + size))
