"""YOLO's `data.yaml` and label files: which images belong to a split, and what a line says."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import DataError
from harness_data.image_files import IMAGE_SUFFIXES, suffix_of
from harness_data.numbers_in_text import parse_number

if TYPE_CHECKING:
    from harness_data.object_split import AnnotatedObject

BOX_NUMBERS = 5
PIXELS = 1.5
"""A number beyond it is no rounded fraction of a side."""
CLASS_LIST = "classes.txt"
"""What labelling tools write beside label files."""
SPLITS = ("train", "val", "test")


class YoloConfiguration:
    """A `data.yaml`: the class names, and for each split its image folders or lists of images."""

    def __init__(self, path: Path) -> None:
        """Read the file. Raises DataError, naming it, if it is no such file."""
        import yaml

        self.path = path
        try:
            found = yaml.safe_load(path.read_bytes())
        except OSError as error:
            raise DataError(f"{path}: can't be read ({error.strerror})") from None
        except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that does not exist
            raise DataError(f"{path}: not valid YAML ({' '.join(str(error).split())})") from None
        if not isinstance(found, dict):
            raise DataError(
                f"{path}: expected keys such as `val` and `names`, found a {type(found).__name__}"
            )
        self.class_names = _read_names(found, path)
        self._places = {s: _list_texts(found[s], f"{path}: `{s}`") for s in SPLITS if found.get(s)}
        if not self._places:
            raise DataError(f"{path}: names no images: expected `train`, `val` or `test`")
        stated = found.get("path") or "."
        if not isinstance(stated, str):
            raise DataError(f"{path}: `path` should be a text, found {str(stated)[:40]!r}")
        below = path.parent / stated
        self.root = below if below.is_dir() else path.parent  # written for the folder of another machine

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that have images."""
        return tuple(self._places)

    def list_images(self, split: str) -> list[Path]:
        """Return a split's image files, sorted within each folder. Raises DataError for a folder or list that is missing."""
        from harness_data.scanning import scan_folder

        found: dict[Path, None] = {}
        for entry in self._places[split]:
            place = self._find(entry, self.root, self.path.parent)
            if place is None:
                raise DataError(f"{self.path}: `{split}`: no {entry} below {self.root}")
            if place.is_dir():
                found |= dict.fromkeys(place / name for name in scan_folder(place).paths)
            elif suffix_of(place.name) in IMAGE_SUFFIXES:
                found[place] = None
            else:
                found |= dict.fromkeys(self._read_list(place))
        return list(found)

    def list_leftover_labels(self, split: str) -> list[Path]:
        """Return label files that belong to no image of a split's folders, sorted; `classes.txt` is none."""
        folders = [self._find(entry, self.root, self.path.parent) for entry in self._places[split]]
        found = {
            file
            for folder in folders
            if folder is not None and folder.is_dir()
            for file in self.label_file(folder / "any.png").parent.rglob("*.txt")
            if file.name != CLASS_LIST
        }
        return sorted(found - set(map(self.label_file, self.list_images(split)))) if found else []

    def _read_list(self, file: Path) -> list[Path]:
        try:
            lines = file.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"{file}: can't be read ({error})") from None
        stated = [line.strip() for line in lines if line.strip()]
        return [self._find(line, file.parent, self.root) or file.parent / line for line in stated]

    @staticmethod
    def _find(entry: str, *roots: Path) -> Path | None:
        """Return the first place of an entry that is there; exports write `../val/images` for `val/images`."""
        places = [root / name for name in (entry, entry.removeprefix("../")) for root in roots]
        return next((place for place in places if place.exists()), None)

    def name_of(self, image: Path) -> str:
        """Return an image's path as its id: below the root, if it lies there."""
        for folder in (self.root, self.path.parent):
            if image.is_relative_to(folder):
                return image.relative_to(folder).as_posix()
        return image.as_posix()

    def label_file(self, image: Path) -> Path:
        """Return where an image's labels are: under `labels` in place of the last `images`, else beside it."""
        parts = list(Path(self.name_of(image)).with_suffix(".txt").parts)
        places = [n for n, part in enumerate(parts[:-1]) if part == "images"]
        if not places:
            return image.with_suffix(".txt")
        base = image.parents[len(parts) - 1] if len(parts) <= len(image.parents) else Path()
        parts[places[-1]] = "labels"
        return base.joinpath(*parts)


