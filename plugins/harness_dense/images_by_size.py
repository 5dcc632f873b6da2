"""Decoded images, and what a model says of them in groups of one size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch
    from PIL import Image

T = TypeVar("T")


def decode_only(image: Image.Image) -> torch.Tensor:
    """Return an image as a float tensor 3×H×W in [0, 1], RGB, of its own size."""
    import numpy as np
    import torch

    pixels = np.array(image if image.mode == "RGB" else image.convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous().float() / 255


def compute_by_size(
    images: Sequence[torch.Tensor], compute: Callable[[list[torch.Tensor]], Sequence[T]]
) -> list[T]:
    """Return what `compute` says of each image, called once for the images of each size: others would pad them differently."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for number, image in enumerate(images):
        groups.setdefault(tuple(image.shape), []).append(number)
    found: dict[int, T] = {}
    for numbers in groups.values():
        found.update(zip(numbers, compute([images[n] for n in numbers]), strict=True))
    return [found[number] for number in range(len(images))]
