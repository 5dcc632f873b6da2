"""Images of some rows of a split as uint8 C×H×W: decoded once and held on the device, or read for each use."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torchvision.transforms import v2

from harness import DataError, Split, derive_seed
from harness.inference.images import decode
from harness.learning.batch_augmentation import build_random_crop
from harness.learning.draws import plan_in_order
from harness.learning.pipeline import (
    HeldSamples,
    Pipeline,
    SampleSource,
    name_sample,
    require_sample_image,
    take_sample,
)

HELD_BYTES = 2**31
"""Largest size of decoded images to hold, of one split."""


def draw_permutation(size: int) -> torch.Tensor:
    """Return the order of size·size pixels that `shuffle_pixels` puts them into."""
    order = np.random.default_rng(derive_seed("pixels", size)).permutation(size * size)
    return torch.from_numpy(order)


def build_reader(
    size: int, grey: bool, crop: Mapping[str, Any] | None = None, shuffle: torch.Tensor | None = None
) -> Callable[[Any], torch.Tensor]:
    """Return what turns a sample's image into uint8 C×size×size.

    The shorter side is resized to `size` (bilinear with antialiasing; an image of that size stays as it is)
    and the centre is cropped. With `crop`, options of torchvision's RandomResizedCrop (maybe none), a random
    part (by default 0.08 to 1 of the area) is resized instead, drawn from torch's generator (Szegedy et al.,
    CVPR 2015). `shuffle` is an order of the size·size pixels to put them into.
    """
    change: Callable[[Any], Any] = _fit_square(size) if crop is None else build_random_crop(size, **crop)
    pixels = v2.PILToTensor()

    def read(image: Any) -> torch.Tensor:
        if crop is None and not grey and _is_square_array(image, size):  # what is below would change nothing
            found = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
        else:
            found = pixels(change(decode(image).convert("L" if grey else "RGB")))
        return found if shuffle is None else found.flatten(1)[:, shuffle].reshape(found.shape)

    return read


def _is_square_array(image: Any, size: int) -> bool:
    return isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.shape == (size, size, 3)


def _fit_square(size: int) -> Callable[[Image.Image], Image.Image]:
    def fit(image: Image.Image) -> Image.Image:
        width, height = image.size
        if min(width, height) != size:
            scale = size / min(width, height)
            width, height = max(size, round(width * scale)), max(size, round(height * scale))
            image = image.resize((width, height), Image.Resampling.BILINEAR)
        left, top = (width - size) // 2, (height - size) // 2
        return image if (width, height) == (size, size) else image.crop((left, top, left + size, top + size))

    return fit


class ImageSet:
    """Images and labels of rows of a split.

    `hold` decides whether decoded images stay in memory: `auto` if they take at most 2 GiB. Raises DataError
    without rows, for a sample without an image, and for one that can't be read.
    """

    def __init__(
        self,
        split: Split,
        rows: Sequence[int] | np.ndarray[Any, Any],
        size: int,
        grey: bool,
        device: torch.device,
        workers: int = 0,
        hold: Literal["auto", "yes", "no"] = "auto",
        shuffle: torch.Tensor | None = None,
    ) -> None:
        self.split, self.rows = split, np.asarray(rows, np.int64)
        self.size, self.grey, self.device, self.workers = size, grey, device, workers
        self.shuffle = shuffle
        self.targets = torch.as_tensor(np.asarray(split.targets)[self.rows], device=device)
        self.ids: Sequence[str] = [split.ids[row] for row in self.rows.tolist()]
        channels = 1 if grey else 3
        fits = len(self.rows) * channels * size * size <= HELD_BYTES
        self.held = self._decode(workers) if hold == "yes" or (hold == "auto" and fits) else None

    def __len__(self) -> int:
        return len(self.rows)

    def make_source(self, seed: int, crop: Mapping[str, Any] | None = None) -> SampleSource:
        """Return the source of a training's batches; `crop` (of images not held) has options of random crops."""
        if self.held is not None:
            return HeldSamples(self.held, self.targets)
        return Pipeline(
            self.split, build_reader(self.size, self.grey, crop, self.shuffle), device=self.device, workers=self.workers,
            indices=self.rows.tolist(), targets=self.targets.cpu(), 
            seed=None if crop is None else seed,
        )  # fmt: skip

    def iterate(self, size: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Yield images B×C×H×W (uint8) and labels B of all rows, in their order."""
        for batch in self.make_source(0).batches(plan_in_order(len(self), size)):
            assert batch.targets is not None
            yield batch.data, batch.targets

    def part(self, positions: Sequence[int] | np.ndarray[Any, Any]) -> ImageSet:
        """Return some of these images, by position; held ones share nothing and are not decoded again."""
        at = np.asarray(positions, np.int64)
        found = ImageSet.__new__(ImageSet)
        found.__dict__.update(self.__dict__)
        found.rows, found.ids = self.rows[at], [self.ids[i] for i in at.tolist()]
        index = torch.from_numpy(at).to(self.device)
        found.targets = self.targets[index]
        found.held = None if self.held is None else self.held[index]
        return found

    def to_process(self, device: torch.device) -> ImageSet:
        """Return the same images on another device; held ones no longer refer to the split that they are from."""
        found = ImageSet.__new__(ImageSet)
        found.__dict__.update(self.__dict__)
        found.device, found.targets = device, self.targets.to(device)
        if self.held is not None:
            found.held, found.split = self.held.to(device), _NO_SPLIT
        return found

    def _decode(self, workers: int) -> torch.Tensor:
        read = build_reader(self.size, self.grey, shuffle=self.shuffle)

        def one(row: int) -> torch.Tensor:
            sample = take_sample(self.split, row)
            try:
                return read(require_sample_image(sample))
            except (DataError, OSError) as error:
                raise name_sample(error, sample.id) from error

        held = torch.empty((len(self.rows), 1 if self.grey else 3, self.size, self.size), dtype=torch.uint8)
        with ThreadPoolExecutor(max(1, workers)) as pool:
            for position, image in enumerate(pool.map(one, self.rows.tolist())):
                held[position] = image
        return held.to(self.device)


_NO_SPLIT: Any = None
"""In place of the split of images that are held already."""


class InputScale:
    """The last step of preparation: from floats in [0, 1] to the network's input, per channel.

    `standard` takes mean and deviation over the pixels of given images, where a constant channel is only
    centred; `model` takes `own`, the mean and deviation that pre-trained weights expect.
    """

    def __init__(
        self,
        kind: str,
        images: torch.Tensor | None = None,
        channels: int = 3,
        own: tuple[Sequence[float], Sequence[float]] | None = None,
    ) -> None:
        self.flips, factor = kind == "caffe", 1.0
        mean, deviation = [0.0] * channels, [1.0] * channels
        if kind == "standard":
            assert images is not None
            pixels = images.double().transpose(0, 1).flatten(1) / 255
            mean = pixels.mean(1).tolist()
            deviation = [d if d > 0 else 1.0 for d in pixels.std(1, correction=0).tolist()]
        elif kind == "model":
            assert own is not None
            mean, deviation = list(own[0]), list(own[1])
        elif kind == "centred":
            mean, deviation = [0.5] * channels, [0.5] * channels
        elif kind == "imagenet":
            mean, deviation = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
        elif kind == "caffe":  # in the order BGR, after the flip
            mean, factor = [103.939 / 255, 116.779 / 255, 123.68 / 255], 255.0
        if channels == 1 and len(mean) == 3:
            mean, deviation = [float(np.mean(mean))], [float(np.mean(deviation))]
        self.mean, self.deviation = mean, [d / factor for d in deviation]

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Return scaled images, from floats N×C×H×W in [0, 1]."""
        if self.flips:
            images = images.flip(1)
        like = {"device": images.device, "dtype": images.dtype}
        mean, deviation = (torch.tensor(v, **like)[:, None, None] for v in (self.mean, self.deviation))  # type: ignore[arg-type]
        return (images - mean) / deviation
