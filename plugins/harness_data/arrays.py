"""The data set `arrays`: images and labels in NumPy files."""

from __future__ import annotations

import re
import zipfile
import zlib
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import DataError, Sample
from harness_data.leftovers import note_unused_labels

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

KNOWN_ARRAYS = ("images", "labels", "class_names")
"""The arrays that are read from an .npz file."""

ARRAY_ALIASES = {
    "images": ("image", "x", "data", "pixels", "imgs"),
    "labels": ("label", "y", "targets", "target"),
    "class_names": (
        "classes",
        "class_name",
        "classnames",
        "names",
        "categories",
        "label_names",
        "class_labels",
    ),
}
"""Names that other tools often give to the known arrays."""

DATA_SUFFIXES = (".npz", ".npy", ".txt", ".json")
COMPANION_FILE = re.compile(r"\.|readme|licen[cs]e", re.IGNORECASE)
"""The start of the names of files that are not data."""

FLOAT_FIX = "; if 0 is black and 1 is white, convert with (255 * images).round().astype('uint8')"

MAX_LABEL = 2**31 - 1
"""The largest label."""

DARKNESS_SAMPLES = 64
"""How many evenly spaced images are searched for the brightest pixel."""

NAMES_FILE = "class_names.txt"
ONLY_SPLIT = "test"
"""The name of the split if the files name none."""


class ArraySplit:
    """A `Split` of uint8 images N×H×W or N×H×W×3 with N labels."""

    def __init__(
        self,
        images: NDArray[np.uint8],
        labels: NDArray[Any],
        where: str,
        class_names: Sequence[str] | None = None,
        templates: Sequence[str] | None = None,
    ) -> None:
        """Raise DataError starting with `where` for a wrong type or shape, or a label out of range."""
        import numpy as np

        coloured = images.ndim == 4 and images.shape[3] in (1, 3, 4)
        if images.dtype != np.uint8 or not (images.ndim == 3 or coloured):
            raise DataError(
                f"{where}: images must be uint8 of shape N×H×W or N×H×W×3, not {images.dtype} {images.shape}"
                + _suggest_fix(images)
            )
        if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
            raise DataError(f"{where}: labels must be N integers, not {labels.dtype} {labels.shape}")
        if len(images) != len(labels):
            raise DataError(f"{where}: {len(images)} images but {len(labels)} labels")
        if not len(labels):
            raise DataError(f"{where}: holds no samples")
        if int(labels.max()) > MAX_LABEL:
            raise DataError(f"{where}: label {labels.max()} is too large for a class index")
        classes = len(class_names) if class_names else int(labels.max()) + 1
        if (bad := np.flatnonzero((labels < 0) | (labels >= classes))).size:
            raise DataError(f"{where}: label {labels[bad[0]]} of sample {bad[0]} is outside 0..{classes - 1}")
        self.images = images
        self.targets = labels.astype(np.int64)
        self.ids = [str(i) for i in range(len(labels))]
        self.class_names = list(class_names) if class_names else None
        self.templates = list(templates) if templates else None
        self.remarks = [*note_unused_labels(self.targets, classes, self.class_names), *_note_darkness(images)]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        import numpy as np

        identity = self.ids[index]
        return Sample(identity, np.asarray(self.images[index]), int(self.targets[index]))


