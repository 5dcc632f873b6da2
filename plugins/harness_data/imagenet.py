"""The ImageNet data sets: ImageNet-1k and its natural and synthetic shifts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from harness import DataError, Unavailable
from harness_data import imagenet_classes
from harness_data.roots import find_data

if TYPE_CHECKING:
    from harness_data.scanning import FolderSplit

Corruption = Literal[
    "gaussian_noise", "shot_noise", "impulse_noise",
    "defocus_blur", "glass_blur", "motion_blur", "zoom_blur",
    "snow", "frost", "fog", "brightness",
    "contrast", "elastic_transform", "pixelate", "jpeg_compression",
    "speckle_noise", "gaussian_blur", "spatter", "saturate",
]  # fmt: skip

ARCHIVES = {
    "noise": ("gaussian_noise", "shot_noise", "impulse_noise"),
    "blur": ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    "weather": ("snow", "frost", "fog", "brightness"),
    "digital": ("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
    "extra": ("speckle_noise", "gaussian_blur", "spatter", "saturate"),
}
"""ImageNet-C's archives with the corruptions in each."""


class _ImageNetFolders:
    """Base of the ImageNet data sets: class folders below a data root, with ImageNet's labels.

    A subclass defines the folders (`_candidate_folders`), how to get them, and their classes. Each split has
    `class_names`, the 80 `templates`, and `label_indices` into ImageNet's 1000 outputs.

    Args:
        root: the folder that holds the data set's folder; by default $HARNESS_DATA_ROOT.
        partial: use only the class folders present; otherwise missing or empty ones are an error.
    """

    label_space: ClassVar[str] = "imagenet-1k"
    splits: tuple[str, ...] = ("test",)
    how_to_get: ClassVar[str]

    def __init__(self, root: Path | None, partial: bool) -> None:
        self.root = root
        self.partial = partial

    def unavailable(self) -> str | None:
        """Return why the data set can't be used here and how to get it, or None."""
        try:
            self._folder(self.splits[0])
        except Unavailable as missing:
            return str(missing)
        return None

    def fingerprint(self) -> str:
        """Return a digest of the test images' relative paths and content."""
        from harness_data.digests import files_digest
        from harness_data.scanning import scan_class_folders

        folder = self._folder(self.splits[0])
        return files_digest(folder, scan_class_folders(folder, self._load_classes().labels).paths)

    def load(self, split: str = "test") -> FolderSplit:
        """List one split.

        Raises Unavailable if it isn't on disk, DataError if class folders are missing or empty (unless
        `partial`) or do not belong to the data set.
        """
        from harness_data.leftovers import note_empty_classes
        from harness_data.scanning import check_split, scan_class_folders

        check_split(split, self.splits, type(self).__name__)
        folder, classes = self._folder(split), self._load_classes()
        listing = scan_class_folders(folder, classes.labels)
        filled = {path.split("/", 1)[0] for path in listing.paths}
        self._check_folders(folder, classes, filled)
        opened = self._split_class()(
            folder,
            listing,
            imagenet_classes.list_prompt_names(classes),
            imagenet_classes.list_prompt_templates(),
            [list(indices) for indices in classes.indices],
            [*listing.remarks, *note_empty_classes(list(classes.labels), filled, f"in split '{split}'")],
        )
        if (
            split != self.splits[0]
        ):  # digests of a million training images would cost runs that never open them
            opened.remarks = [
                *opened.remarks,
                f"its split '{split}' is identified by its name only: changed images go unnoticed",
            ]
        return opened

    def _candidate_folders(self, split: str) -> list[str]:
        """Return the folders below the data root where the split may lie, in order of preference."""
        raise NotImplementedError

    def _load_classes(self) -> imagenet_classes.ImageNetClasses:
        return imagenet_classes.load_imagenet_classes()

    def _known_folders(self) -> frozenset[str] | None:
        """Return all folders that may be present; None if any others are allowed."""
        return frozenset(self._load_classes().labels)

    def _split_class(self) -> type[FolderSplit]:
        from harness_data.scanning import FolderSplit

        return FolderSplit

    def _folder(self, split: str) -> Path:
        return find_data(self.root, self._candidate_folders(split), self.how_to_get)

    def _check_folders(
        self, folder: Path, classes: imagenet_classes.ImageNetClasses, filled: set[str]
    ) -> None:
        from harness_data.scanning import list_subfolders

        known = self._known_folders()
        if known is not None and (foreign := [n for n in list_subfolders(folder) if n not in known]):
            raise DataError(f"{folder / foreign[0]}: is not a class folder of {type(self).__name__}")
        missing = [n for n in classes.labels if n not in filled]
        if missing and not self.partial:
            shown = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
            raise DataError(
                f"{folder}: {len(missing)} of {len(classes.labels)} class folders are missing or empty "
                f"({shown}); complete it, or set partial = true to use what is there"
            )


