"""Where real samples come from: points drawn for ever, or the images of a split held in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from PIL import Image

from harness.contract import Dataset, Split
from harness.errors import DataError
from harness.images import decode
from harness_gan.stacked_data import StackedSplit

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Source(Protocol):
    """Real samples: `shape` of one, `draw` a batch, `held` the first n of a fixed set."""

    shape: tuple[int, ...]

    def draw(self, n: int, generator: torch.Generator) -> torch.Tensor: ...

    def held(self, n: int) -> torch.Tensor: ...


class Points:
    """Points of a split that draws new ones for ever."""

    def __init__(self, split: Any) -> None:
        self.split = split
        self.shape = (int(split.points.shape[1]),)

    def draw(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """n new points."""
        return self.split.draw(n, generator)

    def held(self, n: int) -> torch.Tensor:
        """The first n points of the fixed set."""
        return self.split.points[:n]


class Images:
    """Images N×C×H×W, kept as bytes and given in [−1, 1]."""

    def __init__(self, images: NDArray[np.uint8]) -> None:
        self.images = torch.from_numpy(images)
        self.shape = tuple(int(n) for n in images.shape[1:])

    def draw(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """n images drawn with replacement."""
        rows = torch.randint(len(self.images), (n,), generator=generator)
        return to_floats(self.images[rows])

    def held(self, n: int) -> torch.Tensor:
        """The first n images."""
        return to_floats(self.images[:n])


def to_floats(images: torch.Tensor) -> torch.Tensor:
    """Bytes as floats in [−1, 1]."""
    return images.float() / 127.5 - 1


def to_bytes(images: torch.Tensor) -> torch.Tensor:
    """Floats in [−1, 1] as bytes, rounded."""
    return ((images.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def as_array(split: Split, size: int | None, grey: bool, where: str) -> NDArray[np.uint8]:
    """All images of a split, N×C×H×W: the shorter side resized to `size`, the centre cropped.

    Raises DataError for a sample without an image, and for sizes that differ when none is given.
    """
    if isinstance(split, StackedSplit):
        base = as_array(split.base, size, True, where)[:, 0]
        return base[split.rows]
    out = []
    for n in range(len(split)):
        sample = split[n]
        if sample.image is None:
            raise DataError(f"{where}: sample {sample.id} has no image")
        image = decode(sample.image).convert("L" if grey else "RGB")
        if size is not None and image.size != (size, size):
            image = fitted(image, size)
        array = np.asarray(image)
        if out and array.shape != out[0].shape:
            raise DataError(
                f"{where}: sample {sample.id} is {array.shape[1]}×{array.shape[0]}, the first is "
                f"{out[0].shape[1]}×{out[0].shape[0]}: give the protocol a size"
            )
        out.append(array)
    if not out:
        raise DataError(f"{where}: no images")
    whole = np.stack(out)
    return np.ascontiguousarray(whole[:, None] if whole.ndim == 3 else whole.transpose(0, 3, 1, 2))


def fitted(image: Image.Image, size: int, how: Image.Resampling | None = None) -> Image.Image:
    """The shorter side to `size`, the centre cropped; by area averaging, or bicubic when enlarging."""
    width, height = image.size
    scale = size / min(width, height)
    if how is None:
        how = Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC
    image = image.resize((max(size, round(width * scale)), max(size, round(height * scale))), how)
    left, top = (image.width - size) // 2, (image.height - size) // 2
    return image.crop((left, top, left + size, top + size))


def source_of(split: Any, size: int | None, grey: bool, where: str) -> Points | Images:
    """The source that suits a split."""
    if hasattr(split, "draw") and hasattr(split, "points"):
        return Points(split)
    return Images(as_array(split, size, grey, where))


def chosen_split(dataset: Dataset, wanted: str, others: Sequence[str]) -> str:
    """`wanted` where the data set has it, else the first of `others` it has, else its first split."""
    return next((s for s in (wanted, *others) if s in dataset.splits), dataset.splits[0])
