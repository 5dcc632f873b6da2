"""torchvision's classification data sets as a plugin."""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import DataError, EncodedImage, OptionError, Sample, Unavailable
from harness.errors import did_you_mean
from harness.inference.weights import one_line
from harness_data.roots import ENVIRONMENT_VARIABLE, data_root
from harness_torchvision.catalogue import CATALOGUE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ARCHIVES = frozenset((".tar", ".tgz", ".gz", ".bz2", ".xz", ".zip", ".rar", ".7z"))
"""Suffixes, in lower case, of archives that torchvision reads only to unpack them."""

READ_ELSEWHERE = {
    "CocoCaptions": "coco-captions",
    "CocoDetection": "coco-objects",
    "VOCDetection": "voc-objects",
    "VOCSegmentation": "voc-regions",
}
"""torchvision's sets with other targets than labels, and the data sets here that read the same folders."""

_ONE_AT_A_TIME = threading.Lock()
"""Held while an in-memory sample is read: FakeData seeds torch's global generator for each."""


class TorchvisionDataset:
    """A torchvision classification set, named by its class, e.g. `CIFAR100` or `Flowers102`.

    Sets without splits have the split `all`.

    Args:
        name: name of torchvision's class, in any case.
        root: torchvision's root folder; by default $HARNESS_DATA_ROOT.
        download: let torchvision download missing data into that folder.
    """

    def __init__(self, name: str, root: Path | None = None, download: bool = False) -> None:
        self._where = f"torchvision:{name}"
        known = {n.lower(): n for n in CATALOGUE}
        other = {n.lower(): own for n, own in READ_ELSEWHERE.items()}.get(name.lower())
        if other:
            raise OptionError(f"{self._where}: the data set '{other}' reads the same folder")
        if name.lower() not in known:
            raise OptionError(
                f"{self._where}: not one of torchvision's classification sets{did_you_mean(name, CATALOGUE)}"
            )
        self.name = known[name.lower()]
        self.root = root
        self.download = download
        self._entry = CATALOGUE[self.name]
        self.splits: Sequence[str] = tuple(self._entry.splits)
        self.label_space = self._entry.label_space

    def fingerprint(self) -> str:
        """Return the data set's name and a digest of its files, without the archives they came from.

        A data set that may be downloaded is identified by its name alone: one process may download it
        while another is planning.
        """
        if self.download and self._entry.downloadable:
            return f"torchvision {self.name}"
        from harness_data.digests import files_digest, list_files_below, text_digest

        base = data_root(self.root) or Path()
        places = [base / place for place in self._entry.places if (base / place).exists()]
        held = [files_digest(place, list_files_below(place, ARCHIVES)) for place in places]
        return f"torchvision {self.name} {text_digest(held)}" if held else f"torchvision {self.name}"

    @property
    def remarks(self) -> list[str]:
        """A remark that changes go unnoticed if the data set may be downloaded."""
        if self.download and self._entry.downloadable and self._entry.places:
            return ["identified by its name alone (download = true): changed files go unnoticed"]
        return []

    def unavailable(self) -> str | None:
        """Return why the data set can't be loaded and how to get it, or None; download nothing to find out."""
        entry, base = self._entry, data_root(self.root)
        if entry.needs is not None and not _is_installed(entry.needs):
            return f"{self._where}: needs the package {entry.needs}"
        if not entry.places:
            return None
        if base is None:
            return f"{self._where}: no data root: give --data-root or the option root, or set {ENVIRONMENT_VARIABLE}"
        if any((base / place).exists() for place in entry.places):
            return None
        if self.download and entry.downloadable:
            return None
        means = f"put {entry.places[0]} there by hand"
        if entry.downloadable:
            means = f"set download=true, or {means}"
        return f"{self._where}: not found: {' or '.join(entry.places)} below {base}; {means}"

    def load(self, split: str) -> TorchvisionSplit:
        """Load a split with its labels; images stored as files stay on disk.

        Raises `OptionError` for an unknown split, `Unavailable` when the data is missing or incomplete.
        """
        if split not in self._entry.splits:
            raise OptionError(f"{self._where}: no split '{split}'{did_you_mean(split, self.splits)}")
        if problem := self.unavailable():
            raise Unavailable(problem)
        from torchvision import datasets

        arguments = {**self._entry.arguments, **self._entry.splits[split]}
        base = data_root(self.root) or Path()
        if self._entry.places:
            arguments["root"] = str(base)
            if self._entry.downloadable:
                arguments["download"] = self.download
        try:
            source = getattr(datasets, self.name)(**arguments)
        except (RuntimeError, OSError, ImportError) as error:
            raise Unavailable(f"{self._where}: split '{split}' can't be loaded: {one_line(error)}") from error
        return TorchvisionSplit(source, f"{self._where}/{split}", base, self._entry.class_names)


