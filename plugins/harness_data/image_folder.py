"""The data set `imagefolder`: one folder per class, with or without a folder per split above."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from harness import DataError
from harness.errors import did_you_mean
from harness_data.folder_layout import (
    LAYOUTS,
    DetectedLayout,
    Layout,
    Order,
    detect_layout,
    find_spellings,
    note_class_order,
    note_crossed_names,
    note_spellings,
    sort_classes,
)
from harness_data.roots import resolve_below_root

if TYPE_CHECKING:
    from harness_data.leftovers import SplitSurvey
    from harness_data.scanning import FolderSplit, ImageListing


class ImageFolder:
    """Images in `<path>/<split>/<class>/…` or, with a single split `test`, `<path>/<class>/…`.

    Labels number the class folders of all splits together in natural order (`2` before `10`), so a class
    missing from one split shifts no label; an empty class folder keeps its label. Folders spelled differently
    in two splits (`Cat`, `cat`, other code points) are one class, with a remark. Images are what Pillow
    decodes, recognised by suffix or else by their first bytes; other files are counted in a remark, and what
    systems leave behind (`@eaDir`, `__MACOSX`, `Thumbs.db`) is neither class nor image. Ids are paths
    relative to the split's folder.

    Args:
        path: the folder of the split folders or class folders, itself or below $HARNESS_DATA_ROOT.
        layout: `<split>/<class>/…` (`splits`) or `<class>/…` (`flat`); `auto` takes folders of folders
            for splits if some have a split's name (`train`, `valid`, `Test`, …).
        order: of the class folders: `natural`, or by code point (`lexicographic`) like torchvision's
            ImageFolder; by default natural, with a remark if the two differ and it matters.
        classes: the class folders in label order (list, or file with one per line); any other folder is
            an error.
        class_names: names for prompts, one per class (list, text file, or JSON file mapping folder to name).
        templates: zero-shot prompts with `{}` for the class name, as a list or in a file.
        label_space: the output space of supervised classifiers for these labels.
    """

    def __init__(
        self,
        path: Path,
        *,
        layout: Layout = "auto",
        order: Order | None = None,
        classes: list[str] | Path | None = None,
        class_names: list[str] | Path | None = None,
        templates: list[str] | Path | None = None,
        label_space: str | None = None,
    ) -> None:
        """Store the options."""
        self.path = resolve_below_root(path)
        self.layout = layout
        self.order = order
        self.classes = classes
        self.names = class_names
        self.templates = templates
        self.label_space = label_space
        self._surveys: dict[str, SplitSurvey] = {}

    @classmethod
    def recognise(cls, path: Path) -> dict[str, Path] | None:
        """Return the options for a folder with images in folders, or in folders of folders, or None."""
        from harness_data.awa2 import AwA2
        from harness_data.scanning import has_images, list_subfolders
        from harness_data.tiny_imagenet import find_annotated_images

        if find_annotated_images(path) or AwA2.recognise(path):
            return None
        folders = [path / name for name in list_subfolders(path)] if path.is_dir() else []
        inner = (folder / name for folder in folders for name in list_subfolders(folder))
        return {"path": path} if any(map(has_images, [*folders, *inner])) else None

    def unavailable(self) -> str | None:
        """Return why the folder can't be used (missing, not a folder, ambiguous layout), or None."""
        from harness_data.tiny_imagenet import find_annotated_images

        if not self.path.exists():
            return f"{self.path}: no such folder; expected one with {LAYOUTS} in it"
        if not self.path.is_dir():
            return f"{self.path}: is a file, expected a folder of class folders"
        if annotated := find_annotated_images(self.path):
            return f"{annotated}: lies beside val_annotations.txt, which has the labels, and is no class: use tiny-imagenet"
        return self._arrangement.refusal

    @property
    def class_names(self) -> list[str]:
        """Names for prompts, in label order."""
        from harness_data.class_names import resolve_class_names

        return resolve_class_names(self.names, self._classes, str(self.path))

    @property
    def class_keys(self) -> list[str]:
        """The class folders, in label order."""
        return list(self._classes)

    @property
    def class_order(self) -> str:
        """A note on the order of the classes if the user chose none and torchvision's differs."""
        return note_class_order(self._classes) if self.order is None and self.classes is None else ""

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of the split folders, or `test` alone; empty when the folder can't be used."""
        return tuple(self._split_folders)

    def fingerprint(self) -> str:
        """Return a digest of the images' relative paths and content, the class names and the templates."""
        from harness_data.class_names import read_templates
        from harness_data.digests import files_digest, text_digest

        parts: list[object] = [*self._classes, *self.class_names]
        parts += read_templates(self.templates) or []
        for split in self.splits:
            paths = self._scan_split(split).paths
            parts += [split, files_digest(self._split_folders[split], paths)]
        return text_digest(parts)

    @cached_property
    def remarks(self) -> list[str]:
        """Remarks on doubtful splits, unused files, and classes without an image."""
        from harness_data.leftovers import note_unused_files

        if not self.splits:
            return []
        for split in self.splits:
            if split not in self._surveys:  # else `fingerprint` has scanned it already
                self._scan_split(split)
        unused = note_unused_files(
            self.path,
            self._split_folders,
            self._surveys,
            self._classes,
            [*self._spellings, *self._arrangement.left_out],
        )
        spelled = note_spellings(self._folders_of_splits, self._spellings)
        listed = self.names is not None and not (
            isinstance(self.names, Path) and self.names.suffix == ".json"
        )
        crossed = note_crossed_names(self._classes, self.class_names) if listed else []
        return [*self._arrangement.remarks, *spelled, *crossed, *unused]

    def load(self, split: str) -> FolderSplit:
        """List one split.

        Raises DataError for an unknown split, a folder outside `classes`, or no images at all.
        """
        from harness_data.class_names import read_templates
        from harness_data.scanning import FolderSplit, check_split

        if missing := self.unavailable():
            raise DataError(missing)
        check_split(split, self.splits, str(self.path))
        folder = self._split_folders[split]
        templates = read_templates(self.templates)
        return FolderSplit(folder, self._scan_split(split), self.class_names, templates)

    def _scan_split(self, split: str) -> ImageListing:
        """List the images of a split, and keep what else lies there for `remarks`."""
        from harness_data.leftovers import SplitSurvey
        from harness_data.scanning import scan_class_folders

        listing = scan_class_folders(self._split_folders[split], self._labels)
        self._surveys[split] = SplitSurvey(len(listing), frozenset(listing.labels), listing.left)
        return listing

    @cached_property
    def _arrangement(self) -> DetectedLayout:
        return detect_layout(self.path, self.layout)

    @property
    def _split_folders(self) -> dict[str, Path]:
        return {} if self.unavailable() else self._arrangement.splits

    @cached_property
    def _classes(self) -> list[str]:
        from harness_data.class_names import read_lines
        from harness_data.file_names import is_plain_name

        found = {name: split for split, names in self._folders_of_splits.items() for name in names}
        if not found:
            raise DataError(f"{self.path}: no class folders; expected {LAYOUTS} in it")
        listed = read_lines(self.classes)
        if listed is None:
            return sort_classes(found.keys() - self._spellings.keys(), self.order or "natural")
        if strange := [c for c in listed if not is_plain_name(c)]:
            raise DataError(f"{self.path}: class '{strange[0]}' can't be the name of a class folder")
        if repeated := next((c for c in listed if listed.count(c) > 1), None):
            raise DataError(f"{self.path}: class '{repeated}' is listed twice")
        for name in sorted(found):
            if name not in listed:
                place = self._split_folders[found[name]] / name
                hint = did_you_mean(name, listed)
                raise DataError(f"{place}: '{name}' is not in the list of classes{hint}")
        return listed

    @cached_property
    def _folders_of_splits(self) -> dict[str, list[str]]:
        """The class folders of each split."""
        from harness_data.scanning import list_subfolders

        return {split: list_subfolders(folder) for split, folder in self._split_folders.items()}

    @cached_property
    def _spellings(self) -> dict[str, str]:
        """Class folders that respell another split's, with its spelling; empty if the user lists the classes."""
        return find_spellings(self._folders_of_splits) if self.classes is None else {}

    @property
    def _labels(self) -> dict[str, int]:
        labels = {name: label for label, name in enumerate(self._classes)}
        return labels | {name: labels[first] for name, first in self._spellings.items()}
