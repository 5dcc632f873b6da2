"""Corruption error: a model's error on corrupted images relative to a normaliser's.

After Hendrycks & Dietterich 2019, "Benchmarking Neural Network Robustness to Common Corruptions
and Perturbations". Errors are fractions, always keyed by corruption name: with plain lists, errors and
corruptions in different orders would go unnoticed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from harness import DataError
from harness.errors import did_you_mean
from harness_data.corruptions.constants import CORRUPTIONS

Errors = Mapping[str, float | Sequence[float]]
"""Error rate per corruption: one per severity, or their mean."""

IMAGENET_C = CORRUPTIONS
"""The 15 corruptions that mCE averages over, without the four held-out ones of ImageNet-C."""

ALEXNET_ERROR: dict[str, float] = {
    "gaussian_noise": 0.886428,
    "shot_noise": 0.894468,
    "impulse_noise": 0.922640,
    "defocus_blur": 0.819880,
    "glass_blur": 0.826268,
    "motion_blur": 0.785948,
    "zoom_blur": 0.798360,
    "snow": 0.866816,
    "frost": 0.826572,
    "fog": 0.819324,
    "brightness": 0.564592,
    "contrast": 0.853204,
    "elastic_transform": 0.646056,
    "pixelate": 0.717840,
    "jpeg_compression": 0.606500,
}
"""AlexNet's top-1 error on ImageNet-C, mean over the five severities.

A secondary source: three public ImageNet-C evaluation scripts agree on these figures, two of them derived
from AugMix's; the benchmark authors' own sheet could not be reached for comparison.
"""

ALEXNET_CLEAN_ERROR = 0.4348
"""AlexNet's top-1 error on the uncorrupted ImageNet validation set."""


def corruption_errors(errors: Errors, normaliser: Errors) -> dict[str, float]:
    """Return CE_c = 100·Σ_s E_cs / Σ_s E'_cs per corruption: the model's errors over the normaliser's.

    The sums are divided, not each severity. The normaliser itself has 100. Raises DataError if a corruption
    is missing or extra, or if the normaliser makes no error to divide by.
    """
    _check_same_corruptions(errors, normaliser)
    ratios = {}
    for name in normaliser:
        below = _mean(normaliser[name])
        if below <= 0:
            raise DataError(
                f"corruption error: the normaliser makes no errors on {name!r}, so there is nothing to divide by"
            )
        ratios[name] = 100.0 * _check_and_average(name, errors, normaliser) / below
    return ratios


def mean_corruption_error(errors: Errors, normaliser: Errors = ALEXNET_ERROR) -> float:
    """Return mCE, the mean of `corruption_errors` over the corruptions, in percent; lower is better."""
    return float(np.mean(list(corruption_errors(errors, normaliser).values())))


def relative_mean_corruption_error(
    errors: Errors,
    clean: float,
    normaliser: Errors = ALEXNET_ERROR,
    normaliser_clean: float = ALEXNET_CLEAN_ERROR,
) -> float:
    """Return relative mCE = 100·mean_c Σ_s(E_cs − E_clean) / Σ_s(E'_cs − E'_clean), in percent.

    It divides the increase over the clean error by the normaliser's increase. Raises DataError as
    `corruption_errors`, and if the normaliser loses nothing to a corruption.
    """
    _check_same_corruptions(errors, normaliser)
    if harmless := harmless_corruptions(normaliser, normaliser_clean):
        named = ", ".join(map(repr, harmless))
        raise DataError(
            f"relative mCE: the normaliser loses nothing to {named}, so there is nothing to divide by"
        )
    ratios = [
        (_check_and_average(name, errors, normaliser) - clean) / (_mean(theirs) - normaliser_clean)
        for name, theirs in normaliser.items()
    ]
    return float(100.0 * np.mean(ratios))


def harmless_corruptions(normaliser: Errors, normaliser_clean: float) -> list[str]:
    """Return the corruptions that cost the normaliser nothing, by which relative mCE can't divide."""
    # averaging leaves equal errors different in their last bits, and no test set resolves 1e-9
    return [name for name, theirs in normaliser.items() if _mean(theirs) - normaliser_clean < 1e-9]


def mean_error(errors: Errors, corruptions: Sequence[str] | None = None) -> float:
    """Return the plain mean error over corruptions and severities, a fraction, as used for CIFAR-10-C.

    Raises DataError unless the errors cover exactly `corruptions` (if given), and for corruptions with
    different numbers of severities, which the mean would weigh unequally.
    """
    if corruptions is not None:
        _check_same_corruptions(errors, dict.fromkeys(corruptions, 0.0))
    sizes = {name: np.size(value) for name, value in errors.items()}
    if len(set(sizes.values())) != 1:
        raise DataError(f"mean error: corruptions must have the same number of severities, got {sizes}")
    return float(np.mean([_mean(value) for value in errors.values()]))


def _mean(value: float | Sequence[float]) -> float:
    return float(np.mean(np.asarray(value, dtype=np.float64)))


def _check_and_average(name: str, errors: Errors, normaliser: Errors) -> float:
    """Return the model's mean error on `name`. Raises DataError if its number of severities is not the normaliser's."""
    ours, theirs = np.size(errors[name]), np.size(normaliser[name])
    if np.ndim(errors[name]) and np.ndim(normaliser[name]) and ours != theirs:
        raise DataError(f"corruption error: {name!r} has {ours} severities, its normaliser has {theirs}")
    return _mean(errors[name])


def _check_same_corruptions(errors: Errors, normaliser: Errors) -> None:
    missing = [name for name in normaliser if name not in errors]
    extra = [name for name in errors if name not in normaliser]
    if extra:
        raise DataError(
            f"corruption error: {', '.join(map(repr, extra))} not among the normaliser's "
            f"{len(normaliser)} corruptions{did_you_mean(extra[0], normaliser)}"
        )
    if missing:
        raise DataError(f"corruption error: no errors for {', '.join(map(repr, missing))}")
