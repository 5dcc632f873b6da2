"""Finds the files that a table of captions names, by these names or by similar ones."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from unicodedata import normalize

from harness import DataError
from harness_data.pair_files import FileIndex, resolve_inside
from harness_data.question_cells import shorten_text
from harness_data.text_encoding import replace_surrogates


@dataclass(frozen=True)
class NamedFiles:
    """The path of each name, whether it exists or not, and of names that are not quite the file's, the file's."""

    paths: Mapping[str, Path]
    similar: Mapping[str, str]

    def describe(self, things: str) -> list[str]:
        """Return a remark on names that are not quite the files', if there are any."""
        if not self.similar:
            return []
        name, path = next(iter(self.similar.items()))
        are = "is" if len(self.similar) == 1 else "are"
        return [
            f"{len(self.similar)} of {len(self.paths)} {things} {are} found under a similar name "
            f"(first: '{shorten_text(name)}' is {path})"
        ]


def find_named_files(
    places: Mapping[str, str], folder: Path, list_files: Callable[[], FileIndex], thing: str
) -> NamedFiles:
    """Return the files that names mean; `places` holds where each name is, in order.

    A name is a path below `folder`. If there is no such file, it is the only one below of this name without its suffix,
    or the only one that differs in nothing but case, suffix, leading zeros, or further folders above: but not one that
    another name means too, unless both say the same. `list_files` is asked only if some file is not at its path.
    Raises DataError, naming the place, for a name that leads out of the folder, if no file is similar, and for one that
    may mean two files that differ in their suffix.
    """
    inside = {name: resolve_inside(replace_surrogates(name)) for name in places}
    is_there = os.path.isfile if thing == "image" else os.path.exists  # a video may be a folder of frames
    paths = {
        name: folder / path for name, path in inside.items() if path is not None and is_there(folder / path)
    }
    if len(paths) == len(places):
        return NamedFiles(paths, {})
    index, claims = list_files(), dict[str, list[str]]()
    stems: dict[str, list[str]] = {}
    for file in index.files:
        stems.setdefault(os.path.splitext(file)[0], []).append(file)  # noqa: PTH122 (many files)
    similar: dict[str, str] = {}
    for name in (name for name in places if name not in paths):
        own = inside[name]
        found = index.find((own,)) if own is not None else None
        if found is None and (alike := index.find_alike(name)) is not None and _agree(name, alike):
            found = similar[name] = alike
        if found is not None and len(rivals := stems[os.path.splitext(found)[0]]) > 1:  # noqa: PTH122
            raise DataError(
                f"{places[name]}: {thing} '{shorten_text(name)}' may be {' or '.join(rivals)}: name the file"
            )
        if found is not None:
            claims.setdefault(found, []).append(name)
    taken = {path: name for name, path in paths.items()}
    for file, names in claims.items():
        path = index.files[file].path
        first = taken.get(path, names[0])
        if all(_mean_same(first, name) for name in names):
            paths |= dict.fromkeys(names, path)
    for name, where in places.items():
        if name not in paths and inside[name] is None:
            raise DataError(
                f"{where}: {thing} '{shorten_text(name)}' is not below {folder}: give paths relative to it, or the "
                f"folder of the {thing}s"
            )
    whole = {name: paths.get(name, folder / str(inside[name])) for name in places}
    return NamedFiles(whole, {name: file for name, file in similar.items() if name in paths})


def _split(name: str) -> list[str]:
    return [
        part
        for part in normalize("NFC", name).replace("\\", "/").casefold().split("/")
        if part not in ("", ".")
    ]


def _agree(name: str, file: str) -> bool:
    """Return whether the folders of one path are the last ones of the other's: `val/1.jpg` is not `train/1.jpg`."""
    one, other = _split(name)[:-1], _split(file)[:-1]
    shared = min(len(one), len(other))
    return one[len(one) - shared :] == other[len(other) - shared :]


def _mean_same(name: str, other: str) -> bool:
    """Return whether two names differ at most in case, further folders above, and in that one has no suffix."""
    one, two = _split(name), _split(other)
    stems = [os.path.splitext(part[-1])[0] if part else "" for part in (one, two)]  # noqa: PTH122 (no paths yet)
    same = one[-1:] == two[-1:] or stems[0] == two[-1] or stems[1] == one[-1]
    return same and _agree(name, other)
