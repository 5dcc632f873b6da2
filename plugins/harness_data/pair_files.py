"""The files of a folder of pairs, found by path or by the id that their names contain."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath
from unicodedata import normalize
from urllib.parse import unquote, urlsplit

from harness_data.image_files import is_image, is_junk_file, is_junk_folder
from harness_data.scanning import read_sample_file
from harness_data.text_encoding import replace_surrogates
from harness_data.walking import walk_files

TEXT_SUFFIXES = frozenset((".txt", ".text", ".caption"))


@dataclass(frozen=True)
class FileSource:
    """A file on disk."""

    path: Path
    name: str
    """Its path relative to the folder of the data set, used in reports."""

    @property
    def place(self) -> str:
        """The name of the file in messages."""
        return str(self.path)

    @property
    def stamp(self) -> str:
        """Empty: the source is the whole file."""
        return ""

    @property
    def file(self) -> Path:
        """The file that holds the bytes."""
        return self.path

    def read(self) -> bytes:
        """Return its bytes. Raises DataError naming the file if it can't be read."""
        return read_sample_file(self.path)


@dataclass
class FileIndex:
    """Files of one kind by their POSIX path below the folder, and paths by the path without its suffix."""

    files: dict[str, FileSource] = field(default_factory=dict)
    of_id: dict[str, str] = field(default_factory=dict)

    def find(self, names: Sequence[str]) -> str | None:
        """Return the path that a name means: the name may be the path, the path without suffix, or its last part.

        Take the first of `names` that is found. A last part (`7` for `data/7.jpg`) is tried for the first
        name only, and must mean a single id. Return None if there is no such file.
        """
        for name in names:
            if name in self.files or name in self.of_id:
                return name if name in self.files else self.of_id[name]
        found = self._by_last_part.get(names[0], []) if names else []
        return found[0] if len({path.rpartition(".")[0] for path in found}) == 1 else None

    def find_alike(self, name: str) -> str | None:
        """Return the path that a name from elsewhere means; None if there is none, or several match equally.

        Among files with the same last part (ignoring suffix, case and leading zeros), choose the one whose
        folders share the longest ending with the name's: `C:\\set\\a\\1.JPG` means `a/1.jpg` rather than
        `b/1.jpg`. Of a URL only the path counts.
        """
        *above, last = _split_path(name)
        best: dict[str, int] = {}
        for path in self._by_likeness.get(_likeness_key(last), []):
            folders = _split_path(path)[:-1]
            same = 0
            while same < min(len(above), len(folders)) and folders[-1 - same] == above[-1 - same]:
                same += 1
            best[path] = same
        found = [path for path, same in best.items() if same == max(best.values())]
        return found[0] if len({path.rpartition(".")[0] for path in found}) == 1 else None

    @cached_property
    def _by_likeness(self) -> dict[str, list[str]]:
        alike: dict[str, list[str]] = {}
        for path in self.files:
            alike.setdefault(_likeness_key(_split_path(path)[-1]), []).append(path)
        return alike

    @cached_property
    def _by_last_part(self) -> dict[str, list[str]]:
        last: dict[str, list[str]] = {}
        for path in self.files:
            base = path.rpartition("/")[2]
            for key in (base, base.rpartition(".")[0]):
                last.setdefault(key, []).append(path)
        return last


@dataclass
class PairFiles:
    """The images and texts below a folder.

    `others` are files of other kinds, `second` further files of an id that already has one (`a.png` beside
    `a.jpg`).
    """

    folder: Path = Path()
    images: FileIndex = field(default_factory=FileIndex)
    texts: FileIndex = field(default_factory=FileIndex)
    others: list[str] = field(default_factory=list)
    second: list[str] = field(default_factory=list)


def list_pair_files(folder: Path, leave_out: frozenset[Path] = frozenset()) -> PairFiles:
    """List the files at any depth below a folder in the order of their paths, without hidden and system files.

    `leave_out` are files that are not samples, such as label files. Raises DataError if the folder can't be
    listed.
    """
    found = PairFiles(folder)
    walked = walk_files(folder, lambda entry, _: not is_junk_folder(entry.name))
    for found_name, entry in sorted(walked, key=lambda file: file[0]):
        path, name = Path(entry.path), replace_surrogates(found_name)
        if path in leave_out or entry.name.startswith(".") or is_junk_file(entry.name):
            continue
        stem, suffix = os.path.splitext(name)  # noqa: PTH122 (a Path per entry costs 3 times as much)
        text = suffix.lower() in TEXT_SUFFIXES
        if not text and not is_image(entry):
            found.others.append(name)
            continue
        index = found.texts if text else found.images
        index.files[name] = FileSource(path, name)
        if index.of_id.setdefault(stem, name) != name:
            found.second.append(name)
    return found


def _split_path(name: str) -> list[str]:
    """Return the parts of a path from any system or URL, in lower case; at least one."""
    path = unquote(urlsplit(name).path) if re.match(r"[a-z]{2,}://", name, re.IGNORECASE) else name
    path = normalize("NFC", path)  # archives made on a Mac store accents as separate characters
    return [part for part in path.replace("\\", "/").casefold().split("/") if part not in ("", ".")] or [""]


def _likeness_key(last: str) -> str:
    """Return a key that names of the same file share: the stem, without leading zeros if it is a number."""
    stem = os.path.splitext(last)[0]  # noqa: PTH122 (as above)
    return stem.lstrip("0") or "0" if stem.isdecimal() else stem


def resolve_inside(name: str) -> str | None:
    """Return a name from a table as a normalised path below the folder; None if it leads out of it."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or PureWindowsPath(name).drive or "\0" in name:
        return None
    return str(path)
