"""Drawn images in memory, the split over them, and their file in the cache."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import Sample

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DrawnImages:
    """N images N×H×W×3 (uint8), labels N, and N captions."""

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    captions: Sequence[str]


def cache_folder() -> Path:
    """Return this plugin's folder in the harness's cache."""
    from harness.records.paths import cache_dir

    return cache_dir() / "embedded"


def load_or_make(name: str, make: Callable[[], Mapping[str, NDArray[Any]]]) -> Mapping[str, NDArray[Any]]:
    """Return the arrays cached under `name`; call `make` and write its result atomically if missing.

    Replace an unreadable file, with a warning. Of two processes that need the same images, one
    makes them and the other waits.
    """
    from harness.long_work import long_work
    from harness.records.files import cache_lock, write_cached

    path = cache_folder() / f"{name}.npz"
    with cache_lock(path):
        if path.exists():
            try:
                with np.load(path, allow_pickle=False) as held:
                    return {key: held[key] for key in held.files}
            except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
                log.warning("%s can't be read (%s); it is drawn again", path, error)
        with long_work(f"drawing {name}, once: the images are kept in the cache"):
            arrays: dict[str, Any] = dict(make())
        write_cached(path, lambda temporary: np.savez(temporary, **arrays))
        return arrays


def load_or_draw(name: str, make: Callable[[], DrawnImages]) -> DrawnImages:
    """Return the images cached under `name`, drawn by `make` if missing, as `load_or_make` does."""

    def draw() -> Mapping[str, NDArray[Any]]:
        drawn = make()
        return {"images": drawn.images, "labels": drawn.labels, "captions": np.array(drawn.captions)}

    held = load_or_make(name, draw)
    return DrawnImages(held["images"], held["labels"], held["captions"].tolist())


class DrawnSplit:
    """A split of drawn images in memory, restricted to `classes`.

    `classes` are indices into the label space, in the order of the split's own labels; samples of
    other classes are left out, and `label_indices` maps own labels back to the label space. Only
    the first `limit` samples of each class are kept.
    """

    def __init__(
        self,
        drawn: DrawnImages,
        prefix: str,
        space: Sequence[str],
        classes: Sequence[int],
        templates: Sequence[str],
        limit: int | None = None,
    ) -> None:
        own = np.full(len(space), -1, np.int64)
        own[list(classes)] = np.arange(len(classes))
        rows = np.flatnonzero(own[drawn.labels] >= 0)
        if limit is not None:
            within = np.zeros(len(rows), np.int64)
            for label in np.unique(drawn.labels[rows]):
                of_label = drawn.labels[rows] == label
                within[of_label] = np.arange(of_label.sum())
            rows = rows[within < limit]
        self._images = drawn.images[rows]
        self._captions = [drawn.captions[int(r)] for r in rows]
        self.targets: NDArray[np.int64] = own[drawn.labels[rows]]
        self.ids: Sequence[str] = [f"{prefix}/{r:05d}" for r in rows]
        self.class_names: Sequence[str] = [space[c] for c in classes]
        self.templates: Sequence[str] = list(templates)
        self.label_indices: Sequence[tuple[int, ...]] = [(int(c),) for c in classes]

    @property
    def images(self) -> NDArray[np.uint8]:
        """All images, N×H×W×3."""
        return self._images

    @property
    def captions(self) -> Sequence[str]:
        """All captions, N."""
        return self._captions

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        return Sample(
            id=self.ids[index],
            image=self._images[index],
            label=int(self.targets[index]),
            text=self._captions[index],
        )