class ImageNet(_ImageNetFolders):
    """ImageNet-1k (Russakovsky et al., 2015): 50,000 validation images as `test`, and `train`.

    Args:
        classes: keep only the classes of a shift, with its labels, as the reference for the gap on the
            same classes.
    """

    splits = ("test", "train")
    how_to_get = (
        "get ILSVRC2012 from image-net.org (an account is needed) and unpack it to "
        "imagenet/val/nXXXXXXXX/*.JPEG (and imagenet/train/nXXXXXXXX/*.JPEG for training)"
    )

    def __init__(
        self,
        classes: Literal["imagenet-r", "imagenet-a", "objectnet"] | None = None,
        *,
        root: Path | None = None,
        partial: bool = False,
    ) -> None:
        super().__init__(root, partial)
        self.classes = classes

    def _candidate_folders(self, split: str) -> list[str]:
        name = "val" if split == "test" else "train"
        return [f"imagenet/{name}", f"imagenet-1k/{name}", f"ILSVRC2012/{name}", name]

    def _load_classes(self) -> imagenet_classes.ImageNetClasses:
        return imagenet_classes.load_imagenet_classes(self.classes)

    def _known_folders(self) -> frozenset[str]:
        return frozenset(imagenet_classes.wnids())


class ImageNetV2(_ImageNetFolders):
    """ImageNetV2 (Recht et al., 2019): 10,000 images in folders named by class index.

    Folder names are the labels, read as numbers: sorted as text they would be 0, 1, 10, 100, ….

    Args:
        variant: selection frequency of the images: matching the validation set, at least 0.7, or highest.
    """

    how_to_get = (
        "get imagenetv2-<variant>.tar.gz (Hugging Face, vaishaal/ImageNetV2) and unpack it to "
        "imagenetv2-<variant>-format-val/<0..999>/*.jpeg"
    )

    def __init__(
        self,
        variant: Literal["matched-frequency", "threshold0.7", "top-images"] = "matched-frequency",
        *,
        root: Path | None = None,
        partial: bool = False,
    ) -> None:
        super().__init__(root, partial)
        self.variant = variant

    def _candidate_folders(self, split: str) -> list[str]:
        name = f"imagenetv2-{self.variant}"
        return [f"{name}-format-val", f"imagenetv2/{name}-format-val", name, f"imagenetv2/{name}"]

    def _load_classes(self) -> imagenet_classes.ImageNetClasses:
        return imagenet_classes.load_numbered_classes()


class _PlainShift(_ImageNetFolders):
    """Base of shifts without options of their own."""

    def __init__(self, root: Path | None = None, *, partial: bool = False) -> None:
        super().__init__(root, partial)


class ImageNetR(_PlainShift):
    """ImageNet-R(enditions) (Hendrycks et al., 2021): 30,000 images of 200 classes."""

    how_to_get = (
        "get imagenet-r.tar (github.com/hendrycks/imagenet-r) and unpack it to imagenet-r/nXXXXXXXX/*.jpg"
    )

    def _candidate_folders(self, split: str) -> list[str]:
        return ["imagenet-r"]

    def _load_classes(self) -> imagenet_classes.ImageNetClasses:
        return imagenet_classes.load_imagenet_classes("imagenet-r")