class TorchvisionSplit:
    """A loaded split. Samples stored as files are returned as encoded bytes, identified by their path."""

    def __init__(self, source: Any, where: str, base: Path, class_names: Sequence[str]) -> None:
        self._source = source
        self._where = where
        files, targets = _list_files(source), _read_targets(source)
        if files is not None:
            # SUN397 lists its files in the file system's order
            order = sorted(range(len(files)), key=[file.as_posix() for file in files].__getitem__)
            files, targets = [files[i] for i in order], targets[order]
        self._files, self.targets = files, targets
        own = getattr(source, "classes", None) or getattr(source, "categories", None)
        names = class_names or tuple(_format_class_name(name) for name in own or ())
        if names:
            self.class_names = names
        self.ids: Sequence[str] = (
            [f"{i:06d}" for i in range(len(self.targets))]
            if self._files is None
            else [_relative_path(file, base) for file in self._files]
        )

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> Sample:
        label = int(self.targets[index])
        if self._files is None:
            try:
                with _ONE_AT_A_TIME:
                    image = self._source[index][0]
            except OSError as error:
                raise DataError(f"{self._where}: sample {index} can't be read: {one_line(error)}") from error
            return Sample(self.ids[index], image, label)
        file = self._files[index]
        try:
            data = file.read_bytes()
        except OSError as error:
            raise DataError(f"{file}: can't be read: {one_line(error)}") from error
        return Sample(self.ids[index], EncodedImage(data, str(file)), label)


def _is_installed(package: str) -> bool:
    if package in sys.modules:
        return sys.modules[package] is not None
    return importlib.util.find_spec(package) is not None


def _list_files(source: Any) -> list[Path] | None:
    """Return the image files in torchvision's order, or None if images are not stored as files.

    torchvision's classes keep them in one of a few attributes, as paths or as (path, label) pairs.
    """
    for attribute in ("_image_files", "_images", "samples", "_samples"):
        held = getattr(source, attribute, None)
        if isinstance(held, list) and held:
            files = [item[0] if isinstance(item, tuple) else item for item in held]
            return [Path(f) for f in files] if isinstance(files[0], str | Path) else None
    return None


def _read_targets(source: Any) -> NDArray[np.int64]:
    """Return the labels in torchvision's order, from its own list or else sample by sample."""
    import numpy as np

    for attribute in ("targets", "labels", "_labels", "y"):
        held = getattr(source, attribute, None)
        if held is not None and len(held) == len(source):
            return np.asarray(held, dtype=np.int64)
    pairs = getattr(source, "_samples", None)
    if isinstance(pairs, list) and pairs and isinstance(pairs[0], tuple):
        return np.asarray([label for _, label in pairs], dtype=np.int64)
    if hasattr(source, "h5py"):  # PCAM: labels are in a separate array file
        with source.h5py.File(source._base_folder / source._FILES[source._split]["targets"][0]) as file:
            return np.asarray(file["y"][:, 0, 0, 0], dtype=np.int64)
    return np.asarray([source[i][1] for i in range(len(source))], dtype=np.int64)


def _format_class_name(name: Any) -> str:
    """Return a class name as words, `apple_pie` as "apple pie"; of Imagenette's several names, the first."""
    first = name[0] if isinstance(name, tuple) else name
    return str(first).replace("_", " ")


def _relative_path(file: Path, base: Path) -> str:
    """Return a file's path relative to the data root, so that ids don't depend on the root's location."""
    return file.relative_to(base).as_posix() if file.is_relative_to(base) else file.as_posix()
