"""The constants of the common corruptions for severities 1..5, different for ImageNet and CIFAR.

Hendrycks & Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions and
Perturbations", ICLR 2019. The figures are those of the authors' repository hendrycks/robustness,
files ImageNet-C/create_c/make_imagenet_c.py (revision e0377d4) and make_cifar_c.py (ca36008).
They are in pixels of a 224×224 and a 32×32 image, except where a comment says otherwise.
"""

from __future__ import annotations

from typing import Any, Literal

ConstantSet = Literal["imagenet", "cifar"]

CORRUPTIONS: tuple[str, ...] = (
    "gaussian_noise",
    "shot_noise",
    "impulse_noise",
    "defocus_blur",
    "glass_blur",
    "motion_blur",
    "zoom_blur",
    "snow",
    "frost",
    "fog",
    "brightness",
    "contrast",
    "elastic_transform",
    "pixelate",
    "jpeg_compression",
)
"""The benchmark's 15 corruptions, which mCE averages over, in its order."""

EXTRA_CORRUPTIONS: tuple[str, ...] = ("speckle_noise", "gaussian_blur", "spatter", "saturate")
"""The 4 corruptions that the authors reserve for validation."""

SEVERITIES: tuple[int, ...] = (1, 2, 3, 4, 5)

Levels = tuple[Any, Any, Any, Any, Any]


def _scale_to_244(*shares: float) -> tuple[float, ...]:
    return tuple(244 / 224 * share for share in shares)


IMAGENET: dict[str, Levels] = {
    # standard deviation, of intensities in [0, 1]
    "gaussian_noise": (0.08, 0.12, 0.18, 0.26, 0.38),
    # photons at intensity 1
    "shot_noise": (60, 25, 12, 5, 3),
    # share of values replaced
    "impulse_noise": (0.03, 0.06, 0.09, 0.17, 0.27),
    # (radius, sigma that smooths the disk's edge)
    "defocus_blur": ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    # (sigma, largest displacement, rounds)
    "glass_blur": ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    # (radius, sigma)
    "motion_blur": ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    # (stop, step) of the zoom factors from 1 on
    "zoom_blur": ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
    # (flakes' mean, their deviation, zoom, threshold, blur radius, blur sigma, share of the image kept)
    "snow": (
        (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
        (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
        (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
        (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
        (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
    ),
    # (weight of the image, weight of the frost)
    "frost": ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
    # (strength, decay of the roughness from scale to scale)
    "fog": ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
    # added to the value of HSV
    "brightness": (0.1, 0.2, 0.3, 0.4, 0.5),
    # factor on the distance to the channel's mean
    "contrast": (0.4, 0.3, 0.2, 0.1, 0.05),
    # (alpha, sigma, shift of the affine map's corners), each as a share of the side. The authors
    # multiply by 244 where the side is 224, and published the data so.
    "elastic_transform": (
        _scale_to_244(2, 0.7, 0.1),
        _scale_to_244(2, 0.08, 0.2),
        _scale_to_244(0.05, 0.01, 0.02),
        _scale_to_244(0.07, 0.01, 0.02),
        _scale_to_244(0.12, 0.01, 0.02),
    ),
    # side of the shrunken image, as a share
    "pixelate": (0.6, 0.5, 0.4, 0.3, 0.25),
    # quality
    "jpeg_compression": (25, 18, 15, 10, 7),
    # standard deviation relative to the intensity
    "speckle_noise": (0.15, 0.2, 0.35, 0.45, 0.6),
    # sigma
    "gaussian_blur": (1, 2, 3, 4, 6),
    # (drops' mean, their deviation, sigma, threshold, strength or sigma, 0 for water and 1 for mud)
    "spatter": (
        (0.65, 0.3, 4, 0.69, 0.6, 0),
        (0.65, 0.3, 3, 0.68, 0.6, 0),
        (0.65, 0.3, 2, 0.68, 0.5, 0),
        (0.65, 0.3, 1, 0.65, 1.5, 1),
        (0.67, 0.4, 1, 0.65, 1.5, 1),
    ),
    # (factor on the saturation of HSV, what is added)
    "saturate": ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),
}

CIFAR: dict[str, Levels] = {
    "gaussian_noise": (0.04, 0.06, 0.08, 0.09, 0.10),
    "shot_noise": (500, 250, 100, 75, 50),
    "impulse_noise": (0.01, 0.02, 0.03, 0.05, 0.07),
    "defocus_blur": ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),
    "glass_blur": ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
    "motion_blur": ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
    "zoom_blur": ((1.06, 0.01), (1.11, 0.01), (1.16, 0.01), (1.21, 0.01), (1.26, 0.01)),
    "snow": (
        (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
        (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
        (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
        (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
        (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
    ),
    "frost": ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
    "fog": ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
    "brightness": (0.05, 0.1, 0.15, 0.2, 0.3),
    "contrast": (0.75, 0.5, 0.4, 0.3, 0.15),
    "elastic_transform": (
        (0, 0, 0.08),
        (0.05, 0.2, 0.07),
        (0.08, 0.06, 0.06),
        (0.1, 0.04, 0.05),
        (0.1, 0.03, 0.03),
    ),
    "pixelate": (0.95, 0.9, 0.85, 0.75, 0.65),
    "jpeg_compression": (80, 65, 58, 50, 40),
    "speckle_noise": (0.06, 0.1, 0.12, 0.16, 0.2),
    "gaussian_blur": (0.4, 0.6, 0.7, 0.8, 1),
    "spatter": (
        (0.62, 0.1, 0.7, 0.7, 0.5, 0),
        (0.65, 0.1, 0.8, 0.7, 0.5, 0),
        (0.65, 0.3, 1, 0.69, 0.5, 0),
        (0.65, 0.1, 0.7, 0.69, 0.6, 1),
        (0.65, 0.1, 0.5, 0.68, 0.6, 1),
    ),
    "saturate": ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),
}

CONSTANTS: dict[str, dict[str, Levels]] = {"imagenet": IMAGENET, "cifar": CIFAR}