class Arrays:
    """Images and labels from `<path>.npz` (`images`, `labels`, optionally `class_names`), from a folder
    with one such `<split>.npz` per split, or from a folder with `images.npy`, `labels.npy` and,
    optionally, `class_names.txt`. A split without a name is called `test`. Ids count from 0.

    Args:
        path: the .npz file, or the folder of .npz or .npy files.
        class_names: a list, or a file with one name per line; overrides names in the data files.
        templates: zero-shot prompts with `{}` for the class name, as a list or in a file.
        label_space: the output space of supervised classifiers for these labels.
    """

    def __init__(
        self,
        path: Path,
        *,
        class_names: list[str] | Path | None = None,
        templates: list[str] | Path | None = None,
        label_space: str | None = None,
    ) -> None:
        """Store the options."""
        self.path = Path(path).expanduser()
        self.class_names = class_names
        self.templates = templates
        self.label_space = label_space

    @classmethod
    def recognise(cls, path: Path) -> dict[str, Path] | None:
        """Return the options for an .npz file, or a folder with such files or images.npy, or None."""
        return {"path": path} if cls(path)._files else None

    def unavailable(self) -> str | None:
        """Return why there is nothing to load at the path, or None."""
        if self._files:
            misnamed = (self._explain_misnamed_array(files[0]) for files in self._files.values())
            return next(filter(None, misnamed), None) or self._explain_class_name_conflict()
        wanted = "an .npz file, or a folder with <split>.npz or with images.npy and labels.npy"
        return f"{self.path}: expected {wanted}"

    @property
    def splits(self) -> tuple[str, ...]:
        """The available splits: the names of the .npz files in a folder, else `test`."""
        return tuple(self._files)

    def fingerprint(self) -> str:
        """Return a digest of the files' content, class names and templates."""
        from harness import content_digest
        from harness_data.class_names import read_lines, read_templates
        from harness_data.digests import text_digest

        parts: list[object] = [*(read_lines(self.class_names) or []), *(read_templates(self.templates) or [])]
        for split, files in self._files.items():
            parts += [split, *(f"{file.name} {content_digest(file)}" for file in files)]
        return text_digest(parts)

    @property
    def remarks(self) -> list[str]:
        """Unused arrays and files, in one line."""
        from harness_data.image_files import suffix_of
        from harness_data.leftovers import Leftovers

        read = {file for files in self._files.values() for file in files}
        said, left = [], Leftovers()
        for file in sorted(read):
            unknown = [key for key in _list_array_names(file) if key not in KNOWN_ARRAYS]
            if unknown:
                arrays = "array is" if len(unknown) == 1 else "arrays are"
                said.append(f"{len(unknown)} {arrays} not used: {', '.join(unknown)} (in {file.name})")
        for file in sorted(self.path.iterdir()) if self.path.is_dir() else ():
            if (
                file not in read
                and suffix_of(file.name) in DATA_SUFFIXES
                and not COMPANION_FILE.match(file.name)
            ):
                left.add(suffix_of(file.name), file.name)
        return ["; ".join(said + more)] if (more := left.remarks(len(read))) or said else []

    def _explain_misnamed_array(self, file: Path) -> str | None:
        """Return why a file can't be used: a known array is missing, perhaps because it is misnamed."""
        keys = _list_array_names(file)
        for known in KNOWN_ARRAYS:
            given = known == "class_names" and self.class_names is not None
            if keys and known not in keys and not given:
                near = [k for k in keys if k not in KNOWN_ARRAYS and k.lower() in ARRAY_ALIASES[known]]
                near += [
                    k
                    for k in keys
                    if k not in KNOWN_ARRAYS and get_close_matches(k.lower(), [known], cutoff=0.8)
                ]
                if near:
                    return f"{file}: has no array '{known}', but one called '{near[0]}': rename it to '{known}', or remove it"
                if known != "class_names":
                    return f"{file}: has no array '{known}'; it has: {', '.join(keys)}"
        return None

    def _explain_class_name_conflict(self) -> str | None:
        """Return how the class names of two splits differ, if they do: one label would mean two classes."""
        known: dict[str, list[str]] = {}
        for files in self._files.values() if self.class_names is None else ():
            if "class_names" in _list_array_names(files[0]):
                try:
                    with open_numpy_file(files[0]) as stored:
                        known[files[0].name] = _decode_class_names(
                            read_array(stored, "class_names", files[0]), files[0]
                        )
                except DataError as error:
                    return str(error)
        for name, names in known.items():
            first, others = next(iter(known.items()))
            if names != others:
                a, b = (", ".join(some[:3]) + (", …" if len(some) > 3 else "") for some in (others, names))
                return (
                    f"{self.path}: class_names in {first} ({a}) and {name} ({b}) differ: a label must mean "
                    "the same class in all splits"
                )
        return None

    def load(self, split: str) -> ArraySplit:
        """Open one split; .npy images stay on disk until read.

        Raises DataError naming the file that is missing, damaged or of the wrong kind.
        """
        from harness_data.class_names import read_lines, read_templates
        from harness_data.scanning import check_split

        if missing := self.unavailable():
            raise DataError(missing)
        check_split(split, self.splits, str(self.path))
        files = self._files[split]
        names: Sequence[str] | None = None
        if files[0].suffix == ".npz":
            where = files[0]
            with open_numpy_file(where) as stored:
                for key in ("images", "labels"):
                    if key not in stored:
                        there = ", ".join(stored) or "none"
                        raise DataError(f"{where}: has no array '{key}'; it has: {there}")
                images, labels = read_array(stored, "images", where), read_array(stored, "labels", where)
                if "class_names" in stored:
                    names = _decode_class_names(read_array(stored, "class_names", where), where)
        else:
            where = self.path
            images, labels = open_numpy_file(files[0], mmap_mode="r"), open_numpy_file(files[1])
            names = read_lines(files[2]) if len(files) > 2 else None
        given = read_lines(self.class_names)
        return ArraySplit(images, labels, str(where), given or names, read_templates(self.templates))

    @property
    def _files(self) -> dict[str, list[Path]]:
        if self.path.is_file():
            return {ONLY_SPLIT: [self.path]} if self.path.suffix == ".npz" else {}
        pair = [self.path / "images.npy", self.path / "labels.npy"]
        if all(file.is_file() for file in pair):
            names = self.path / NAMES_FILE
            return {ONLY_SPLIT: [*pair, names] if names.is_file() else pair}
        return {file.stem: [file] for file in sorted(self.path.glob("*.npz"))}


