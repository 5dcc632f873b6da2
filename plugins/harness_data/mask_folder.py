"""The data set `mask-folder`: images, and label maps of the same names in another folder."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from harness import DataError, OptionError
from harness.inference.splits import role_of
from harness_data.annotation_faults import OnError
from harness_data.file_names import is_plain_name
from harness_data.image_views import ExifPolicy
from harness_data.roots import resolve_below_root

if TYPE_CHECKING:
    from harness_data.label_maps import LabelTable
    from harness_data.region_split import LabelledImage, RegionSplit

CLASS_FILE = "classes.txt"


class MaskFolder:
    """Images in `<images>/<split>/…` with label maps in `<masks>/<split>/…`, or the same as `<split>/<images>/…`; without
    folders of splits, all are the split `test`.

    A label map is a palette or grey file, whose values (not colours) are classes. Ids are paths below the images' folder.

    Args:
        path: the folder of both, itself or below $HARNESS_DATA_ROOT.
        classes: names of the classes (list, or file with one per line); by default the folder's `classes.txt`.
        images: name of the images' folder, which may be of several parts.
        masks: name of the label maps' folder.
        mask_suffix: what a label map's name has more than its image's, such as "_mask".
        values: the value in the files of each class; by default 0, 1, ….
        ignored: the value of pixels that are not counted; None if all are.
        exif: whether an image's EXIF orientation is "ignored", or "applied" to its pixels, for masks that count in that
            view.
        on_error: "raise" stops at the first wrong file (values of label maps are checked when they are read); "skip"
            leaves its image out, with a remark, and reads all label maps at once to know.
    """

    target_kind = "masks"

    def __init__(
        self,
        path: Path,
        *,
        classes: list[str] | Path | None = None,
        images: str = "images",
        masks: str = "masks",
        mask_suffix: str = "",
        values: list[int] | None = None,
        ignored: int | None = 255,
        exif: ExifPolicy = "ignored",
        on_error: OnError = "raise",
    ) -> None:
        """Store the options. Raises OptionError for folders that are no names."""
        self.path = resolve_below_root(path)
        for name, value in (("images", images), ("masks", masks)):
            if not all(map(is_plain_name, value.split("/"))):
                raise OptionError(
                    f"mask-folder: {name} should be a folder's name below the path, not '{value}'"
                )
        self.classes, self.images, self.masks, self.mask_suffix = classes, images, masks, mask_suffix
        self.values, self.ignored, self.exif, self.on_error = values, ignored, exif, on_error

    @classmethod
    def recognise(cls, path: Path) -> dict[str, Path] | None:
        """Return the options for a folder with `images`, `masks` and `classes.txt`, or None."""
        whole = path.is_dir() and (path / CLASS_FILE).is_file()
        return {"path": path} if whole and cls(path).splits else None

    @cached_property
    def class_names(self) -> list[str]:
        """The names of the classes, in label order. Raises DataError if there is no list, or a name is repeated."""
        from harness_data.class_names import read_lines

        given = self.path / CLASS_FILE if self.classes is None else self.classes
        names = read_lines(given) or []
        if not names or len(set(names)) < len(names):
            twice = next((name for name in names if names.count(name) > 1), None)
            where = given if isinstance(given, Path) else "classes"
            raise DataError(
                f"{where}: " + (f"class '{twice}' is listed twice" if twice else "lists no classes")
            )
        return names

    @cached_property
    def _folders(self) -> dict[str, tuple[Path, Path]]:
        """The folders of images and label maps of each split."""
        from harness_data.scanning import list_subfolders

        images, masks = self.path / self.images, self.path / self.masks
        if images.is_dir():
            inner = [name for name in list_subfolders(images) if role_of(name)]
            return {s: (images / s, masks / s) for s in inner} or {"test": (images, masks)}
        places = {p.name: (p / self.images, p / self.masks) for p in self.path.glob("*") if p.is_dir()}
        return {split: places[split] for split in sorted(places) if places[split][0].is_dir()}

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of the splits' folders, or `test` alone."""
        return tuple(self._folders)

    def unavailable(self) -> str | None:
        """Return why there is nothing to load at the path, or None."""
        if not self._folders:
            return f"{self.path}: no folder '{self.images}', nor '<split>/{self.images}'; options name others"
        for images, masks in self._folders.values():
            if not masks.is_dir():
                return f"{masks}: no such folder, for the label maps of {images}"
        try:
            self._table  # noqa: B018 (reads the class list, once)
        except DataError as error:
            return f"{error}; give the classes' names as `classes`, or in {CLASS_FILE}"
        return None

    @cached_property
    def _table(self) -> LabelTable:
        from harness_data.label_maps import make_label_table

        names = self.class_names
        values = list(range(len(names))) if self.values is None else self.values
        if len(values) != len(names):
            raise OptionError(f"mask-folder: values lists {len(values)}, there are {len(names)} classes")
        return make_label_table(values, self.ignored, "mask-folder")

    def fingerprint(self) -> str:
        """Return a digest of the class names, and of the images and label maps of all splits."""
        from harness import content_digests
        from harness_data.digests import text_digest

        parts: list[object] = [*self.class_names]
        for split in self.splits:
            pairs = self._pair(split)[0]
            files = [file for pair in pairs for file in (pair.image, pair.labels)]
            parts += [split, *(pair.id for pair in pairs), *content_digests(files)]
        return text_digest(parts)

    def load(self, split: str) -> RegionSplit:
        """List one split and check the headers; pixels are read on access.

        Raises DataError, naming the file, for an image without a label map, and one of another size or kind.
        """
        from harness_data.annotation_faults import AnnotationFaults
        from harness_data.region_split import RegionSplit
        from harness_data.scanning import check_split

        if missing := self.unavailable():
            raise DataError(missing)
        check_split(split, self.splits, str(self.path))
        pairs, remarks = self._pair(split)
        faults, where = AnnotationFaults(self.on_error), str(self._folders[split][0])
        return RegionSplit(
            pairs, self.class_names, self._table, faults, where, exif=self.exif, remarks=remarks
        )

    def _pair(self, split: str) -> tuple[list[LabelledImage], list[str]]:
        from harness_data.region_files import pair_label_maps

        return pair_label_maps(*self._folders[split], lambda name: name + self.mask_suffix)
