"""Augmentation of batches of images on any device, each sample by draws from seed, epoch and row alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torchvision.transforms import InterpolationMode
from torchvision.transforms import v2 as T

from harness.contract.seeds import derive_seed
from harness.errors import OptionError, did_you_mean
from harness.learning.augmentation_names import read_augmentation_step
from harness.learning.keras_images import KerasImages, flip_chosen
from harness.learning.randomness import drawing_from


class BatchAugmentation(Protocol):
    """A change of images that is decided by `numbers` uniform draws for each."""

    @property
    def numbers(self) -> int:
        """Return the number of draws for each image."""
        ...

    def __call__(self, images: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
        """Return the changed images B×C×H×W of floats in [0, 1], by uniforms B×numbers (float64, CPU)."""
        ...


class SampleDraws:
    """Uniform draws in [0, 1) that depend on seed, epoch, row and position alone.

    Neither batches, their order, a resumed training, several processes, nor further rows or numbers change them.
    """

    def __init__(self, seed: int, count: int, numbers: int) -> None:
        self.seed, self.count, self.numbers = seed, count, numbers
        self._drawn: tuple[int, NDArray[np.float64]] | None = None

    def take(self, epoch: int, rows: Any) -> torch.Tensor:
        """Return the draws of those rows in an epoch, float64 B×numbers on the CPU."""
        drawn = self._drawn  # one assignment, so that threads may share this
        if drawn is None or drawn[0] != epoch:
            drawn = self._drawn = epoch, self._draw(epoch)
        return torch.from_numpy(drawn[1][np.asarray(rows, np.int64)])

    def _draw(self, epoch: int) -> NDArray[np.float64]:
        table = np.empty((self.count, self.numbers))
        for number in range(self.numbers):
            rng = np.random.default_rng(derive_seed("augmentation", self.seed, epoch, number))
            table[:, number] = rng.random(self.count)
        return table


def build_batch_augmentation(
    steps: Sequence[str | Mapping[str, Any]], size: int | tuple[int, int]
) -> BatchAugmentation:
    """Return steps one after the other, each a name or a mapping with `name` and options; none change nothing.

    - "keras": `KerasImages` with its options;
    - "flip": `horizontal` and `vertical`, the probabilities of either (0.5 and 0);
    - "shift-crop": a crop of `size` at a random place after `padding` (4) pixels at each side, by `fill`:
      "constant" (0), "reflect" or "replicate";
    - "resized-crop", "randaugment", "trivialaugment", "autoaugment", "erasing": torchvision's transforms of each
      image on its own, with torchvision's options and defaults; the first crops to `size`;
    - "resize": no augmentation, but images of `size`.

    The result must be called with images that are of `size` (height and width, or one for both) after the
    steps. Raises OptionError for an unknown name or option, an invalid value, or images of another size.
    """
    sides = (size, size) if isinstance(size, int) else (size[0], size[1])
    return _Composed([_build_step(step, sides) for step in steps], sides)


class _Composed:
    """Steps one after the other, each with its own part of the draws."""

    def __init__(self, steps: list[BatchAugmentation], size: tuple[int, int]) -> None:
        self._steps, self._size = steps, size
        self.numbers = sum(step.numbers for step in steps)

    def __call__(self, images: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
        parts = uniforms.split([step.numbers for step in self._steps], 1) if self._steps else ()
        for step, part in zip(self._steps, parts, strict=True):
            images = step(images, part)
        if tuple(images.shape[2:]) != self._size:
            found, wanted = ("×".join(map(str, s)) for s in (images.shape[2:], self._size))
            raise OptionError(
                f"augmentation: images are {found}, not {wanted}: add 'resize', 'resized-crop' or 'shift-crop'"
            )
        return images


class _Flip:
    numbers = 2

    def __init__(self, size: tuple[int, int], *, horizontal: float = 0.5, vertical: float = 0.0) -> None:
        _require_share("flip", horizontal=horizontal, vertical=vertical)
        self._horizontal, self._vertical = horizontal, vertical

    def __call__(self, images: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
        if self._horizontal:
            images = flip_chosen(images, uniforms[:, 0] < self._horizontal, 3)
        return flip_chosen(images, uniforms[:, 1] < self._vertical, 2) if self._vertical else images


class _ShiftCrop:
    numbers = 2

    def __init__(self, size: tuple[int, int], *, padding: int = 4, fill: str = "constant") -> None:
        if fill not in (known := ("constant", "reflect", "replicate")):
            raise OptionError(f"augmentation 'shift-crop': fill can't be '{fill}'{did_you_mean(fill, known)}")
        if padding < 0:
            raise OptionError(f"augmentation 'shift-crop': padding must be at least 0, not {padding}")
        self._size, self._padding, self._fill = size, padding, fill

    def __call__(self, images: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
        if self._fill == "reflect" and self._padding >= min(images.shape[2:]):
            raise OptionError(
                f"augmentation 'shift-crop': images are too small to reflect {self._padding} pixels"
            )
        padded = F.pad(images, [self._padding] * 4, mode=self._fill)
        room = [have - want for have, want in zip(padded.shape[2:], self._size, strict=True)]
        if min(room) < 0:
            have, want = ("×".join(map(str, s)) for s in (padded.shape[2:], self._size))
            raise OptionError(
                f"augmentation 'shift-crop': padded images are {have}, too small to crop {want}"
            )
        starts = (uniforms * torch.tensor([free + 1 for free in room])).long().to(images.device)
        rows, columns = (
            starts[:, axis, None] + torch.arange(side, device=images.device)
            for axis, side in enumerate(self._size)
        )
        samples = torch.arange(len(images), device=images.device)[:, None, None]
        # the channels come last when they are indexed by a slice between tensors
        return padded[samples, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()


class _Resize:
    numbers = 0

    def __init__(self, size: tuple[int, int], *, interpolation: str = "bilinear") -> None:
        self._resize = T.Resize(size, _interpolation("resize", interpolation), antialias=True)

    def __call__(self, images: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self._resize(images)
        return found


class _EachImage:
    """A random transform of torchvision's, which draws once for all it is given, for each image on its own."""

    numbers = 1

    def __init__(self, transform: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self._transform = transform

    def __call__(self, images: torch.Tensor, uniforms: torch.Tensor) -> torch.Tensor:
        done = []
        for image, uniform in zip(images, uniforms[:, 0].tolist(), strict=True):
            with drawing_from(int(uniform * 2**53)):
                done.append(self._transform(image))
        return torch.stack(done)


def _keras(size: tuple[int, int], **options: Any) -> BatchAugmentation:
    return KerasImages(**options)


def build_random_crop(
    size: int | tuple[int, int],
    *,
    scale: Sequence[float] = (0.08, 1.0),
    ratio: Sequence[float] = (3 / 4, 4 / 3),
    interpolation: str = "bilinear",
) -> T.Transform:
    """Return the transform of the step "resized-crop", which draws from torch's generator."""
    mode = _interpolation("resized-crop", interpolation)
    return T.RandomResizedCrop(size, tuple(scale), tuple(ratio), mode, antialias=True)


def _resized_crop(
    size: tuple[int, int],
    *,
    scale: Sequence[float] = (0.08, 1.0),
    ratio: Sequence[float] = (3 / 4, 4 / 3),
    interpolation: str = "bilinear",
) -> BatchAugmentation:
    return _EachImage(build_random_crop(size, scale=scale, ratio=ratio, interpolation=interpolation))


def _randaugment(
    size: tuple[int, int],
    *,
    num_ops: int = 2,
    magnitude: int = 9,
    num_magnitude_bins: int = 31,
    interpolation: str = "nearest",
    fill: float | Sequence[float] | None = None,
) -> BatchAugmentation:
    if not 0 <= magnitude < num_magnitude_bins:
        raise ValueError(f"magnitude must be from 0 to {num_magnitude_bins - 1}, not {magnitude}")
    mode = _interpolation("randaugment", interpolation)
    return _EachImage(T.RandAugment(num_ops, magnitude, num_magnitude_bins, mode, fill))


def _trivialaugment(
    size: tuple[int, int],
    *,
    num_magnitude_bins: int = 31,
    interpolation: str = "nearest",
    fill: float | Sequence[float] | None = None,
) -> BatchAugmentation:
    return _EachImage(
        T.TrivialAugmentWide(num_magnitude_bins, _interpolation("trivialaugment", interpolation), fill)
    )


def _autoaugment(
    size: tuple[int, int],
    *,
    policy: str = "imagenet",
    interpolation: str = "nearest",
    fill: float | Sequence[float] | None = None,
) -> BatchAugmentation:
    known = [found.value for found in T.AutoAugmentPolicy]
    if policy not in known:
        raise OptionError(f"augmentation 'autoaugment': no policy '{policy}'{did_you_mean(policy, known)}")
    mode = _interpolation("autoaugment", interpolation)
    return _EachImage(T.AutoAugment(T.AutoAugmentPolicy(policy), mode, fill))


def _erasing(
    size: tuple[int, int],
    *,
    p: float = 0.5,
    scale: Sequence[float] = (0.02, 0.33),
    ratio: Sequence[float] = (0.3, 3.3),
    value: float | str | Sequence[float] = 0.0,
) -> BatchAugmentation:
    _require_share("erasing", p=p)
    filled = list(value) if isinstance(value, list | tuple) else value
    return _EachImage(T.RandomErasing(p, tuple(scale), tuple(ratio), filled))


_STEPS: dict[str, Callable[..., BatchAugmentation]] = {
    "keras": _keras,
    "flip": _Flip,
    "shift-crop": _ShiftCrop,
    "resize": _Resize,
    "resized-crop": _resized_crop,
    "randaugment": _randaugment,
    "trivialaugment": _trivialaugment,
    "autoaugment": _autoaugment,
    "erasing": _erasing,
}


def _build_step(step: str | Mapping[str, Any], size: tuple[int, int]) -> BatchAugmentation:
    name, given = read_augmentation_step(step)
    try:
        return _STEPS[name](size, **given)
    except (TypeError, ValueError) as error:
        raise OptionError(f"augmentation '{name}': {error}") from None


def _interpolation(step: str, name: str) -> InterpolationMode:
    known = [
        mode.value
        for mode in (InterpolationMode.NEAREST, InterpolationMode.BILINEAR, InterpolationMode.BICUBIC)
    ]
    if name not in known:
        raise OptionError(
            f"augmentation '{step}': interpolation can't be '{name}'{did_you_mean(name, known)}"
        )
    return InterpolationMode(name)


def _require_share(step: str, **shares: float) -> None:
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise OptionError(f"augmentation '{step}': {name} must be from 0 to 1, not {share}")