def _suggest_fix(images: NDArray[Any]) -> str:
    """Return how to correct images of a wrong type or shape; empty if unknown."""
    if images.dtype.kind == "f":
        return FLOAT_FIX
    if images.ndim == 4 and images.shape[1] in (1, 3, 4):
        return "; channels come last: save images.transpose(0, 2, 3, 1)"
    return ""


def _decode_class_names(stored: NDArray[Any], where: Path) -> list[str]:
    """Return the class names in a 1-D array of str or bytes. Raises DataError for another shape."""
    if stored.ndim != 1:
        raise DataError(f"{where}: class_names must be one name per class, not of shape {stored.shape}")
    return [
        name.decode("utf-8", errors="replace") if isinstance(name, bytes) else str(name) for name in stored
    ]


def _list_array_names(file: Path) -> list[str]:
    """Return the names of the arrays in an .npz file; empty if unreadable, which `load` reports."""
    if file.suffix != ".npz":
        return []
    try:
        with open_numpy_file(file) as stored:
            return list(stored)
    except DataError:
        return []


def _note_darkness(images: NDArray[np.uint8]) -> list[str]:
    """Return a remark if all images are nearly black, such as floats from 0 to 1 cast to uint8."""
    chosen = images[:: max(1, len(images) // DARKNESS_SAMPLES)]
    brightest = int(chosen.max()) if chosen.size else 255
    if brightest > 1:
        return []
    return [
        f"no pixel in the {len(chosen)} images checked exceeds {brightest} of 255: are they scaled to 0..1?"
    ]


def open_numpy_file(file: Path, **options: Any) -> Any:
    """Open an .npy or .npz file without pickle support.

    Raises DataError naming the file if it is damaged, or is not what its suffix says.
    """
    import numpy as np

    try:
        found = np.load(file, allow_pickle=False, **options)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{file}: can't be read as a NumPy file of plain numbers ({error})") from None
    if isinstance(found, np.ndarray) == (file.suffix == ".npz"):
        held = "one array (.npy)" if isinstance(found, np.ndarray) else "an archive (.npz)"
        raise DataError(f"{file}: holds {held}, unlike what its suffix says; rename it or save it again")
    return found


def read_array(stored: Any, key: str, where: Path) -> Any:
    """Return one array of an open .npz file. Raises DataError naming both if it can't be read."""
    try:
        return stored[key]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{where}: array '{key}' can't be read ({error})") from None
