"""Names of a classifier's outputs that trainers store in a checkpoint beside the weights.

They are read without torch and without the weights: of a torch file only its pickle is, in which every class
and function is replaced by an inert one, so that nothing in it is executed.
"""

from __future__ import annotations

import json
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from harness.inference.weight_files import OLD_TORCH

KEYS = ("class_names", "classes", "CLASSES", "class_to_idx", "idx_to_class", "names")
"""Keys under which names are looked for."""

CONTAINERS = ((), ("meta",), ("meta", "dataset_meta"), ("hyper_parameters",))
"""Where these keys may be: in the file itself, or as mmengine and Lightning nest them."""

_LARGEST = 1 << 28  # bytes of a pickle or header without its tensors
_KEY_LENGTH = 40


@dataclass(frozen=True)
class StoredNames:
    """The names of a checkpoint's outputs, in their order, and the key they are under."""

    key: str
    names: tuple[str, ...]

    def __str__(self) -> str:
        shown = ", ".join(f"'{name[:_KEY_LENGTH]}'" for name in self.names[:3])
        return f"{self.key}: {shown}{', …' if len(self.names) > 3 else ''}"


def find_stored_names(path: Path) -> list[StoredNames]:
    """Return the lists of class names in a checkpoint, each different one once; none if it can't be read so.

    What is wrong with the file is left to the reader of its weights.
    """
    try:
        facts = path.stat()
        return list(_find_in_file(path.absolute(), facts.st_size, facts.st_mtime_ns))
    except OSError:
        return []


@lru_cache(maxsize=64)
def _find_in_file(path: Path, size: int, changed: int) -> tuple[StoredNames, ...]:
    try:
        content = _read_all_but_tensors(path)
    except OSError:
        raise
    except Exception:  # a damaged pickle may raise anything
        return ()
    found: dict[tuple[str, ...], StoredNames] = {}
    for container in CONTAINERS:
        place: Any = content
        for key in container:
            place = _as_mapping(place).get(key)
        for key in KEYS:
            if names := read_names(_as_mapping(place).get(key)):
                found.setdefault(names, StoredNames(".".join((*container, key)), names))
    return tuple(found.values())


def read_names(value: Any) -> tuple[str, ...] | None:
    """Return names in the order of their indices: of a list, of {name: index} or {index: name}, or of a text.

    A text is a JSON value, or holds names separated by commas, as a safetensors file's metadata does. Returns
    None for anything else, such as indices with gaps.
    """
    if isinstance(value, str):
        try:
            return read_names(json.loads(value)) if value.strip()[:1] in ("[", "{") else _split(value)
        except ValueError:
            return None
    if isinstance(value, Mapping):
        return _order(value)
    if isinstance(value, Sequence) and value and all(isinstance(name, str) for name in value):
        return tuple(value)
    return None


def _split(text: str) -> tuple[str, ...] | None:
    names = tuple(name.strip() for name in text.split(","))
    return names if len(names) > 1 and all(names) else None


def _order(value: Mapping[Any, Any]) -> tuple[str, ...] | None:
    """Return the names of {name: index} or {index: name} if the indices are 0 to n - 1, each once."""
    pairs = list(value.items())
    if pairs and all(isinstance(name, str) for _, name in pairs):
        pairs = [(name, index) for index, name in pairs]
    try:
        by_index = {int(index): name for name, index in pairs if not isinstance(index, bool | float)}
    except (TypeError, ValueError):
        return None
    names = [by_index.get(i) for i in range(len(pairs))]
    return tuple(map(str, names)) if names and all(isinstance(name, str) for name in names) else None


def _as_mapping(value: Any) -> Mapping[Any, Any]:
    if isinstance(value, _Inert):  # a namespace of settings
        return {**value.state}
    return value if isinstance(value, Mapping) else {}


def _read_all_but_tensors(path: Path) -> Any:
    with path.open("rb") as file:
        head = file.read(16)
        file.seek(0)
        if head.startswith(b"PK"):
            return _read_zip(file)
        if head[:1] == b"\x80" and OLD_TORCH in head:
            for _ in range(3):  # its magic number, its version, and facts on the machine
                _InertUnpickler(file).load()
            return _InertUnpickler(file).load()
        length = int.from_bytes(head[:8], "little")
        if head[8:9] == b"{" and length < _LARGEST:
            file.seek(8)
            return json.loads(file.read(length)).get("__metadata__")
    return None


def _read_zip(file: IO[bytes]) -> Any:
    with zipfile.ZipFile(file) as archive:
        pickles = [e for e in archive.infolist() if e.filename.rpartition("/")[2] == "data.pkl"]
        if len(pickles) != 1 or pickles[0].file_size > _LARGEST:
            return None
        with archive.open(pickles[0]) as inner:
            return _InertUnpickler(inner).load()


class _Inert:
    """In place of every object of a class: takes what a pickle gives it, and does nothing."""

    def __new__(cls, *_args: Any, **_options: Any) -> _Inert:
        found = super().__new__(cls)
        found.state = {}
        return found

    state: dict[Any, Any]

    def __init__(self, *_args: Any, **_options: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, dict) else {}

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, item: Any) -> None:
        pass

    def extend(self, items: Iterator[Any]) -> None:
        pass

    def add(self, item: Any) -> None:
        pass


class _InertUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return OrderedDict if (module, name) == ("collections", "OrderedDict") else _Inert

    def persistent_load(self, pid: Any) -> Any:
        return None
