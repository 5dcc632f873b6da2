"""Counts the unused files of a collection by kind, and words the remarks on them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from harness.inference.splits import role_of
from harness_data.file_names import escape_file_name
from harness_data.image_files import (
    has_image_magic,
    is_file,
    is_folder,
    is_junk_file,
    is_junk_folder,
    is_open_suffix,
    is_picture,
    suffix_of,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

KINDS_NAMED = 6
"""The most kinds of files that a remark names; the others are counted together."""

BESIDE = "beside the class folders"


@dataclass
class Leftovers:
    """Unused files by kind (`.txt`, `hidden`, `in @eaDir`), and images recognised by their content."""

    kinds: Counter[str] = field(default_factory=Counter)
    first: str | None = None
    sniffed: int = 0
    """How many images without an image suffix were recognised by their first bytes."""
    first_sniffed: str | None = None

    def __len__(self) -> int:
        return sum(self.kinds.values())

    def add(self, kind: str, path: str) -> None:
        """Count an unused file; remarks name the first by path."""
        self.kinds[kind] += 1
        self.first = path if self.first is None else min(self.first, path)

    def add_sniffed(self, path: str) -> None:
        """Count an image that was recognised by its first bytes."""
        self.sniffed += 1
        self.first_sniffed = path if self.first_sniffed is None else min(self.first_sniffed, path)

    def add_file(self, name: str, path: str) -> None:
        """Count a file that is not an image, unless it is a system file."""
        if not is_junk_file(name):
            suffix = suffix_of(name)
            self.add("hidden" if name.startswith(".") else suffix or "without suffix", path)

    def add_junk_folder(self, folder: Path | str, name: str, path: str) -> None:
        """Count the pictures, at any depth, in a system or hidden folder."""
        if name == ".git":
            return
        for inner, _, files in os.walk(folder):
            for file in files:
                if is_picture(file) and not file.startswith("._"):
                    below = Path(inner, file).relative_to(folder).as_posix()
                    self.add(f"in {name}", f"{path}/{below}")

    def update(self, other: Leftovers, prefix: str = "") -> None:
        """Add the counts of another, with its paths below `prefix`."""
        for path in (other.first,) if other.first is not None else ():
            self.first = min(self.first or prefix + path, prefix + path)
        for path in (other.first_sniffed,) if other.first_sniffed is not None else ():
            self.first_sniffed = min(self.first_sniffed or prefix + path, prefix + path)
        self.kinds.update(other.kinds)
        self.sniffed += other.sniffed

    def remarks(self, used: int) -> list[str]:
        """Return remarks on the unused files beside `used` ones, and on images recognised by their first bytes."""
        said = []
        if self.kinds:
            count = len(self)
            are = "is" if count == 1 else "are"
            said.append(
                f"{count} of {used + count} files {are} not used: {format_kinds(self.kinds)} "
                f"(first: {escape_file_name(self.first or '')})"
            )
        if self.sniffed:
            are = "is recognised by its" if self.sniffed == 1 else "are recognised by their"
            first = escape_file_name(self.first_sniffed or "")
            said.append(
                f"{self.sniffed} of {used} images {are} first bytes, not by a suffix (first: {first})"
            )
        return said


@dataclass(frozen=True)
class SplitSurvey:
    """The result of scanning a split's class folders."""

    used: int
    """Images that are samples."""
    labels: frozenset[int]
    """Labels that have at least one image."""
    left: Leftovers


def note_unused_files(
    root: Path,
    folders: Mapping[str, Path],
    surveys: Mapping[str, SplitSurvey],
    classes: Sequence[str],
    known: Sequence[str] = (),
) -> list[str]:
    """Return at most one line on an image folder: unused files, and classes without an image.

    `folders` are the splits' folders; if `root` is the only one, there are no split folders. `known` are
    other folders that are used, or mentioned in another remark.
    """
    whole, empty = Leftovers(), []
    flat = list(folders.values()) == [root]
    if not flat:
        whole.update(
            find_stray_images(root, [*(f.name for f in folders.values()), *known], "beside the split folders")
        )
    for split, folder in folders.items():
        prefix = "" if flat else f"{folder.name}/"
        whole.update(find_stray_images(folder, [*classes, *known]), prefix)
        whole.update(surveys[split].left, prefix)
        filled = [classes[label] for label in surveys[split].labels]
        if role_of(split) or not any(map(role_of, folders)):  # other splits are used only if named
            empty += note_empty_classes(classes, filled, "" if flat else f"in split '{split}'")
    said = whole.remarks(sum(survey.used for survey in surveys.values())) + empty
    return ["; ".join(said)] if said else []


def format_kinds(kinds: Mapping[str, int]) -> str:
    """Return the kinds with their counts, the most frequent first: `2 .txt, 1 .npy`."""
    ordered = sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
    named = [f"{count} {kind}" for kind, count in ordered[:KINDS_NAMED]]
    if rest := ordered[KINDS_NAMED:]:
        named.append(f"{sum(count for _, count in rest)} of {len(rest)} other kinds")
    return ", ".join(named)


def find_stray_images(folder: Path, inside: Iterable[str], what: str = BESIDE) -> Leftovers:
    """Count pictures in a folder that should hold only the class or split folders `inside`."""
    left, known = Leftovers(), set(inside)
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if is_folder(entry):
                if name not in known or is_junk_folder(name):
                    left.add_junk_folder(entry.path, name, name)
            elif is_junk_file(name):
                continue
            elif is_picture(name) or (
                is_open_suffix(suffix_of(name)) and is_file(entry) and has_image_magic(entry.path)
            ):
                left.add("hidden" if name.startswith(".") else what, name)
    return left


def note_unused_labels(
    targets: NDArray[np.int64], count: int, names: Sequence[str] | None = None
) -> list[str]:
    """Return a remark on labels below `count` without a sample: a gap, or numbering that starts at 1."""
    import numpy as np

    there = np.unique(
        targets[(targets >= 0) & (targets < count)]
    )  # not `np.arange(count)`: labels may be ids, and `count` huge
    absent = count - len(there)
    if not absent:
        return []
    gaps = np.flatnonzero(there != np.arange(len(there)))
    lowest = int(gaps[0]) if len(gaps) else len(there)
    first = f"label {lowest}" + (f" '{names[lowest]}'" if names else "")
    if absent == 1:
        return [f"{first} of 0..{count - 1} has no sample"]
    return [f"{absent} of {count} labels have no sample (first: {first})"]


def note_empty_classes(classes: Sequence[str], filled: Iterable[str], where: str = "") -> list[str]:
    """Return a remark on class folders without an image (`where`: `in split 'test'`); they keep their label."""
    there = set(filled)
    empty = [name for name in classes if name not in there]
    if not empty or not there:
        return []
    if len(empty) == 1:
        return [f"class '{escape_file_name(empty[0])}' has no image {where}".rstrip()]
    first = escape_file_name(empty[0])
    return [f"{len(empty)} of {len(classes)} classes have no image {where}".rstrip() + f" (first: '{first}')"]
