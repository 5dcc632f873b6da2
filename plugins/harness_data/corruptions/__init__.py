"""The common corruptions of Hendrycks & Dietterich (ICLR 2019), applied in memory.

There are the 15 corruptions that the benchmark averages over (`CORRUPTIONS`) and 4 extra ones, at 5
severities, with the constants of ImageNet-C or those of CIFAR-10-C. They were rewritten with numpy,
scipy and Pillow and checked against the authors' make_imagenet_c.py and make_cifar_c.py (repository
hendrycks/robustness). As there, results are truncated, not rounded, to whole levels: a value may come
out one level darker.

Results on these corruptions are comparable with each other but NOT with results on the published
ImageNet-C and CIFAR-10-C files: ImageNet-C was stored as JPEG of quality 85, random numbers differ,
and the corruptions in `DEVIATIONS` also look different. For those benchmarks read the published files.

On images of other sizes than those of the constants (224 and 32 px), lengths stay in pixels, except
those of the elastic transformation, which the authors give as shares of the side.
"""

from __future__ import annotations

import importlib
from functools import partial
from typing import TYPE_CHECKING, Any

from harness import DataError, OptionError
from harness.errors import did_you_mean
from harness_data.corruptions.constants import (
    CONSTANTS,
    CORRUPTIONS,
    EXTRA_CORRUPTIONS,
    SEVERITIES,
    ConstantSet,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "ALL_CORRUPTIONS",
    "CONSTANTS",
    "CORRUPTIONS",
    "DEVIATIONS",
    "EXTRA_CORRUPTIONS",
    "MIN_SIDE",
    "SEVERITIES",
    "VERSIONS",
    "ConstantSet",
    "check_corruption",
    "corrupt",
    "pixel_version",
]

FIRST_VERSION = 1
VERSIONS: dict[str, int] = {"frost": 2}
"""Versions of corruptions whose pixels a change of code has changed; part of the fingerprint of such data."""

ALL_CORRUPTIONS: tuple[str, ...] = CORRUPTIONS + EXTRA_CORRUPTIONS

MIN_SIDE = 8
"""The shortest side, in px, for which the corruptions are defined."""

DEVIATIONS: dict[str, str] = {
    "frost": "drawn textures of equal colours and contrast replace the authors' photographs of frost, which cannot be "
    "shipped",
    "motion_blur": "ImageMagick's motion blur is computed in numpy, from its kernel and rounding rule",
    "snow": "the flakes are dragged by the same numpy version of ImageMagick's motion blur",
    "spatter": "own Canny edges and exact distances in place of OpenCV's approximate ones",
    "elastic_transform": "exact bilinear positions where OpenCV rounds to 1/32 px",
}
"""Corruptions whose pixels differ from the original implementation beyond its random numbers, and how."""

_MODULES: dict[str, str] = {
    **dict.fromkeys(("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise"), "noise"),
    **dict.fromkeys(("defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "gaussian_blur"), "blur"),
    **dict.fromkeys(("snow", "frost", "fog", "brightness"), "weather"),
    **dict.fromkeys(("contrast", "elastic_transform", "pixelate", "jpeg_compression", "saturate"), "digital"),
    "spatter": "splashes",
}


def pixel_version(name: str) -> int:
    """Return the version of a corruption's pixels."""
    return VERSIONS.get(name, FIRST_VERSION)


def check_corruption(name: str, severity: int, constants: str) -> None:
    """Raise OptionError unless the corruption, the severity and the set of constants exist."""
    if name not in ALL_CORRUPTIONS:
        raise OptionError(f"there is no corruption '{name}'{did_you_mean(name, ALL_CORRUPTIONS)}")
    if severity not in SEVERITIES or isinstance(severity, bool):
        raise OptionError(f"severity must be a whole number from 1 to 5, not {severity!r}")
    if constants not in CONSTANTS:
        raise OptionError(f"there are no constants '{constants}'{did_you_mean(constants, CONSTANTS)}")


def corrupt(
    image: NDArray[np.uint8],
    name: str,
    severity: int,
    seed: int,
    constants: ConstantSet = "imagenet",
) -> NDArray[np.uint8]:
    """Return a corrupted copy of a uint8 image H×W×3 with sides of at least 8 px.

    The same arguments give the same pixels, whatever the order in which images are corrupted.

    Raises OptionError for an unknown name, severity or set of constants, DataError for a wrong image.
    """
    import numpy as np

    check_corruption(name, severity, constants)
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or min(image.shape[:2]) < MIN_SIDE:
        raise DataError(
            f"corruption {name}: expected a uint8 image H×W×3 with sides of at least {MIN_SIDE} px, "
            f"got {image.dtype} {'×'.join(map(str, image.shape))}"
        )
    family = importlib.import_module(f"{__name__}.{_MODULES[name]}")
    function: Any = getattr(family, name)
    if name == "frost":
        function = partial(function, small=constants == "cifar")
    result: NDArray[Any] = function(
        image, np.random.default_rng(seed), CONSTANTS[constants][name][severity - 1]
    )
    if result.dtype == np.uint8:
        return result
    pixels: NDArray[np.uint8] = (np.clip(result, 0, 1) * 255).astype(np.uint8)
    return pixels
