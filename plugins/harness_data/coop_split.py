"""CoOp's published splits: the data set `coop-split`, read from a `split_zhou_*.json` file and a folder of images."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import DataError, EncodedImage, Sample
from harness.errors import did_you_mean

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SPLITS = ("train", "val", "test")

PLACES = {
    "caltech101": ("caltech-101/split_zhou_Caltech101.json", "caltech-101/101_ObjectCategories"),
    "oxford_pets": ("oxford_pets/split_zhou_OxfordPets.json", "oxford_pets/images"),
    "stanford_cars": ("stanford_cars/split_zhou_StanfordCars.json", "stanford_cars"),
    "oxford_flowers": ("oxford_flowers/split_zhou_OxfordFlowers.json", "oxford_flowers/jpg"),
    "food101": ("food-101/split_zhou_Food101.json", "food-101/images"),
    "sun397": ("sun397/split_zhou_SUN397.json", "sun397/SUN397"),
    "dtd": ("dtd/split_zhou_DescribableTextures.json", "dtd/images"),
    "eurosat": ("eurosat/split_zhou_EuroSAT.json", "eurosat/2750"),
    "ucf101": ("ucf101/split_zhou_UCF101.json", "ucf101/UCF-101-midframes"),
}
"""Where CoOp's instructions put the split file and the images of each data set, below one root."""


class CoOpSplit:
    """A data set of CoOp (Zhou et al., IJCV 2022) with its published split and class names.

    Args:
        name: one of CoOp's data sets, found below `root` where CoOp's instructions put it.
        root: the folder of all data sets; default: $HARNESS_DATA_ROOT.
        split_file: the split file, for other places or data sets.
        images: the folder of images, for other places or data sets.
    """

    splits: Sequence[str] = SPLITS

    def __init__(
        self, name: str, root: Path | None = None, split_file: Path | None = None, images: Path | None = None
    ) -> None:
        self.name, self.root, self.split_file, self.images = name, root, split_file, images
        self.label_space = name

    def unavailable(self) -> str | None:
        """Return why the split file or the images can't be used here, or None."""
        try:
            file, images = self._places
        except DataError as error:
            return str(error)
        if not file.is_file():
            return f"{file}: no such split file; put CoOp's published split there, or give split_file"
        return (
            None if images.is_dir() else f"{images}: no such folder of images; put them there, or give images"
        )

    def fingerprint(self) -> str:
        """Return a digest of the split file and of the images that it names."""
        from harness import content_digest
        from harness_data.digests import files_digest, text_digest

        file, images = self._places
        named = [path for s in SPLITS for path, _, _ in _parse_entries(self._content[s], f"{file}: '{s}'")]
        return text_digest([content_digest(file), files_digest(images, named)])

    def load(self, split: str) -> CoOpSplitPart:
        """Load one split. Raises DataError for an unknown split or an invalid split file."""
        if split not in SPLITS:
            raise DataError(f"{self.name} has no split '{split}'{did_you_mean(split, SPLITS)}")
        file, images = self._places
        return CoOpSplitPart(
            images, _parse_entries(self._content[split], f"{file}: '{split}'"), self._names, self.name
        )

    @cached_property
    def _places(self) -> tuple[Path, Path]:
        from harness_data.roots import data_root

        if self.split_file is not None and self.images is not None:
            return Path(self.split_file).expanduser(), Path(self.images).expanduser()
        if self.name not in PLACES:
            raise DataError(
                f"coop-split: CoOp has no data set '{self.name}'{did_you_mean(self.name, PLACES)}; "
                "for another one, give split_file and images"
            )
        base = data_root(self.root)
        if base is None and (self.split_file is None or self.images is None):
            raise DataError(
                f"{self.name}: no data root: give --data-root or the option root, or set HARNESS_DATA_ROOT"
            )
        file, images = (base / place for place in PLACES[self.name]) if base else (Path(), Path())
        return Path(self.split_file or file).expanduser(), Path(self.images or images).expanduser()

    @cached_property
    def _content(self) -> dict[str, Any]:
        file = self._places[0]
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{file}: the split can't be read: {error}") from None
        if not isinstance(found, dict) or any(s not in found for s in SPLITS):
            raise DataError(f"{file}: expected an object with the lists train, val and test")
        return found

    @cached_property
    def _names(self) -> list[str]:
        file = self._places[0]
        names: dict[int, str] = {}
        for split in SPLITS:
            for _, label, name in _parse_entries(self._content[split], f"{file}: '{split}'"):
                if names.setdefault(label, name) != name:
                    raise DataError(f"{file}: label {label} is both '{names[label]}' and '{name}'")
        if sorted(names) != list(range(len(names))):
            raise DataError(f"{file}: the labels are not 0 to {len(names) - 1}")
        return [names[label].replace("_", " ") for label in range(len(names))]


class CoOpSplitPart:
    """One split: image files, labels and class names in the order of the split file. Ids are relative paths."""

    def __init__(
        self, folder: Path, entries: Sequence[tuple[str, int, str]], class_names: list[str], name: str
    ) -> None:
        import numpy as np

        from harness_data.coop_templates import COOP_TEMPLATES

        self.folder = folder
        self.ids = [path for path, _, _ in entries]
        self.targets: NDArray[np.int64] = np.array([label for _, label, _ in entries], np.int64)
        self.class_names = class_names
        self.templates = [COOP_TEMPLATES.get(name, "a photo of a {}.")]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        """Read one image. Raises DataError if its file can't be read."""
        path = self.folder / self.ids[index]
        try:
            data = path.read_bytes()
        except OSError as error:
            raise DataError(f"{path}: can't be read ({error.strerror})") from None
        return Sample(self.ids[index], EncodedImage(data, str(path)), int(self.targets[index]))


def _parse_entries(given: Any, where: str) -> list[tuple[str, int, str]]:
    if not isinstance(given, list):
        raise DataError(f"{where}: expected a list of [path, label, class name]")
    for number, entry in enumerate(given):
        good = isinstance(entry, list) and len(entry) == 3
        if not good or not isinstance(entry[1], int) or not all(isinstance(entry[i], str) for i in (0, 2)):
            raise DataError(f"{where}, entry {number}: expected [path, label, class name], found {entry!r}")
        if Path(entry[0]).is_absolute() or ".." in Path(entry[0]).parts:
            raise DataError(f"{where}, entry {number}: the path '{entry[0]}' leaves the folder of images")
    return [(path, label, name) for path, label, name in given]
