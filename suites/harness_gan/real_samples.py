"""Real samples: points drawn without end, or the images of a split held in memory."""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from harness import DataError, Sample, Split, derive_seed
from harness.inference.images import decode
from harness.learning.draws import plan_in_order
from harness.learning.pipeline import Pipeline
from harness_data.square_crop import crop_to_square
from harness_data.stacked_images import StackedSplit

if TYPE_CHECKING:
    from numpy.typing import NDArray

AT_ONCE = 64
"""Images read per batch."""


class RealSamples(Protocol):
    """`shape` of one sample, `draw` for a random batch, `take_fixed` for n samples of a fixed set."""

    shape: tuple[int, ...]

    def draw(self, n: int, generator: torch.Generator) -> torch.Tensor: ...

    def take_fixed(self, n: int) -> torch.Tensor: ...


class PointSamples:
    """Points of a split that draws new ones without end."""

    def __init__(self, split: Any) -> None:
        self.split = split
        self.shape = (int(split.points.shape[1]),)

    def draw(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """Draw n new points."""
        drawn: torch.Tensor = self.split.draw(n, generator)
        return drawn

    def take_fixed(self, n: int) -> torch.Tensor:
        """Return the first n points of the split's fixed set."""
        first: torch.Tensor = self.split.points[:n]
        return first


class ImageSamples:
    """Images N×C×H×W, stored as bytes and returned in [−1, 1].

    If `targets` (N) show the collection to be sorted by label, as folders are, or are multi-label,
    `take_fixed` returns a fixed random subset; the first images would cover only the first labels.
    """

    def __init__(self, images: NDArray[np.uint8], targets: NDArray[np.int64] | None = None) -> None:
        self.images = torch.from_numpy(images)
        self.shape = tuple(int(n) for n in images.shape[1:])
        self._order = torch.arange(len(images))
        if targets is not None and (targets.ndim > 1 or (np.diff(targets) >= 0).all()):
            rng = np.random.default_rng(derive_seed("gan", "held", len(images)))
            self._order = torch.from_numpy(rng.permutation(len(images)))

    def draw(self, n: int, generator: torch.Generator) -> torch.Tensor:
        """Draw n images with replacement."""
        rows = torch.randint(len(self.images), (n,), generator=generator)
        return bytes_to_samples(self.images[rows])

    def take_fixed(self, n: int) -> torch.Tensor:
        """Return at most n images, always the same."""
        return bytes_to_samples(self.images[self._order[:n]])


def bytes_to_samples(images: torch.Tensor) -> torch.Tensor:
    """Convert bytes to floats in [−1, 1]."""
    return images.float() / 127.5 - 1


def samples_to_bytes(images: torch.Tensor) -> torch.Tensor:
    """Convert floats in [−1, 1] to bytes, clipped and rounded."""
    return ((images.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


class PixelReader:
    """Reads the images of splits, N×C×H×W: shorter side resized to `size`, then cropped at the centre.

    Each split is read once, by `workers` threads. `where` names the data set in errors.
    """

    def __init__(self, size: int | None, grey: bool, where: str, workers: int = 0) -> None:
        self.size, self.grey, self.where, self.workers = size, grey, where, workers
        self._cache: dict[tuple[int, bool], tuple[Split, NDArray[np.uint8]]] = {}

    def __call__(self, split: Split, grey: bool = False) -> NDArray[np.uint8]:
        """Return all images of a split, grey if requested here or for all splits.

        Raises DataError for a sample without an image, and for images of different sizes without `size`.
        """
        grey = grey or self.grey
        if isinstance(split, StackedSplit):
            return self(split.base, True)[:, 0][split.rows]
        if (id(split), grey) not in self._cache:
            # the cache holds the split, so that no other split can get its id
            self._cache[id(split), grey] = split, self._read_all(split, grey)
        return self._cache[id(split), grey][1]

    def _read_all(self, split: Split, grey: bool) -> NDArray[np.uint8]:
        if not len(split):
            raise DataError(f"{self.where}: no images")
        source = Pipeline(
            split,
            partial(self._read_one, grey),
            device=torch.device("cpu"),
            workers=self.workers,
            take=lambda sample: sample,
            collate=list,
        )
        whole: NDArray[np.uint8] = np.empty((0, 0, 0, 0), np.uint8)
        with closing(source.batches(plan_in_order(len(split), AT_ONCE))) as batches:
            for row, array in ((row, array) for b in batches for row, array in zip(b.rows, b.data)):
                if row == 0:
                    whole = np.empty((len(split), *array.shape), np.uint8)
                if array.shape != whole.shape[1:]:
                    (_, height, width), (_, first_height, first_width) = array.shape, whole.shape[1:]
                    raise DataError(
                        f"{self.where}: sample {split.ids[row]} is {width}×{height}, the first is "
                        f"{first_width}×{first_height}: give the protocol a size"
                    )
                whole[row] = array
        return whole

    def _read_one(self, grey: bool, sample: Sample) -> NDArray[np.uint8]:
        """Return one image, C×H×W."""
        if sample.image is None:
            raise DataError(f"{self.where}: sample {sample.id} has no image")
        image = decode(sample.image, f"{self.where}: sample {sample.id}").convert("L" if grey else "RGB")
        if self.size is not None and image.size != (self.size, self.size):
            image = crop_to_square(image, self.size)
        array = np.asarray(image)
        return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def make_real_samples(split: Any, pixels: PixelReader) -> PointSamples | ImageSamples:
    """Return points if the split can draw them, else its images."""
    if hasattr(split, "draw") and hasattr(split, "points"):
        return PointSamples(split)
    return ImageSamples(pixels(split), np.asarray(split.targets))
