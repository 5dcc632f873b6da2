"""Images and labels in NumPy files."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.contract import Sample
from harness.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

ONLY_SPLIT = "test"
"""The split's name where the files name none."""


class ArraySplit:
    """Images uint8 N×H×W or N×H×W×3 with labels N, as samples. Satisfies `Split`."""

    def __init__(
        self,
        images: NDArray[np.uint8],
        labels: NDArray[Any],
        where: str,
        class_names: Sequence[str] | None = None,
        templates: Sequence[str] | None = None,
    ) -> None:
        """Raises DataError starting with `where` on a wrong type or shape, or a label out of range."""
        import numpy as np

        coloured = images.ndim == 4 and images.shape[3] in (1, 3, 4)
        if images.dtype != np.uint8 or not (images.ndim == 3 or coloured):
            raise DataError(
                f"{where}: images must be uint8 of shape N×H×W or N×H×W×3, not {images.dtype} {images.shape}"
            )
        if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
            raise DataError(f"{where}: labels must be N integers, not {labels.dtype} {labels.shape}")
        if len(images) != len(labels):
            raise DataError(f"{where}: {len(images)} images but {len(labels)} labels")
        if not len(labels):
            raise DataError(f"{where}: holds no samples")
        classes = len(class_names) if class_names else int(labels.max()) + 1
        if (bad := np.flatnonzero((labels < 0) | (labels >= classes))).size:
            raise DataError(f"{where}: label {labels[bad[0]]} of sample {bad[0]} is outside 0..{classes - 1}")
        self.images = images
        self.targets = labels.astype(np.int64)
        self.ids = [str(i) for i in range(len(labels))]
        self.class_names = list(class_names) if class_names else None
        self.templates = list(templates) if templates else None

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        import numpy as np

        identity = self.ids[index]
        return Sample(identity, np.asarray(self.images[index]), int(self.targets[index]))


class Arrays:
    """Images and labels from `<path>.npz` (`images`, `labels` and, if wanted, `class_names`), from
    a folder with one such `<split>.npz` per split, or from a folder with `images.npy`, `labels.npy`
    and, if wanted, `class_names.txt`. Where no split is named it is `test`. Ids count from 0.

    Args:
        path: the .npz file, or the folder of .npz or .npy files.
        class_names: a list, or a file with one per line; they go before names in the files.
        templates: zero-shot prompts with `{}` for the class name, as a list or in a file.
        label_space: the output space in which supervised classifiers answer for these labels.
    """

    def __init__(
        self,
        path: Path,
        *,
        class_names: list[str] | Path | None = None,
        templates: list[str] | Path | None = None,
        label_space: str | None = None,
    ) -> None:
        """Keeps the options."""
        self.path = Path(path).expanduser()
        self.class_names = class_names
        self.templates = templates
        self.label_space = label_space

    def unavailable(self) -> str | None:
        """Why there is nothing to load at the path."""
        if self._files:
            return None
        wanted = "an .npz file, or a folder with <split>.npz or with images.npy and labels.npy"
        return f"{self.path}: expected {wanted}"

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that are there: the names of the .npz files in a folder, else `test`."""
        return tuple(self._files)

    def fingerprint(self) -> str:
        """Digest of the files' content, class names and templates."""
        from harness_data.digests import file_digest, text_digest
        from harness_data.names import read_lines, templates_from

        parts: list[object] = [*(read_lines(self.class_names) or []), *(templates_from(self.templates) or [])]
        for split, files in self._files.items():
            parts += [split, *(f"{file.name} {file_digest(file)}" for file in files)]
        return text_digest(parts)

    def load(self, split: str) -> ArraySplit:
        """Opens one split; .npy images stay on disk until read.

        Raises DataError naming the file that is missing, damaged or of the wrong kind.
        """
        from harness_data.names import read_lines, templates_from
        from harness_data.scanning import check_split

        if missing := self.unavailable():
            raise DataError(missing)
        check_split(split, self.splits, str(self.path))
        files = self._files[split]
        names: Sequence[str] | None = None
        if files[0].suffix == ".npz":
            where = files[0]
            with opened(where) as stored:
                for key in ("images", "labels"):
                    if key not in stored:
                        there = ", ".join(stored) or "none"
                        raise DataError(f"{where}: no array '{key}' in it; there are: {there}")
                images, labels = member(stored, "images", where), member(stored, "labels", where)
                if "class_names" in stored:
                    names = [str(name) for name in member(stored, "class_names", where)]
        else:
            where = self.path
            images, labels = opened(files[0], mmap_mode="r"), opened(files[1])
            names = read_lines(files[2]) if len(files) > 2 else None
        given = read_lines(self.class_names)
        return ArraySplit(images, labels, str(where), given or names, templates_from(self.templates))

    @property
    def _files(self) -> dict[str, list[Path]]:
        if self.path.is_file():
            return {ONLY_SPLIT: [self.path]} if self.path.suffix == ".npz" else {}
        pair = [self.path / "images.npy", self.path / "labels.npy"]
        if all(file.is_file() for file in pair):
            names = self.path / "class_names.txt"
            return {ONLY_SPLIT: [*pair, names] if names.is_file() else pair}
        return {file.stem: [file] for file in sorted(self.path.glob("*.npz"))}


def opened(file: Path, **options: Any) -> Any:
    """What is in an .npy or .npz file, without pickle support.

    Raises DataError naming the file when it is damaged, or is not what its name says.
    """
    import numpy as np

    try:
        found = np.load(file, allow_pickle=False, **options)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{file}: can't be read as a NumPy file of plain numbers ({error})") from None
    if isinstance(found, np.ndarray) == (file.suffix == ".npz"):
        held = "one array (.npy)" if isinstance(found, np.ndarray) else "an archive (.npz)"
        raise DataError(f"{file}: holds {held}, not what its name says; rename it or save it again")
    return found


def member(stored: Any, key: str, where: Path) -> Any:
    """An array of an opened .npz file. Raises DataError naming both when it can't be read."""
    try:
        return stored[key]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{where}: array '{key}' can't be read ({error})") from None
