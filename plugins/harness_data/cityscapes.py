"""The data set `cityscapes`: street scenes with the 19 classes that the benchmark evaluates.

Cordts et al., "The Cityscapes Dataset for Semantic Urban Scene Understanding", CVPR 2016.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness import DataError
from harness_data.annotation_faults import OnError
from harness_data.roots import resolve_below_root

if TYPE_CHECKING:
    from harness_data.region_split import LabelledImage, RegionSplit

TRAIN_IDS = {
    7: "road", 8: "sidewalk", 11: "building", 12: "wall", 13: "fence", 17: "pole", 19: "traffic light",
    20: "traffic sign", 21: "vegetation", 22: "terrain", 23: "sky", 24: "person", 25: "rider", 26: "car", 27: "truck",
    28: "bus", 31: "train", 32: "motorcycle", 33: "bicycle",
}  # fmt: skip
"""The evaluated classes in label order, by the id that they have in the files."""

LAST_ID = 33
IMAGES, FINE = "leftImg8bit", "gtFine"


class Cityscapes:
    """Cityscapes' fine annotations: `leftImg8bit/<split>/<city>/…` with `gtFine/<split>/<city>/…_labelIds.png`.

    Of the 34 ids, the 19 evaluated ones are labels, in the order of their train ids; pixels of the others are not
    counted. The test split's annotations are not public, so that there are `train` and `val`.

    Args:
        path: the folder of both, itself or below $HARNESS_DATA_ROOT.
        on_error: "raise" stops at the first wrong file (values of label maps are checked when they are read); "skip"
            leaves its image out, with a remark, and reads all label maps at once to know.
    """

    target_kind = "masks"
    label_space = "cityscapes-19"
    class_names = tuple(TRAIN_IDS.values())

    def __init__(self, path: Path, *, on_error: OnError = "raise") -> None:
        """Store the options."""
        self.path = resolve_below_root(path)
        self.on_error = on_error

    @classmethod
    def recognise(cls, path: Path) -> dict[str, Path] | None:
        """Return the options for a folder of Cityscapes' layout, or None."""
        return {"path": path} if cls(path).splits else None

    @property
    def splits(self) -> tuple[str, ...]:
        """The public splits whose folders are there."""
        return tuple(
            split
            for split in ("train", "val")
            if all((self.path / f / split).is_dir() for f in (IMAGES, FINE))
        )

    def unavailable(self) -> str | None:
        """Return why there is nothing to load at the path, or None."""
        if self.splits:
            return None
        return (
            f"{self.path}: no {IMAGES}/val with {FINE}/val; get leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip "
            "from cityscapes-dataset.com and unpack them there"
        )

    def fingerprint(self) -> str:
        """Return a digest of the images and label maps of all splits."""
        from harness import content_digests
        from harness_data.digests import text_digest

        parts: list[object] = []
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
        from harness_data.label_maps import UNCOUNTED, LabelTable
        from harness_data.region_split import RegionSplit
        from harness_data.scanning import check_split

        if missing := self.unavailable():
            raise DataError(missing)
        check_split(split, self.splits, str(self.path))
        table = dict.fromkeys(range(LAST_ID + 1), UNCOUNTED)
        table |= {identity: label for label, identity in enumerate(TRAIN_IDS)}
        pairs, remarks = self._pair(split)
        faults, where = AnnotationFaults(self.on_error), str(self.path / IMAGES / split)
        return RegionSplit(pairs, self.class_names, LabelTable(table), faults, where, remarks=remarks)

    def _pair(self, split: str) -> tuple[list[LabelledImage], list[str]]:
        """Return the images with their label maps; the folder of annotations holds three other files of each."""
        from harness_data.region_split import LabelledImage
        from harness_data.scanning import scan_folder

        ending = f"_{IMAGES}.png"
        images, labels = self.path / IMAGES / split, self.path / FINE / split
        names = scan_folder(images).paths
        scenes = [name.removesuffix(ending) for name in names if name.endswith(ending)]
        other = len(names) - len(scenes)
        remarks = [f"{other} of {len(names)} images are not named …{ending} and left out"] if other else []
        pairs = [
            LabelledImage(scene, images / f"{scene}{ending}", labels / f"{scene}_{FINE}_labelIds.png")
            for scene in scenes
        ]
        return pairs, remarks
