"""The data set `voc2007`: PASCAL VOC 2007 images with one or more of twenty classes each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness import DataError, EncodedImage, OptionError, Sample, Unavailable
from harness.errors import did_you_mean
from harness_data.roots import data_path

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
_TARGETS = {"1": 1, "-1": 0, "0": -1}
"""Targets of the development kit's marks: present, absent, and difficult (−1, not counted)."""


class VOC2007Split:
    """One split. `targets` N×20: 1 present, 0 absent, −1 difficult. Ids are image numbers."""

    class_names = CLASSES

    def __init__(self, base: Path, split: str) -> None:
        import numpy as np

        lists = base / "ImageSets" / "Main"
        self._images = base / "JPEGImages"
        self.ids: Sequence[str] = [line[0] for line in _read_words(lists / f"{split}.txt", 1)]
        columns = []
        for name in CLASSES:
            file = lists / f"{name}_{split}.txt"
            marks: dict[str, str] = dict(_read_words(file, 2))
            if missing := [i for i in self.ids if i not in marks]:
                raise DataError(f"{file}: has no line for image '{missing[0]}'")
            if wrong := [m for m in marks.values() if m not in _TARGETS]:
                raise DataError(f"{file}: expected 1, 0 or -1, found '{wrong[0]}'")
            columns.append([_TARGETS[marks[i]] for i in self.ids])
        self.targets: NDArray[np.int64] = np.asarray(columns, np.int64).T.reshape(len(self.ids), len(CLASSES))

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        file = self._images / f"{self.ids[index]}.jpg"
        try:
            return Sample(self.ids[index], EncodedImage(file.read_bytes(), str(file)))
        except OSError as error:
            raise DataError(f"{file}: can't be read: {error.strerror}") from None


class VOC2007:
    """PASCAL VOC 2007 classification, several labels per image (Everingham et al. 2010).

    Args:
        root: the folder that holds `VOCdevkit/VOC2007`, as the archives unpack; by default
            $HARNESS_DATA_ROOT.
    """

    splits: Sequence[str] = ("train", "val", "test")
    target_kind = "label sets"
    label_space = "voc-2007"

    def __init__(self, root: Path | None = None) -> None:
        self.root = root

    def fingerprint(self) -> str:
        """Return a digest of the lists and of the images that they name."""
        from harness_data.digests import files_digest

        base = data_path(self.root, "VOCdevkit", "VOC2007")
        assert base is not None  # else `unavailable` has said so
        lists = base / "ImageSets" / "Main"
        names = [
            f"ImageSets/Main/{kind}{s}.txt" for s in self.splits for kind in ("", *(f"{c}_" for c in CLASSES))
        ]
        ids = [line[0] for s in self.splits for line in _read_words(lists / f"{s}.txt", 1)]
        return files_digest(base, [*names, *(f"JPEGImages/{i}.jpg" for i in ids)])

    def unavailable(self) -> str | None:
        """Return why it can't be loaded here and how to get it, or None."""
        base = data_path(self.root, "VOCdevkit", "VOC2007")
        if base is None:
            return "voc2007: no data root: give --data-root or the option root, or set HARNESS_DATA_ROOT"
        if all((base / "ImageSets" / "Main" / f"{split}.txt").is_file() for split in self.splits):
            return None
        return (
            f"voc2007: {base} with the lists of train, val and test not found; unpack VOCtrainval_06-Nov-2007.tar and "
            "VOCtest_06-Nov-2007.tar there (torchvision.datasets.VOCDetection fetches them with download=True)"
        )

    def load(self, split: str) -> VOC2007Split:
        """Read the lists of one split. Raises OptionError for an unknown one, Unavailable without the data."""
        if split not in self.splits:
            raise OptionError(f"voc2007: no split '{split}'{did_you_mean(split, self.splits)}")
        if problem := self.unavailable():
            raise Unavailable(problem)
        base = data_path(self.root, "VOCdevkit", "VOC2007")
        assert base is not None
        return VOC2007Split(base, split)


def _read_words(file: Path, words: int) -> list[list[str]]:
    """Return the lines of a list as words. Raises DataError unless each has `words` of them."""
    try:
        found = [line.split() for line in file.read_text(encoding="ascii").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: can't be read: {error}") from None
    if wrong := [line for line in found if len(line) != words]:
        raise DataError(f"{file}: expected {words} words on each line, found '{' '.join(wrong[0])}'")
    return found
