"""The data set `domains`: images of two domains in folders, unpaired or paired, optionally with label maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness import DataError, OptionError
from harness.errors import did_you_mean
from harness_data.roots import resolve_below_root
from harness_data.scanning import scan_folder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness import Sample

SPLITS = ("trainA", "trainB", "testA", "testB")
NEEDED_MAPS = ("trainB", "testA")
"""Splits whose label maps a segmentation score needs: to train the segmenter, and as the truth."""


def _list_images(folder: Path) -> list[Path]:
    """Return the sorted image files below a folder; empty if the folder is missing."""
    return sorted(folder / path for path in scan_folder(folder).paths) if folder.is_dir() else []


class Domains:
    """Images of a domain A and a domain B, unpaired, or paired by their order.

    Either `path` holds `trainA`, `trainB`, `testA` and `testB`, or `a` and `b` are two folders; the last
    `held_out` share of their images, sorted by name, is for testing.

    Args:
        path: a folder in the usual layout, itself or below $HARNESS_DATA_ROOT, as all folders here.
        a: the folder of domain A.
        b: the folder of domain B.
        held_out: share of the images of `a` and `b` kept for testing.
        paired: the n-th images of A and B show the same scene, so that Pix2Pix can learn from them and
            translations can be compared with the truth.
        labels: a folder of label maps for the segmentation score of translations: PNG files of class
            numbers (255: ignored), named like the images; in `trainB` and `testA` (optionally `testB`)
            with `path`, in `A` and `B` with two folders.
    """

    splits: Sequence[str] = SPLITS

    def __init__(
        self,
        path: Path | None = None,
        a: Path | None = None,
        b: Path | None = None,
        held_out: float = 0.1,
        paired: bool = False,
        labels: Path | None = None,
    ) -> None:
        if (path is None) == (a is None) or (a is None) != (b is None):
            raise OptionError("domains: give either path, or both a and b")
        if not 0 < held_out < 1:
            raise OptionError(f"domains: held_out must be between 0 and 1, found {held_out}")
        self.path, self.a, self.b, self.labels = (
            None if p is None else resolve_below_root(p) for p in (path, a, b, labels)
        )
        self.held_out, self.paired = held_out, paired

    def folder(self, split: str) -> Path:
        """Return the folder of a split's images."""
        if self.path is not None:
            return self.path / split
        folder = self.a if split.endswith("A") else self.b
        assert folder is not None
        return folder

    def files(self, split: str) -> list[Path]:
        """Return the image files of a split, in order."""
        found = _list_images(self.folder(split))
        if self.path is not None:
            return found
        cut = len(found) - max(1, round(self.held_out * len(found)))
        return found[:cut] if split.startswith("train") else found[cut:]

    @property
    def remarks(self) -> list[str]:
        """Files that are not images, in one line per folder."""
        folders = dict.fromkeys(self.folder(split) for split in SPLITS)
        listings = {folder: scan_folder(folder) for folder in folders if folder.is_dir()}
        return [f"{folder.name}: {text}" for folder, found in listings.items() for text in found.remarks]

    def unavailable(self) -> str | None:
        """Return which split has no images or label map, or that paired splits differ in size; None if usable."""
        counts = {split: len(self.files(split)) for split in SPLITS}
        where = self.path or f"{self.a} and {self.b}"
        for split, count in counts.items():
            if count == 0:
                return f"domains: {where}: no images for {split} (expected .jpg, .png or another format that Pillow decodes)"
        if self.paired and any(counts[f"{p}A"] != counts[f"{p}B"] for p in ("train", "test")):
            return f"domains: {where}: paired domains need as many images of A as of B, found {counts}"
        if self.labels is not None:
            for split in NEEDED_MAPS:
                for image in self.files(split):
                    if not (path := self.label_map_path(split, image)).is_file():
                        return f"domains: {path}: no label map for the image {image.name} of {split}"
        return None

    def label_map_path(self, split: str, image: Path) -> Path:
        """Return the path of an image's label map, whether it exists or not."""
        assert self.labels is not None
        part = split if self.path is not None else split[-1]
        name = image.relative_to(self.folder(split)).with_suffix(".png")
        return self.labels / part / name

    def label_maps(self, split: str, ids: Sequence[str], size: int) -> NDArray[np.uint8] | None:
        """Return label maps N×size×size by image ids, cropped like the images; None if there are none.

        Raises DataError for a file that does not hold class numbers.
        """
        if self.labels is None:
            return None
        import numpy as np

        paths = [self.label_map_path(split, self.folder(split) / id) for id in ids]
        if split not in NEEDED_MAPS and not all(p.is_file() for p in paths):
            return None
        return np.stack([_read_label_map(p, size) for p in paths])

    def fingerprint(self) -> str:
        """Return a digest of the files' names and content."""
        from harness import content_digests
        from harness_data.digests import text_digest

        files = [(s, p) for s in SPLITS for p in self.files(s)]
        if self.labels is not None:
            maps = [(f"map {s}", self.label_map_path(s, p)) for s, p in files]
            files += [(s, p) for s, p in maps if p.is_file()]
        held = content_digests(p for _, p in files)
        return text_digest(f"{s}/{p.name} {d}" for (s, p), d in zip(files, held, strict=True))

    def load(self, split: str) -> DomainFiles:
        """Return one split of one domain. Raises DataError for an unknown split."""
        if split not in SPLITS:
            raise DataError(f"domains has no split '{split}'{did_you_mean(split, SPLITS)}")
        return DomainFiles(self.files(split), self.folder(split))


def _read_label_map(path: Path, size: int) -> NDArray[np.uint8]:
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    from harness_data.square_crop import crop_to_square

    try:
        image: Image.Image = Image.open(path)
        image.load()
    except (OSError, UnidentifiedImageError) as error:
        raise DataError(f"domains: label map {path} can't be read: {' '.join(str(error).split())}") from error
    if image.mode not in ("L", "P"):
        raise DataError(
            f"domains: label map {path} must hold a class number per pixel (a grey or palette PNG), "
            f"found mode {image.mode}"
        )
    if image.size != (size, size):
        image = crop_to_square(image, size, Image.Resampling.NEAREST)
    return np.asarray(image, np.uint8)


class DomainFiles:
    """A split of one domain's image files, without labels; ids are paths relative to the domain's folder."""

    def __init__(self, files: Sequence[Path], folder: Path) -> None:
        import numpy as np

        self.files = list(files)
        self.ids: Sequence[str] = [p.relative_to(folder).as_posix() for p in files]
        self.targets: NDArray[np.int64] = np.full(len(self.files), -1, np.int64)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Sample:
        from harness import EncodedImage, Sample

        path = self.files[index]
        return Sample(self.ids[index], EncodedImage(path.read_bytes(), str(path)))
