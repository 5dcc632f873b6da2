"""The data sets `digits` (handwritten, from scikit-learn) and `printed-digits` (rendered from fonts)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness import DataError
from harness.errors import did_you_mean

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness_embedded.drawn_images import DrawnImages, DrawnSplit

RECIPE = "digits-2"
"""Version of the images; raise it with every change that alters them."""

SPLITS = ("train", "val", "test")
CLASSES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEMPLATES = ('a photo of the number: "{}".', "the digit {}.", "a {}.", "a picture of the digit {}.")
PRINTED_PER_CLASS = {"train": 60, "val": 20, "test": 40}
FONTS = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique",
    "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "DejaVuSerif-BoldItalic",
    "DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-Oblique", "DejaVuSansMono-BoldOblique",
)  # fmt: skip
"""Fonts that matplotlib ships."""

_WORDINGS = ('a photo of the number: "{}".', "the digit {}", "a {} {}", "a picture of the {} digit {}", "{}")


def _enlarge(small: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Enlarge images N×8×8 to N×32×32×3, bicubically."""
    import numpy as np
    from PIL import Image

    large = [np.asarray(Image.fromarray(s).resize((32, 32), Image.Resampling.BICUBIC)) for s in small]
    return np.repeat(np.stack(large)[..., None], 3, axis=3)


def _write_captions(labels: NDArray[np.int64], kind: str, seed: int) -> list[str]:
    import numpy as np

    wordings = np.random.default_rng(seed).integers(len(_WORDINGS), size=len(labels))
    captions = []
    for label, wording in zip(labels, wordings, strict=True):
        text = _WORDINGS[wording]
        words = (kind, CLASSES[label]) if text.count("{}") == 2 else (CLASSES[label],)
        captions.append(text.format(*words))
    return captions


def load_handwritten(split: str) -> DrawnImages:
    """Return a split of scikit-learn's 1797 digits (60/15/25, stratified by class)."""
    import numpy as np
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    from harness import derive_seed
    from harness_embedded.drawn_images import DrawnImages

    bunch = load_digits()
    labels = bunch.target.astype(np.int64)
    rest, test = train_test_split(np.arange(len(labels)), test_size=0.25, stratify=labels, random_state=0)
    train, val = train_test_split(rest, test_size=0.2, stratify=labels[rest], random_state=0)
    rows = np.sort({"train": train, "val": val, "test": test}[split])
    grey = np.minimum(bunch.images[rows] * 16, 255).astype(np.uint8)  # 17 levels, 0 to 16
    return DrawnImages(
        _enlarge(grey),
        labels[rows],
        _write_captions(labels[rows], "handwritten", derive_seed(RECIPE, "hand", split)),
    )


def draw_printed(split: str) -> DrawnImages:
    """Draw digits in twelve fonts, light on dark, on the same 8×8 grid as the handwritten ones.

    Size, position and slant vary slightly; the shape shifts, not the resolution.
    """
    from pathlib import Path

    import matplotlib
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont

    from harness import derive_seed
    from harness_embedded.drawn_images import DrawnImages

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    rng = np.random.default_rng(derive_seed(RECIPE, "printed", split))
    labels = np.tile(np.arange(10, dtype=np.int64), PRINTED_PER_CLASS[split])
    fonts = {(f, s): ImageFont.truetype(folder / f"{f}.ttf", s) for f in FONTS for s in range(60, 81, 4)}
    small = []
    for label in labels:
        font = fonts[FONTS[rng.integers(len(FONTS))], int(rng.integers(60, 81) // 4 * 4)]
        canvas = Image.new("L", (80, 80))
        place = (40 + int(rng.integers(-4, 5)), 40 + int(rng.integers(-4, 5)))
        ImageDraw.Draw(canvas).text(
            place, str(label), fill=int(rng.integers(200, 256)), font=font, anchor="mm"
        )
        turned = canvas.rotate(float(rng.uniform(-8, 8)), Image.Resampling.BILINEAR)
        small.append(np.asarray(turned.resize((8, 8), Image.Resampling.BOX)))
    return DrawnImages(
        _enlarge(np.stack(small)),
        labels,
        _write_captions(labels, "printed", derive_seed(RECIPE, "pc", split)),
    )


class _DigitSet:
    label_space = "digits"
    splits: Sequence[str] = SPLITS
    _name: str

    def fingerprint(self) -> str:
        """Return the version of the recipe."""
        return RECIPE

    def load(self, split: str) -> DrawnSplit:
        """Draw the split, or read it from the cache.

        Raises:
            DataError: there is no such split.
        """
        from harness_embedded.drawn_images import DrawnSplit

        if split not in self.splits:
            raise DataError(f"{self._name} has no split '{split}'{did_you_mean(split, self.splits)}")
        return DrawnSplit(
            load_digit_images(self._name, split), f"{self._name}-{split}", CLASSES, range(10), TEMPLATES
        )


class Digits(_DigitSet):
    """Real handwritten digits from scikit-learn (8×8), enlarged to 32×32 RGB."""

    _name = "digits"


class PrintedDigits(_DigitSet):
    """Digits printed in fonts: a shift of the handwritten ones with the same size and colours."""

    _name = "printed-digits"


def load_digit_images(name: str, split: str) -> DrawnImages:
    """Return a split of `digits` or `printed-digits`, from the cache if it is there."""
    from harness_embedded.drawn_images import load_or_draw

    make = load_handwritten if name == "digits" else draw_printed
    return load_or_draw(f"{RECIPE}-{name}-{split}", lambda: make(split))
