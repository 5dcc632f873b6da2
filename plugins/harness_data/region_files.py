"""Finds the label map of each image in another folder by its path without suffix."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath

from harness import DataError
from harness_data.region_split import LabelledImage


def strip_suffix(path: str) -> str:
    """Return a relative path without the suffix of its file."""
    return PurePosixPath(path).with_suffix("").as_posix()


def pair_label_maps(
    images: Path, labels: Path, label_name: Callable[[str], str | None]
) -> tuple[list[LabelledImage], list[str]]:
    """Return the images below a folder with their label maps below another, and remarks on those that have no image.

    `label_name` gives, for an image's path without suffix, that of its label map; None if the image is not one of the
    data set's. A label map that is not there keeps its expected path. Raises DataError for two files of one name.
    """
    from harness_data.scanning import scan_folder

    maps: dict[str, str] = {}
    for path in scan_folder(labels).paths if labels.is_dir() else ():
        if (other := maps.setdefault(strip_suffix(path), path)) != path:
            raise DataError(f"{labels}: two label maps for one image, {other} and {path}")
    found: list[LabelledImage] = []
    owner: dict[str, str] = {}
    for path in scan_folder(images).paths:
        if (wanted := label_name(strip_suffix(path))) is None:
            continue
        if (other := owner.setdefault(wanted, path)) != path:
            raise DataError(f"{images}: two images with the label map {wanted}, {other} and {path}")
        found.append(LabelledImage(path, images / path, labels / maps.get(wanted, f"{wanted}.png")))
    return found, _note_unused(found, [name for name in maps if name not in owner])


def _note_unused(found: list[LabelledImage], unused: list[str]) -> list[str]:
    if not unused:
        return []
    are = "label map has" if len(unused) == 1 else "label maps have"
    return [f"{len(unused)} {are} no image, beside {len(found)} images (first: {unused[0]})"]
