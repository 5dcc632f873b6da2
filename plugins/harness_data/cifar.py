"""CIFAR-10 and its shifts: CIFAR-10.1 (Recht et al. 2019) and CIFAR-10-C (Hendrycks & Dietterich 2019).

This module unpickles nothing. CIFAR-10 is read from its binary version or an .npz file. Its Python
version consists of pickles and is left to torchvision, which opens them only if their MD5 sums match
the published ones. The .npy files of the shifts are opened without pickle support.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness import DataError, OptionError, Sample, Unavailable
from harness_data import roots
from harness_data.arrays import open_numpy_file, read_array
from harness_data.corruptions import check_corruption

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

TEMPLATES = tuple(
    f"a {kind}photo of {article} {size}{{}}."
    for article in ("a", "the")
    for kind, size in (
        ("", ""),
        ("blurry ", ""),
        ("black and white ", ""),
        ("low contrast ", ""),
        ("high contrast ", ""),
        ("bad ", ""),
        ("good ", ""),
        ("", "small "),
        ("", "big "),
    )
)
"""The 18 zero-shot templates of CLIP's evaluation on CIFAR-10 (openai/CLIP, data/prompts.md)."""

ROWS = 10_000
"""Images in each file of CIFAR-10, and per severity in CIFAR-10-C."""

CIFAR101_COUNTS = {"v4": 2021, "v6": 2000}
"""Images in each version of CIFAR-10.1."""

RECORD_BYTES = 1 + 3 * 32 * 32
"""Bytes per image in the binary version: the label, then the red, green and blue planes."""


@dataclass
class CIFARSplit:
    """A split of uint8 images N×32×32×3 (possibly mapped from disk), N labels and ids."""

    images: NDArray[np.uint8]
    targets: NDArray[np.int64]
    ids: Sequence[str]
    class_names: Sequence[str] = CLASS_NAMES
    templates: Sequence[str] = TEMPLATES

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> Sample:
        import numpy as np

        image = np.ascontiguousarray(self.images[index])
        return Sample(self.ids[index], image, int(self.targets[index]))


def _build_split(images: Any, labels: Any, ids: Sequence[str], source: Path) -> CIFARSplit:
    """Return a split of images and labels. Raises DataError naming the file if a shape, type or label is wrong."""
    import numpy as np

    if images.dtype != np.uint8 or images.shape[1:] != (32, 32, 3):
        raise DataError(f"{source}: expected uint8 images N×32×32×3, found {images.dtype} {images.shape}")
    if not np.issubdtype(labels.dtype, np.integer) or labels.size != len(images):
        raise DataError(
            f"{source}: expected {len(images)} integer labels, found {labels.dtype} {labels.shape}"
        )
    targets = labels.reshape(-1).astype(np.int64)
    if len(targets) and not 0 <= targets.min() <= targets.max() < len(CLASS_NAMES):
        raise DataError(f"{source}: labels must lie in 0..9, found {targets.min()}..{targets.max()}")
    return CIFARSplit(images, targets, ids)


class _CifarFiles:
    """Base of the three data sets: files that may be missing, and the label space.

    Args:
        root: the folder that holds the data set's folder; by default $HARNESS_DATA_ROOT.
    """

    label_space = "cifar-10"

    def _files(self) -> list[Path]:
        raise NotImplementedError

    def unavailable(self) -> str | None:
        """Return where the files were looked for and how to get them, or None if they are present."""
        try:
            self._files()
        except Unavailable as reason:
            return str(reason)
        return None

    def fingerprint(self) -> str:
        """Return a digest of the files, or "absent" if they are missing."""
        from harness import content_digest
        from harness_data.digests import text_digest

        try:
            files = self._files()
        except Unavailable:
            return "absent"
        return text_digest(f"{path.name} {content_digest(path)}" for path in files)

    def _check_split(self, split: str, splits: Sequence[str]) -> None:
        if split not in splits:
            raise OptionError(f"{type(self).__name__} has no split '{split}'; it has {', '.join(splits)}")


class CIFAR10(_CifarFiles):
    """CIFAR-10 (Krizhevsky 2009), 50,000 training and 10,000 test images of 10 classes.

    Below `root` (default: HARNESS_DATA_ROOT) or its folder cifar10: `cifar-10-batches-bin`,
    `cifar-10-batches-py`, or `cifar10.npz` with x_train, y_train, x_test and y_test.
    """

    splits = ("train", "test")
    _places = tuple(
        folder + name
        for name in ("cifar-10-batches-bin/test_batch.bin", "cifar-10-batches-py/test_batch", "cifar10.npz")
        for folder in ("", "cifar10/")
    )

    def __init__(self, root: Path | None = None) -> None:
        self.root = root

    @classmethod
    def recognise(cls, path: Path) -> dict[str, Path] | None:
        """Return the options for a folder with CIFAR-10 in it, or for one of its own folders, or None."""
        inside = next(
            (root for root in (path, path.parent) if any((root / p).exists() for p in cls._places)), None
        )
        own = {(inside / p).parent for p in cls._places} if inside else set()
        return {"root": inside} if inside and path.is_dir() and path in {inside, *own} else None

    def _files(self) -> list[Path]:
        how = (
            "get cifar-10-binary.tar.gz from the CIFAR page of the University of Toronto and unpack it there"
        )
        found = roots.find_data(self.root, self._places, how)
        if found.suffix == ".npz":
            return [found]
        batches = [found.with_name(f"data_batch_{i}{found.suffix}") for i in range(1, 6)]
        return [*(path for path in batches if path.exists()), found]

    def load(self, split: str) -> CIFARSplit:
        """Load a split. Raises Unavailable for missing files, DataError for wrong ones."""
        self._check_split(split, self.splits)
        files = self._files()
        last = files[-1]
        if last.suffix == ".npz":
            images, labels = _read_npz(last, split)
        elif last.suffix == ".bin":
            images, labels = _read_binary(last.parent, split)
        else:
            images, labels = _read_pickles(last.parent, split)
        return _build_split(images, labels, [f"{split}/{i:05d}" for i in range(len(images))], last)