class ImageNetA(_PlainShift):
    """ImageNet-A(dversarial) (Hendrycks et al., 2021): 7,500 images of 200 classes that fooled ResNet-50."""

    how_to_get = (
        "get imagenet-a.tar (github.com/hendrycks/natural-adv-examples) and unpack it to "
        "imagenet-a/nXXXXXXXX/*.jpg"
    )

    def _candidate_folders(self, split: str) -> list[str]:
        return ["imagenet-a"]

    def _load_classes(self) -> imagenet_classes.ImageNetClasses:
        return imagenet_classes.load_imagenet_classes("imagenet-a")


class ImageNetSketch(_PlainShift):
    """ImageNet-Sketch (Wang et al., 2019): some 50,000 sketches of all 1000 classes."""

    how_to_get = (
        "get ImageNet-Sketch.zip (github.com/HaohanWang/ImageNet-Sketch) and unpack it to "
        "sketch/nXXXXXXXX/*.JPEG"
    )

    def _candidate_folders(self, split: str) -> list[str]:
        nested = [f"{base}/sketch" for base in ("imagenet-sketch", "ImageNet-Sketch")]
        return ["sketch", *nested, "imagenet-sketch", "ImageNet-Sketch"]


class ObjectNet(_PlainShift):
    """ObjectNet (Barbu et al., 2019), with the 113 of its 313 classes that ImageNet has, too.

    The red border is cropped. Nine of the 113 labels match several ImageNet classes.
    """

    how_to_get = "get objectnet-1.0.zip (objectnet.dev) and unpack it to objectnet-1.0/images/<class>/*.png"

    def _candidate_folders(self, split: str) -> list[str]:
        return ["objectnet-1.0/images", "objectnet/objectnet-1.0/images", "objectnet/images"]

    def _load_classes(self) -> imagenet_classes.ImageNetClasses:
        return imagenet_classes.load_objectnet_classes()

    def _known_folders(self) -> None:
        return None  # the folders of the 200 classes that ImageNet lacks are allowed

    def _split_class(self) -> type[FolderSplit]:
        from harness_data.imagenet_splits import BorderlessSplit

        return BorderlessSplit


class ImageNetC(_ImageNetFolders):
    """ImageNet-C (Hendrycks & Dietterich, 2019) as published: 50,000 JPEG images of 224×224 per severity.

    They are already resized and cropped (`already_cropped` of the split): models only centre-crop them.

    Args:
        corruption: one of the benchmark's 15 corruptions or the 4 extra ones.
        severity: from 1 (weakest) to 5.
    """

    how_to_get = (
        "get noise.tar, blur.tar, weather.tar, digital.tar and extra.tar (Zenodo, ImageNet-C) and unpack "
        "them to imagenet-c/<corruption>/<severity>/nXXXXXXXX/*.JPEG"
    )

    def __init__(
        self,
        corruption: Corruption,
        severity: Literal[1, 2, 3, 4, 5] = 3,
        *,
        root: Path | None = None,
        partial: bool = False,
    ) -> None:
        super().__init__(root, partial)
        self.corruption = corruption
        self.severity = severity
        self.tags = {"corruption": corruption, "severity": severity}

    def _candidate_folders(self, split: str) -> list[str]:
        archive = next(a for a, corruptions in ARCHIVES.items() if self.corruption in corruptions)
        inner = f"{self.corruption}/{self.severity}"
        places = (inner, f"{archive}/{inner}")
        return [f"{base}/{place}" for base in ("imagenet-c", "ImageNet-C") for place in places]

    def _split_class(self) -> type[FolderSplit]:
        from harness_data.imagenet_splits import CroppedSplit

        return CroppedSplit
