"""The data set `corrupted`: any other data set, each of its images corrupted when it is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness import DataError, Dataset, OptionError, Sample, Split, derive_seed
from harness.contract.declared import ask
from harness_data.corruptions import ConstantSet, check_corruption, corrupt, pixel_version

if TYPE_CHECKING:
    import PIL.Image

FORWARDED = (
    "target_kind",
    "label_space",
    "class_names",
    "class_keys",
    "class_order",
    "num_classes",
    "templates",
    "label_indices",
    "already_cropped",
    "overlapping",
    "left_out",
    "per_sample",
    "remarks",
)
"""Optional attributes of a data set or a split that corrupting its images does not change; so are those `per_sample`."""

PLACED = ("boxes", "masks")
"""Kinds of target whose places in the image count."""

MOVING = ("elastic_transform", "zoom_blur")
"""Corruptions that move pixels."""

CROP = 224
"""Side of the square to which ImageNet-C's images were cropped before they were corrupted."""


def imagenet_c_crop(image: PIL.Image.Image) -> PIL.Image.Image:
    """Resize the shorter side to 256 (bilinear) and crop the centre 224×224, as for ImageNet-C."""
    import PIL.Image

    width, height = image.size
    short = min(width, height)
    image = image.resize((256 * width // short, 256 * height // short), PIL.Image.Resampling.BILINEAR)
    left, top = round((image.width - CROP) / 2), round((image.height - CROP) / 2)
    return image.crop((left, top, left + CROP, top + CROP))


class CorruptedSplit:
    """A split whose images are corrupted one by one, independently of order and batch size."""

    def __init__(self, split: Split, settings: Corrupted) -> None:
        self.split = split
        self.settings = settings
        self.ids: Sequence[str] = split.ids
        self.targets: Any = split.targets
        if settings.imagenet_crop:
            self.already_cropped = CROP

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, index: int) -> Sample:
        sample = self.split[index]
        return replace(sample, image=self.settings.corrupt_sample(sample))

    def __getattr__(self, name: str) -> Any:
        split = self.__dict__.get("split")  # absent while it is copied
        if split is not None and (name in FORWARDED or name in (ask(split, "per_sample") or ())):
            return getattr(split, name)
        raise AttributeError(f"{type(self).__name__} has no attribute '{name}'")


class Corrupted:
    """Another data set with one of the common corruptions (Hendrycks & Dietterich, ICLR 2019).

    Results are not comparable with those on the published ImageNet-C or CIFAR-10-C files: there is no JPEG
    storage, random numbers differ, and frost textures are drawn where the authors use photographs (with the
    same colours and contrast, so that the strength agrees); see `harness_data.corruptions`.

    Raises OptionError for an unknown corruption, severity or set of constants.

    Args:
        dataset: the clean data set.
        corruption: one of the 15 of the benchmark (`gaussian_noise`, `fog`, …), or of the 4 extra ones.
        severity: from 1 (weakest) to 5.
        constants: strengths of the corruptions, from ImageNet-C or CIFAR-10-C.
        seed: a sample's random draws depend only on this seed, the corruption, the severity and its id.
        imagenet_crop: first resize to 256 and crop the centre 224×224, as for ImageNet-C; models then only
            crop (the split's `already_cropped` says so). Otherwise corrupt the image at its own size.
    """

    def __init__(
        self,
        dataset: Dataset,
        corruption: str,
        severity: int = 1,
        constants: ConstantSet = "imagenet",
        seed: int = 0,
        imagenet_crop: bool = False,
    ) -> None:
        check_corruption(corruption, severity, constants)
        if imagenet_crop and str(ask(dataset, "target_kind")) in PLACED:
            raise OptionError(
                "corrupted: imagenet_crop would leave the data set's boxes or masks where they were"
            )
        self.dataset = dataset
        self.corruption = corruption
        self.severity = severity
        self.tags = {"corruption": corruption, "severity": severity}
        self.constants: ConstantSet = constants
        self.seed = seed
        self.imagenet_crop = imagenet_crop

    @property
    def splits(self) -> Sequence[str]:
        """The splits of the clean data set."""
        return self.dataset.splits

    def unavailable(self) -> str | None:
        """Return why the clean data set can't be used here, or None."""
        own = ask(self.dataset, "unavailable")
        return own() if own else None

    def fingerprint(self) -> str:
        """Return the clean data set's fingerprint, the corruption's version, and the crop if there is one."""
        own = ask(self.dataset, "fingerprint")
        sized = f"|already {CROP}" if self.imagenet_crop else ""
        return f"{own() if own else ''}|corruptions-{pixel_version(self.corruption)}{sized}"

    @property
    def remarks(self) -> list[str]:
        """The clean data set's remarks; that frost is drawn, unless the clean images are, too; that pixels are moved."""
        said = list(ask(self.dataset, "remarks") or ())
        if self.corruption == "frost" and not getattr(self.dataset, "drawn", False):
            said.append("its frost is drawn: not comparable with ImageNet-C, which uses photographs of frost")
        if self.corruption in MOVING and str(ask(self.dataset, "target_kind")) in PLACED:
            said.append(
                f"{self.corruption} moves pixels: boxes and masks stay where the clean image has them"
            )
        return said

    def load(self, split: str) -> CorruptedSplit:
        """Return a split whose images are corrupted on reading."""
        return CorruptedSplit(self.dataset.load(split), self)

    def corrupt_sample(self, sample: Sample) -> PIL.Image.Image:
        """Return the sample's image, decoded and corrupted. Raises DataError if it has none or it can't be corrupted."""
        import numpy as np
        import PIL.Image

        from harness.inference.images import decode

        if sample.image is None:
            raise DataError(f"sample {sample.id} has no image to corrupt")
        image = decode(sample.image, sample.id)
        if self.imagenet_crop:
            image = imagenet_c_crop(image)
        seed = derive_seed(self.seed, self.corruption, self.severity, sample.id)
        try:
            pixels = corrupt(np.asarray(image), self.corruption, self.severity, seed, self.constants)
        except DataError as error:
            raise DataError(f"sample {sample.id}: {error}") from None
        return PIL.Image.fromarray(pixels)

    def __getattr__(self, name: str) -> Any:
        if name in FORWARDED:
            return getattr(self.dataset, name)
        raise AttributeError(f"{type(self).__name__} has no attribute '{name}'")
