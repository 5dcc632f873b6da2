"""The samples a fine-tuning sees: few-shot draws, hold-outs, batches, augmentation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from harness import DataError, OptionError
from harness.inference.images import decode

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from harness import Preparation, Split

Augmentation = Literal["none", "flip", "crop-flip", "randaugment"]
KEPT_BYTES = 2**30
"""Prepared images are kept in memory up to this size, where no augmentation makes them new each time."""


def drawn_per_class(targets: NDArray[np.int64], shots: int, seed: int) -> NDArray[np.int64]:
    """Indices of `shots` samples of each class (all of a class with fewer), ascending."""
    rng = np.random.default_rng(seed)
    chosen = [rng.permutation(np.flatnonzero(targets == c))[:shots] for c in np.unique(targets)]
    return np.sort(np.concatenate(chosen))


def held_out(
    targets: NDArray[np.int64], indices: NDArray[np.int64], share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """`indices` divided at random into a part for training and `share` of them for validation."""
    if not 0 < share < 1:
        raise OptionError(f"finetuning: holdout must be between 0 and 1, not {share}")
    shuffled = np.random.default_rng(seed).permutation(indices)
    count = max(1, round(share * len(indices)))
    if count >= len(indices):
        raise DataError(f"finetuning: {len(indices)} samples are too few to hold {share:.0%} out")
    return np.sort(shuffled[count:]), np.sort(shuffled[:count])


def epoch_order(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order of an epoch, from seed and number alone, so that a continued run has the same one."""
    return np.random.default_rng([seed, epoch]).permutation(count)


class Batches:
    """Prepared images of some samples of a split, by position, on the device.

    Without augmentation they are prepared once and kept; with it they are made anew each time, from
    torch's global generator, which the training seeds at every step.
    """

    def __init__(
        self,
        split: Split,
        indices: Sequence[int],
        prepare: Callable[[Any], torch.Tensor],
        device: torch.device,
        augmentation: Augmentation = "none",
        preparation: Preparation | None = None,
    ) -> None:
        import torch

        self.split, self.indices, self.device = split, [int(i) for i in indices], device
        if not self.indices:
            raise DataError("finetuning: no samples to train or validate on")
        self.prepare = prepare
        self.augmented = augmentation != "none"
        if self.augmented:
            self.prepare = augmenting(augmentation, preparation)
        self.targets = torch.as_tensor(np.asarray(split.targets)[self.indices], device=device)
        self._kept: torch.Tensor | None = None
        if not self.augmented:
            first = self._one(0)
            if first.numel() * first.element_size() * len(self.indices) <= KEPT_BYTES:
                rest = [self._one(i) for i in range(1, len(self.indices))]
                self._kept = torch.stack([first, *rest]).to(device)

    def __len__(self) -> int:
        return len(self.indices)

    def take(self, positions: NDArray[np.int64]) -> tuple[torch.Tensor, torch.Tensor]:
        """Images B×3×H×W and labels B."""
        import torch

        at = torch.as_tensor(positions, device=self.device)
        if self._kept is not None:
            return self._kept[at], self.targets[at]
        images = torch.stack([self._one(int(i)) for i in positions]).to(self.device, non_blocking=True)
        return images, self.targets[at]

    def _one(self, position: int) -> torch.Tensor:
        sample = self.split[self.indices[position]]
        if sample.image is None:
            raise DataError(f"sample '{sample.id}' has no image")
        return self.prepare(sample.image)


def augmenting(kind: Augmentation, preparation: Preparation | None) -> Callable[[Any], torch.Tensor]:
    """A random preparation for training, with the size and normalisation of the model's own."""
    if preparation is None:
        raise OptionError(
            f"finetuning: augmentation '{kind}' needs a model that says its preparation as data"
        )
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms import v2 as T

    mode = InterpolationMode(preparation.interpolation)
    crop = preparation.crop if isinstance(preparation.crop, tuple) else (preparation.crop,) * 2
    if kind == "flip":
        size = preparation.resize
        steps: list[Any] = [T.Resize(size, mode), T.CenterCrop(crop), T.RandomHorizontalFlip()]
    else:
        steps = [T.RandomResizedCrop(crop, (0.08, 1.0), interpolation=mode), T.RandomHorizontalFlip()]
    if kind == "randaugment":
        steps.append(T.RandAugment(2, 9, interpolation=mode))
    whole = T.Compose([*steps, T.PILToTensor()])
    import torch

    scale = torch.tensor(preparation.std).reshape(3, 1, 1)
    shift = torch.tensor(preparation.mean).reshape(3, 1, 1)

    def prepare(image: Any) -> torch.Tensor:
        found: torch.Tensor = (whole(decode(image)).float() / 255 - shift) / scale
        return found

    return prepare
