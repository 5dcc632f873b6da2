"""The data set `awa2`: Animals with Attributes 2, 50 classes that 85 attributes describe."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness import DataError, Unavailable, did_you_mean
from harness_data.roots import find_data

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness_data.described_split import ClassTable, DescribedSplit
    from harness_data.proposed_split import ProposedSplit
    from harness_data.scanning import ImageListing

PLACES = tuple(f"{folder}classes.txt" for folder in ("Animals_with_Attributes2/", "AwA2/", "awa2/", ""))
HOW_TO_GET = (
    "get AwA2-base.zip and AwA2-data.zip (cvml.ista.ac.at/AwA2) and unpack them to Animals_with_Attributes2/"
)
PROPOSED = ("xlsa17/data/AWA2/att_splits.mat", "AWA2/att_splits.mat", "att_splits.mat")
HOW_TO_GET_PROPOSED = (
    "get xlsa17.zip (Xian et al., Max Planck Institute for Informatics) and unpack it to xlsa17/data/AWA2/, "
    "with att_splits.mat and res101.mat"
)
FILES = (
    "classes.txt", "predicates.txt", "predicate-matrix-binary.txt", "predicate-matrix-continuous.txt",
    "trainclasses.txt", "testclasses.txt",
)  # fmt: skip
IMAGES = "JPEGImages"


class AwA2:
    """Animals with Attributes 2 (Xian, Lampert, Schiele, Akata, TPAMI 2018): 37,322 images of 50 classes.

    Each class has 85 attributes: binary, and as strengths of which those that are −1 in the file are missing (NaN).
    Labels number classes.txt. The standard split has 40 classes to learn from and 10 to test on; several of these are
    among ImageNet's, which most networks are pretrained on. The proposed split has 10 others that are not, and held-out
    images of the seen classes, which the generalised setting needs. Ids are paths below JPEGImages.

    Args:
        root: the folder that holds `Animals_with_Attributes2`, or that folder itself; by default $HARNESS_DATA_ROOT.
        split: `standard` (trainclasses.txt and testclasses.txt), or `proposed` (xlsa17's att_splits.mat and
            res101.mat).
    """

    def __init__(
        self, root: Path | None = None, *, split: Literal["standard", "proposed"] = "standard"
    ) -> None:
        self.root, self.split = root, split
        seen = ("test-seen",) if split == "proposed" else ()
        self.splits: Sequence[str] = ("train", *seen, "test-unseen")

    @classmethod
    def recognise(cls, path: Path) -> dict[str, Path] | None:
        """Return the options for the folder that the archives unpack to, or None."""
        own = all((path / name).is_file() for name in FILES) and (path / IMAGES).is_dir()
        return {"root": path} if own else None

    def unavailable(self) -> str | None:
        """Return why it can't be used here and how to get it, or None."""
        try:
            folder = self._folder
            splits = self._proposed_files if self.split == "proposed" else ()
        except Unavailable as missing:
            return str(missing)
        for name in (*FILES, IMAGES):
            if not (folder / name).exists():
                return f"{folder / name}: is missing; {HOW_TO_GET}"
        for file in splits:
            if not file.exists():
                return f"{file}: is missing; {HOW_TO_GET_PROPOSED}"
        return None

    @property
    def class_keys(self) -> list[str] | None:
        """The class folders, such as `polar+bear`, in label order; None where the data set is missing."""
        from harness_data.awa2_files import read_class_folders

        return None if self.unavailable() else read_class_folders(self._folder / "classes.txt")

    @property
    def class_names(self) -> list[str] | None:
        """The names of the classes, such as `polar bear`, in label order; None where the data set is missing."""
        keys = self.class_keys
        return None if keys is None else [key.replace("+", " ") for key in keys]

    @property
    def remarks(self) -> list[str]:
        """A remark on the standard split, and one on missing strengths."""
        if self.unavailable():
            return []
        import numpy as np

        table = self._read_table()
        said = []
        if self.split == "standard":
            said.append(
                "the standard split: some of its unseen classes are among ImageNet's, so that networks pretrained on "
                'ImageNet have seen them, and there is no test of seen classes: split = "proposed" has neither fault '
                "(Xian et al., CVPR 2017)"
            )
        if missing := int(np.isnan(table.strengths).sum()):
            are = "strength is" if missing == 1 else "strengths are"
            said.append(f"{missing} of {table.strengths.size} {are} missing (-1), and not a number here")
        return said

    def fingerprint(self) -> str:
        """Return a digest of the lists, and of the images' paths and content."""
        from harness_data.digests import files_digest, text_digest

        if self.unavailable():
            return "absent"
        folder = self._folder
        parts = [files_digest(folder, FILES), files_digest(folder / IMAGES, self._list_images().paths)]
        if self.split == "proposed":
            place = self._proposed_files[0].parent
            parts.append(files_digest(place, [file.name for file in self._proposed_files]))
        return text_digest(parts)

    def load(self, split: str) -> DescribedSplit:
        """List one split.

        Raises Unavailable if the data set is missing, DataError for an unknown split, files that can't be understood or
        contradict each other, and an incomplete copy: a class without images, or a listed image that is missing.
        """
        from harness_data.described_split import DescribedSplit
        from harness_data.scanning import check_split

        check_split(split, self.splits, "awa2")
        if problem := self.unavailable():
            raise Unavailable(problem)
        table, images = self._read_table(), self._list_images()
        listing, remarks = images, images.remarks
        if self.split == "proposed":
            listing, more = self._choose_proposed(images, split)
            remarks = [*remarks, *more]
        else:
            wanted = split == "test-unseen"
            listing = _take(
                images, [n for n, label in enumerate(images.labels) if table.unseen[label] == wanted]
            )
        return DescribedSplit(self._folder / IMAGES, listing, table, remarks)

    def _read_table(self) -> ClassTable:
        from harness_data.awa2_files import (
            read_binary,
            read_class_folders,
            read_numbered_names,
            read_strengths,
        )
        from harness_data.described_split import ClassTable

        folder = self._folder
        keys = read_class_folders(folder / "classes.txt")
        attributes = read_numbered_names(folder / "predicates.txt")
        return ClassTable(
            keys,
            [key.replace("+", " ") for key in keys],
            attributes,
            read_strengths(folder / "predicate-matrix-continuous.txt", keys, attributes),
            read_binary(folder / "predicate-matrix-binary.txt", keys, attributes),
            self._read_unseen(keys),
        )

    def _read_unseen(self, keys: Sequence[str]) -> NDArray[np.bool_]:
        from harness_data.awa2_files import read_unseen

        if self.split == "proposed":
            return self._proposed.unseen
        return read_unseen(self._folder / "trainclasses.txt", self._folder / "testclasses.txt", keys)

    def _list_images(self) -> ImageListing:
        """Return the images of all classes."""
        from harness_data.awa2_files import read_class_folders
        from harness_data.scanning import list_subfolders, scan_class_folders

        folder = self._folder / IMAGES
        labels = {key: n for n, key in enumerate(read_class_folders(self._folder / "classes.txt"))}
        if foreign := next((name for name in list_subfolders(folder) if name not in labels), None):
            raise DataError(
                f"{folder / foreign}: is not a class of classes.txt{did_you_mean(foreign, labels)}"
            )
        images = scan_class_folders(folder, labels)
        filled = {*images.labels}
        if empty := next((name for name, label in labels.items() if label not in filled), None):
            raise DataError(
                f"{folder / empty}: no images of class '{empty}', which classes.txt lists; unpack the archives again"
            )
        return images

    def _choose_proposed(self, images: ImageListing, split: str) -> tuple[ImageListing, list[str]]:
        """Return the images of a split, and a remark on those of none."""
        proposed = self._proposed
        places = {path: n for n, path in enumerate(images.paths)}
        wanted = proposed.images[split]
        if missing := [path for path in wanted if path not in places]:
            raise DataError(
                f"{self._folder / IMAGES / missing[0]}: is missing, as {len(missing)} of the {len(wanted)} images of "
                f"'{split}' are; unpack the archives again"
            )
        used = {path for own in proposed.images.values() for path in own}
        unused = [path for path in images.paths if path not in used]
        remarks = []
        if unused:
            are = "image is" if len(unused) == 1 else "images are"
            remarks.append(
                f"{len(unused)} of {len(images)} {are} in no part of the proposed split (first: {unused[0]})"
            )
        return _take(images, sorted(places[path] for path in wanted)), remarks

    @property
    def _folder(self) -> Path:
        return find_data(self.root, PLACES, HOW_TO_GET).parent

    @cached_property
    def _proposed(self) -> ProposedSplit:
        from harness_data.awa2_files import read_class_folders
        from harness_data.proposed_split import read_proposed_split

        return read_proposed_split(*self._proposed_files, read_class_folders(self._folder / "classes.txt"))

    @property
    def _proposed_files(self) -> tuple[Path, Path]:
        """The files with the split, and with the list of images that its numbers are places in."""
        splits = find_data(self.root, (*PROPOSED, f"../{PROPOSED[0]}"), HOW_TO_GET_PROPOSED)
        return splits, splits.with_name("res101.mat")


def _take(images: ImageListing, rows: Sequence[int]) -> ImageListing:
    """Return some of the images, in order."""
    from harness_data.scanning import ImageListing

    paths, sizes, labels = images.paths, images.sizes, images.labels
    return ImageListing([paths[n] for n in rows], [sizes[n] for n in rows], [labels[n] for n in rows])
