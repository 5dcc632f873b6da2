"""The data set `ade20k`: scenes with the 150 classes of the scene parsing benchmark.

Zhou et al., "Scene Parsing through ADE20K Dataset", CVPR 2017.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from harness import DataError
from harness_data.annotation_faults import OnError
from harness_data.roots import resolve_below_root

if TYPE_CHECKING:
    from harness_data.region_split import LabelledImage, RegionSplit

CLASSES = 150
ARCHIVE = "ADEChallengeData2016"
NAMES = "objectInfo150.txt"


class Ade20k:
    """ADE20K's scene parsing: `images/<split>/…` with `annotations/<split>/…` of `ADEChallengeData2016`.

    In the files 0 means another object, which is not counted, and 1 to 150 are the classes, here 0 to 149. Their names
    are the first ones in `objectInfo150.txt`.

    Args:
        path: the folder `ADEChallengeData2016`, or the one that holds it; itself or below $HARNESS_DATA_ROOT.
        on_error: "raise" stops at the first wrong file (values of label maps are checked when they are read); "skip"
            leaves its image out, with a remark, and reads all label maps at once to know.
    """

    target_kind = "masks"
    label_space = "ade20k-150"

    def __init__(self, path: Path, *, on_error: OnError = "raise") -> None:
        """Store the options."""
        self.path = resolve_below_root(path)
        self.on_error = on_error

    @classmethod
    def recognise(cls, path: Path) -> dict[str, Path] | None:
        """Return the options for the benchmark's folder, or None."""
        return {"path": path} if cls(path).unavailable() is None else None

    @property
    def _folder(self) -> Path:
        inner = self.path / ARCHIVE
        return inner if inner.is_dir() else self.path

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits whose folders are there."""
        return tuple(
            split
            for split in ("training", "validation")
            if all((self._folder / kind / split).is_dir() for kind in ("images", "annotations"))
        )

    @cached_property
    def _names(self) -> list[str]:
        from harness_data.class_names import read_lines

        file = self._folder / NAMES
        rows = [line.split("\t") for line in (read_lines(file) or [])[1:]]  # below the header
        found = {row[0].strip(): row[-1].split(",")[0].strip() for row in rows if len(row) > 1}
        names = [found.get(str(number), "") for number in range(1, CLASSES + 1)]
        if len(rows) != CLASSES or len(set(names)) != CLASSES or not all(names):
            raise DataError(
                f"{file}: expected {CLASSES} rows with the number and name of a class each, found {len(rows)} rows"
            )
        return names

    @property
    def class_names(self) -> list[str] | None:
        """The names of the classes, in label order; None if they can't be read."""
        return None if self.unavailable() else self._names

    def unavailable(self) -> str | None:
        """Return why there is nothing to load at the path, or None."""
        if not self.splits or not (self._folder / NAMES).is_file():
            return (
                f"{self._folder}: no images/validation with annotations/validation and {NAMES}; get {ARCHIVE}.zip "
                "from the MIT scene parsing benchmark and unpack it there"
            )
        try:
            self._names  # noqa: B018 (reads the file, once)
        except DataError as error:
            return str(error)
        return None

    def fingerprint(self) -> str:
        """Return a digest of the class names, and of the images and label maps of all splits."""
        from harness import content_digests
        from harness_data.digests import text_digest

        parts: list[object] = [*self._names]
        for split in self.splits:
            pairs = self._pair(split)[0]
            files = [file for pair in pairs for file in (pair.image, pair.labels)]
            parts += [split, *(pair.id for pair in pairs), *content_digests(files)]
        return text_digest(parts)

    def load(self, split: str) -> RegionSplit:
        """List one split and check the headers; pixels are read on access.

        Raises DataError, naming the file, for a missing label map, and one of another size or kind.
        """
        from harness_data.annotation_faults import AnnotationFaults
        from harness_data.label_maps import make_label_table
        from harness_data.region_split import RegionSplit
        from harness_data.scanning import check_split

        if missing := self.unavailable():
            raise DataError(missing)
        check_split(split, self.splits, str(self.path))
        table = make_label_table(list(range(1, CLASSES + 1)), 0, "ade20k")
        pairs, remarks = self._pair(split)
        faults, where = AnnotationFaults(self.on_error), str(self._folder / "images" / split)
        return RegionSplit(pairs, self._names, table, faults, where, remarks=remarks)

    def _pair(self, split: str) -> tuple[list[LabelledImage], list[str]]:
        from harness_data.region_files import pair_label_maps

        return pair_label_maps(
            self._folder / "images" / split, self._folder / "annotations" / split, lambda name: name
        )