def _read_names(found: dict[str, Any], path: Path) -> list[str]:
    names = found.get("names")
    if isinstance(names, dict):
        if sorted(names, key=str) != sorted(range(len(names)), key=str):
            raise DataError(
                f"{path}: `names` should be numbered 0 to {len(names) - 1}, found {list(names)[:5]}"
            )
        names = [names[n] for n in range(len(names))]
    if not isinstance(names, list) or not names:
        raise DataError(f"{path}: `names` should list the classes, found {str(names)[:40]!r}")
    for number, name in enumerate(names):
        if not isinstance(name, str) or not name.strip():
            raise DataError(f"{path}: name {number} should be a text, found {name!r}: put it in quotes")
        if name in names[:number]:
            raise DataError(f"{path}: name '{name}' is of two classes, {names.index(name)} and {number}")
    if found.get("nc", len(names)) != len(names):
        raise DataError(f"{path}: `nc` is {found['nc']}, `names` lists {len(names)}")
    return names


def _list_texts(value: Any, where: str) -> list[str]:
    texts = value if isinstance(value, list) else [value]
    if wrong := [text for text in texts if not isinstance(text, str)]:
        raise DataError(
            f"{where} should be a folder, a list of images, or several, found {str(wrong[0])[:40]!r}"
        )
    return texts


def read_label_file(file: Path, classes: Sequence[str]) -> tuple[list[AnnotatedObject], int]:
    """Return a label file's objects in fractions of the image, and how many lines repeat another and are left out.

    A line is `class cx cy w h`, or `class x1 y1 x2 y2 x3 y3 …`, a polygon.
    Raises DataError, naming file and line, for anything else.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: can't be read ({error})") from None
    objects: dict[tuple[float, ...], AnnotatedObject] = {}
    rows = 0
    for number, line in enumerate(lines, 1):
        if line.strip():
            rows += 1
            values, one = _read_line(line, f"{file}:{number}", classes)
            objects.setdefault(values, one)
    return list(objects.values()), rows - len(objects)


def _read_line(line: str, where: str, classes: Sequence[str]) -> tuple[tuple[float, ...], AnnotatedObject]:
    from harness_data.object_split import AnnotatedObject

    words = line.split()
    values = tuple(map(parse_number, words))
    if not all(map(math.isfinite, values)):
        raise DataError(f"{where}: expected numbers, found '{line.strip()[:40]}'")
    polygon = len(values) > BOX_NUMBERS + 1 and len(values) % 2
    if len(values) != BOX_NUMBERS and not polygon:
        raise DataError(
            f"{where}: expected `class cx cy w h`, or a class and a polygon's pairs, found {len(values)} numbers"
        )
    label = int(values[0])
    if label != values[0] or not 0 <= label < len(classes):
        raise DataError(
            f"{where}: class {words[0]} is not one of the {len(classes)} classes, 0 to {len(classes) - 1}"
        )
    if polygon:
        across, down = values[1::2], values[2::2]
        corners = (min(across), min(down), max(across), max(down))
        return values, AnnotatedObject(corners, label, where, outline=[list(values[1:])])
    _, x, y, width, height = values
    if width <= 0 or height <= 0:
        raise DataError(f"{where}: width {width:g} and height {height:g} should be above 0")
    if max(x, y, width, height) > PIXELS:
        raise DataError(f"{where}: expected fractions of the image's size, found '{line.strip()[:40]}'")
    return values, AnnotatedObject(
        (x - width / 2, y - height / 2, x + width / 2, y + height / 2), label, where
    )