def _read_npz(path: Path, split: str) -> tuple[Any, Any]:
    with open_numpy_file(path) as arrays:
        wanted = (f"x_{split}", f"y_{split}")
        missing = [name for name in wanted if name not in arrays]
        if missing:
            raise DataError(f"{path}: has no array {' or '.join(missing)}; it has {', '.join(arrays)}")
        return read_array(arrays, wanted[0], path), read_array(arrays, wanted[1], path)


def _read_binary(folder: Path, split: str) -> tuple[Any, Any]:
    import numpy as np

    names = ["test_batch.bin"] if split == "test" else [f"data_batch_{i}.bin" for i in range(1, 6)]
    parts = []
    for path in (folder / name for name in names):
        if not path.exists():
            raise Unavailable(f"{path} is missing; unpack cifar-10-binary.tar.gz again")
        if path.stat().st_size != ROWS * RECORD_BYTES:
            raise DataError(
                f"{path}: expected {ROWS * RECORD_BYTES} bytes, found {path.stat().st_size}; unpack it again"
            )
        parts.append(np.fromfile(path, np.uint8).reshape(ROWS, RECORD_BYTES))
    rows = np.concatenate(parts) if len(parts) > 1 else parts[0]
    return rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), rows[:, 0]


def _read_pickles(folder: Path, split: str) -> tuple[Any, Any]:
    import numpy as np
    from torchvision.datasets import CIFAR10 as Verified

    try:
        data = Verified(str(folder.parent), train=split == "train", download=False)
    except RuntimeError:
        raise DataError(
            f"{folder}: the files are not the published ones (MD5), so they are not unpickled; "
            "download them again or use the binary version"
        ) from None
    return data.data, np.asarray(data.targets)


class CIFAR101(_CifarFiles):
    """CIFAR-10.1 (Recht et al. 2019), a new test set: v6 (2,000 images, balanced) or v4 (2,021).

    Args:
        version: `v6` (2,000 images, class-balanced) or `v4` (2,021 images).
    """

    splits = ("test",)

    def __init__(self, version: Literal["v4", "v6"] = "v6", root: Path | None = None) -> None:
        self.version = version
        self.root = root

    def _files(self) -> list[Path]:
        how = "get the datasets folder of the repository modestyachts/CIFAR-10.1"
        folders = ("", "CIFAR-10.1/", "CIFAR-10.1/datasets/", "cifar10.1/")
        data = roots.find_data(self.root, [f"{f}cifar10.1_{self.version}_data.npy" for f in folders], how)
        return [data, roots.find_data(data.parent, [f"cifar10.1_{self.version}_labels.npy"], how)]

    def load(self, split: str) -> CIFARSplit:
        """Load the test split. Raises Unavailable for missing files, DataError for wrong ones."""
        self._check_split(split, self.splits)
        data, labels = self._files()
        images, count = open_numpy_file(data), CIFAR101_COUNTS[self.version]
        if images.shape[:1] != (count,):
            raise DataError(f"{data}: expected {count} images, found shape {images.shape}")
        ids = [f"{self.version}/{i:04d}" for i in range(count)]
        return _build_split(images, open_numpy_file(labels), ids, data)


class CIFAR10C(_CifarFiles):
    """CIFAR-10-C as published: the 10,000 test images under one corruption at one severity 1..5.

    Ids are those of the clean test split of `cifar10`, so that results can be paired.

    Args:
        corruption: the name of its file: `gaussian_noise`, `fog`, `jpeg_compression`, ….
        severity: from 1 (weakest) to 5.
    """

    splits = ("test",)

    def __init__(self, corruption: str, severity: int = 1, root: Path | None = None) -> None:
        check_corruption(corruption, severity, "cifar")
        self.corruption = corruption
        self.severity = severity
        self.tags = {"corruption": corruption, "severity": severity}
        self.root = root

    def _files(self) -> list[Path]:
        how = "get CIFAR-10-C.tar from Zenodo record 2535967 and unpack it there"
        folders = ("CIFAR-10-C/", "cifar10-c/", "")
        data = roots.find_data(self.root, [f"{f}{self.corruption}.npy" for f in folders], how)
        return [data, roots.find_data(data.parent, ["labels.npy"], how)]

    def load(self, split: str) -> CIFARSplit:
        """Load the test split. Raises Unavailable for missing files, DataError for wrong ones."""
        self._check_split(split, self.splits)
        data, label_file = self._files()
        images, labels = open_numpy_file(data, mmap_mode="r"), open_numpy_file(label_file)
        for path, array in ((data, images), (label_file, labels)):
            if array.ndim == 0 or len(array) != 5 * ROWS:
                raise DataError(f"{path}: expected {5 * ROWS} rows (5 severities), found shape {array.shape}")
        rows = slice((self.severity - 1) * ROWS, self.severity * ROWS)
        return _build_split(images[rows], labels[rows], [f"test/{i:05d}" for i in range(ROWS)], data)
