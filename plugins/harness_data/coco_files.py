"""Reads the annotation files of COCO and of data sets on its images, and finds these images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from harness import DataError

Wanted = TypeVar("Wanted", int, str, list[Any])


class CocoRecord:
    """An object in a list of an annotation file, whose values are checked where they are taken."""

    def __init__(self, values: Any, where: str) -> None:
        """Raise DataError, naming the place, if it is no object."""
        if not isinstance(values, dict):
            raise DataError(f"{where}: expected an object, found a {type(values).__name__}")
        self.values, self.where = values, where

    def take(self, key: str, kind: type[Wanted]) -> Wanted:
        """Return the value of a key. Raises DataError, naming the place, if it is missing or of another kind."""
        value = self.values.get(key)
        if not isinstance(value, kind) or isinstance(value, bool):
            found = "there is none" if key not in self.values else f"found {str(value)[:40]!r}"
            words = {int: "a whole number", str: "a text"}.get(kind, "a list")
            raise DataError(f"{self.where}: `{key}` should be {words}, {found}")
        return value

    def take_text(self, key: str) -> str:
        """Return a text without surrounding blanks. Raises DataError if it is empty."""
        text = self.take(key, str).strip()
        if not text:
            raise DataError(f"{self.where}: `{key}` is empty")
        return text


class CocoFile:
    """An annotation file: an object of lists of objects."""

    def __init__(self, path: Path) -> None:
        """Read the file. Raises DataError if it can't be read, or holds no object."""
        self.path, self.values = path, read_json_file(path)
        if not isinstance(self.values, dict):
            raise DataError(f"{path}: expected a JSON object, found a {type(self.values).__name__}")

    def records(self, key: str) -> Iterator[CocoRecord]:
        """Yield the objects of one of its lists. Raises DataError if there is no such list."""
        found = self.values.get(key)
        if not isinstance(found, list):
            raise DataError(f"{self.path}: has no list `{key}`")
        for number, values in enumerate(found):
            yield CocoRecord(values, f"{self.path}, {key}[{number}]")


def read_json_file(path: Path) -> Any:
    """Return what a JSON file holds. Raises DataError, naming the file, if it can't be read or is no JSON."""
    import orjson

    try:
        return orjson.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror})") from None
    except orjson.JSONDecodeError as error:
        raise DataError(f"{path}: not valid JSON ({error})") from None


def find_coco_images(folder: Path, subset: str) -> Path:
    """Return the folder of a subset's images: `<folder>/<subset>`, `<folder>/images/<subset>`, or the folder itself."""
    for place in (folder / subset, folder / "images" / subset):
        if place.is_dir():
            return place
    return folder
