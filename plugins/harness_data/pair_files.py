"""The files of a folder of pairs: by path, and by the id that their name stands for."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath
from unicodedata import normalize
from urllib.parse import unquote, urlsplit

from harness import DataError
from harness_data.image_files import is_folder, is_image, is_junk_file, is_junk_folder
from harness_data.scanning import read_sample_file
from harness_data.text_encoding import replace_surrogates

TEXT_SUFFIXES = frozenset((".txt", ".text", ".caption"))


@dataclass(frozen=True)
class FileSource:
    """A file on disk."""

    path: Path
    name: str
    """Its path relative to the folder of the data set, as reports give it."""

    @property
    def place(self) -> str:
        """The file as messages name it."""
        return str(self.path)

    @property
    def stamp(self) -> str:
        """What of the file it is: all."""
        return ""

    @property
    def file(self) -> Path:
        """The file that holds it."""
        return self.path

    def read(self) -> bytes:
        """Its bytes. Raises DataError naming it when it can't be read."""
        return read_sample_file(self.path)


@dataclass
class FileIndex:
    """Files of one kind by their POSIX path below the folder, and that path by its part before the suffix."""

    files: dict[str, FileSource] = field(default_factory=dict)
    of_id: dict[str, str] = field(default_factory=dict)

    def find(self, names: Sequence[str]) -> str | None:
        """The path that a name stands for: the path itself, without its suffix, or its last part.

        The first of `names` that is found counts; a last part (`7` for `data/7.jpg`) counts for the first
        name alone, and only where it stands for one id. None when there is no such file.
        """
        for name in names:
            if name in self.files or name in self.of_id:
                return name if name in self.files else self.of_id[name]
        found = self._by_last_part.get(names[0], []) if names else []
        return found[0] if len({path.rpartition(".")[0] for path in found}) == 1 else None

    def find_alike(self, name: str) -> str | None:
        """The path that a name from elsewhere stands for; None where there is none, or several are as good.

        Of the files with the same last part (its suffix, its case and zeros before a number aside) the one whose
        folders agree with most of the name's, counted from its end: `C:\\set\\a\\1.JPG` stands for `a/1.jpg`
        rather than `b/1.jpg`. Of an URL its path counts.
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

    `others` are files of other kinds, `second` are further files of an id that has one already
    (`a.png` beside `a.jpg`).
    """

    folder: Path = Path()
    images: FileIndex = field(default_factory=FileIndex)
    texts: FileIndex = field(default_factory=FileIndex)
    others: list[str] = field(default_factory=list)
    second: list[str] = field(default_factory=list)


def list_pair_files(folder: Path, leave_out: frozenset[Path] = frozenset()) -> PairFiles:
    """The files at any depth below a folder, in the order of their paths; hidden ones and what systems leave behind are left out.

    `leave_out` are files (label files, say) that are no samples. Raises DataError when the folder
    can't be listed.
    """
    found = PairFiles(folder)
    for found_name, entry in sorted(_walk(folder, "", frozenset()), key=lambda file: file[0]):
        path, name = Path(entry.path), replace_surrogates(found_name)
        if path in leave_out:
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
    """The parts of a path as it is written anywhere, in lower case; never none."""
    path = unquote(urlsplit(name).path) if re.match(r"[a-z]{2,}://", name, re.IGNORECASE) else name
    path = normalize("NFC", path)  # a Mac's archives hold accents by themselves
    return [part for part in path.replace("\\", "/").casefold().split("/") if part not in ("", ".")] or [""]


def _likeness_key(last: str) -> str:
    """What two names of the same file have in common: all but the suffix, and the zeros before a number."""
    stem = os.path.splitext(last)[0]  # noqa: PTH122 (as above)
    return stem.lstrip("0") or "0" if stem.isdecimal() else stem


def resolve_inside(name: str) -> str | None:
    """A name from a table as a path below the folder, normalised; None when it leads out of it."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or PureWindowsPath(name).drive or "\0" in name:
        return None
    return str(path)


def _walk(folder: Path, prefix: str, above: frozenset[str]) -> Iterator[tuple[str, os.DirEntry[str]]]:
    here = str(folder.resolve())
    if here in above:  # a link to a folder above
        return
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise DataError(f"{folder}: can't be listed ({error.strerror})") from None
    for entry in entries:
        if is_folder(entry):
            if not is_junk_folder(entry.name):
                yield from _walk(Path(entry.path), f"{prefix}{entry.name}/", above | {here})
        elif not entry.name.startswith(".") and not is_junk_file(entry.name):
            yield prefix + entry.name, entry
