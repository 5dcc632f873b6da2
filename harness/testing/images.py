"""Images that trip preprocessing: every mode that files come in, a single pixel, and very long ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

MODES = ("RGB", "1", "L", "LA", "P", "PA", "RGBA", "CMYK", "YCbCr", "I;16")
SIZES = {"1×1": (1, 1), "very wide": (300, 4), "very tall": (4, 300), "of odd sides": (67, 43)}


def pictures(count: int = 4) -> list[Image.Image]:
    """RGB images of several sizes, smooth with some noise, the same every time."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(20)
    made = []
    for n in range(count):
        width, height = (64 + 13 * n, 80 - 7 * n)
        coarse = Image.fromarray(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.int16)
        noisy = np.clip(smooth + rng.integers(-12, 13, smooth.shape), 0, 255)
        made.append(Image.fromarray(noisy.astype(np.uint8)))
    return made


def odd_images() -> dict[str, Image.Image]:
    """Odd images by what is odd about them."""
    import numpy as np
    from PIL import Image

    base = pictures(1)[0]
    found: dict[str, Image.Image] = {}
    for mode in MODES:
        if mode == "I;16":
            grey = np.asarray(base.convert("L"), np.uint16) * 257
            found["of 16 bits"] = Image.fromarray(grey)
        elif mode in ("LA", "PA"):
            found[f"of mode {mode}"] = base.convert("L").convert("LA").convert(mode)
        else:
            found[f"of mode {mode}"] = base.convert(mode)
    found |= {name: base.resize(size) for name, size in SIZES.items()}
    return found
