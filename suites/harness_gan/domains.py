"""Data sets of two image domains: two folders, or drawn photographs and sketches of the same scenes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import DataError, OptionError, did_you_mean

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.contract import Sample

SPLITS = ("trainA", "trainB", "testA", "testB")
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")


def _images(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and not p.name.startswith("."))


class Domains:
    """Images of a domain A and a domain B, unpaired, or paired by their order.

    Either `path` holds `trainA`, `trainB`, `testA` and `testB`, or `a` and `b` are two folders, of
    whose images (sorted by name) the last `held_out` share is the test part.

    Args:
        path: a folder in the usual layout.
        a: the folder of domain A.
        b: the folder of domain B.
        held_out: share of the images of `a` and `b` that are kept for testing.
        paired: the n-th image of A and the n-th of B show the same, so that Pix2Pix can learn from
            them and translations can be compared with the truth.
    """

    splits: Sequence[str] = SPLITS

    def __init__(
        self,
        path: Path | None = None,
        a: Path | None = None,
        b: Path | None = None,
        held_out: float = 0.1,
        paired: bool = False,
    ) -> None:
        if (path is None) == (a is None) or (a is None) != (b is None):
            raise OptionError("domains: give either path, or both a and b")
        if not 0 < held_out < 1:
            raise OptionError(f"domains: held_out must be between 0 and 1, found {held_out}")
        self.path, self.a, self.b, self.held_out, self.paired = path, a, b, held_out, paired

    def files(self, split: str) -> list[Path]:
        """The image files of a split, in order."""
        if self.path is not None:
            return _images(Path(self.path).expanduser() / split)
        folder = self.a if split.endswith("A") else self.b
        assert folder is not None
        found = _images(Path(folder).expanduser())
        cut = len(found) - max(1, round(self.held_out * len(found)))
        return found[:cut] if split.startswith("train") else found[cut:]

    def unavailable(self) -> str | None:
        """Which part has no images, or that paired parts differ in number."""
        counts = {split: len(self.files(split)) for split in SPLITS}
        where = self.path or f"{self.a} and {self.b}"
        for split, count in counts.items():
            if count == 0:
                return f"domains: {where}: no images for {split} (expected {', '.join(SUFFIXES)} files)"
        if self.paired and any(counts[f"{p}A"] != counts[f"{p}B"] for p in ("train", "test")):
            return f"domains: {where}: paired domains need as many images of A as of B, found {counts}"
        return None

    def fingerprint(self) -> str:
        """Digest of the files' names and sizes."""
        import hashlib

        lines = [f"{s}/{p.name} {p.stat().st_size}" for s in SPLITS for p in self.files(s)]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:20]

    def load(self, split: str) -> DomainFiles:
        """One domain's part; raises DataError for a split that there is not."""
        if split not in SPLITS:
            raise DataError(f"domains has no split '{split}'{did_you_mean(split, SPLITS)}")
        return DomainFiles(self.files(split))


class DomainFiles:
    """Image files of one domain, without labels."""

    def __init__(self, files: Sequence[Path]) -> None:
        import numpy as np

        self.files = list(files)
        self.ids: Sequence[str] = [p.name for p in files]
        self.targets: NDArray[np.int64] = np.full(len(self.files), -1, np.int64)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Sample:
        from harness.contract import EncodedImage, Sample

        path = self.files[index]
        return Sample(self.ids[index], EncodedImage(path.read_bytes(), str(path)))


class SceneDomains:
    """Photograph-like drawings (A) and sketches (B) of the same scenes, 32×32 RGB, with class labels.

    The n-th images of both domains show one scene, so that translations can be compared with the
    truth. Unpaired training draws the two domains independently and never sees which belong together.

    Args:
        train: scenes in the training part.
        test: scenes in the test part.
    """

    splits: Sequence[str] = SPLITS
    paired = True

    def __init__(self, train: int = 1200, test: int = 300) -> None:
        if min(train, test) < 12:
            raise OptionError("scene-domains: train and test must be at least 12, one scene of each class")
        self.counts = {"train": train, "test": test}

    def fingerprint(self) -> str:
        """The version of the drawing recipe."""
        from harness_embedded.drawing import RECIPE

        return f"scene-domains-1 {RECIPE}"

    def load(self, split: str) -> SceneDomain:
        """One domain's part; raises DataError for a split that there is not."""
        if split not in SPLITS:
            raise DataError(f"scene-domains has no split '{split}'{did_you_mean(split, SPLITS)}")
        return SceneDomain(split, self.counts[split[:-1]])


class SceneDomain:
    """Scenes drawn from a seed that both domains share, rendered in the domain's style."""

    def __init__(self, split: str, count: int) -> None:
        import numpy as np

        from harness.seeds import derive_seed
        from harness_embedded.painting import paint, to_bytes
        from harness_embedded.sampling import REFERENCE, sample
        from harness_embedded.shapes import CLASSES
        from harness_embedded.styles import render

        rng = np.random.default_rng(derive_seed("scene-domains", split[:-1], count))
        labels = np.arange(count, dtype=np.int64) % len(CLASSES)
        layers = paint(sample(rng, labels, REFERENCE), rng)
        style = np.array(["photo" if split.endswith("A") else "sketch"] * count)
        own = np.random.default_rng(derive_seed("scene-domains", split, count))
        self.images: NDArray[np.uint8] = to_bytes(render(layers, style, own))
        self.targets: NDArray[np.int64] = labels
        self.class_names: Sequence[str] = list(CLASSES)
        self.ids: Sequence[str] = [f"{split}/{n:05d}" for n in range(count)]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        from harness.contract import Sample

        return Sample(self.ids[index], self.images[index], int(self.targets[index]))
