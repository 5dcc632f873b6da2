"""Metrics of generated samples, as plugins."""

from __future__ import annotations

from typing import ClassVar

from harness import HarnessError, OptionError
from harness_generative.generated_samples import GeneratedSamples, ModeAssignment


def _require_modes(evidence: GeneratedSamples, name: str) -> ModeAssignment:
    if evidence.modes is None:
        raise HarnessError(f"metric '{name}' needs a data set with known modes, or labels to learn them from")
    return evidence.modes


class ModesCovered:
    """Number of the K modes with at least `share`·N/K good ones of the N samples; at least one always.

    One good sample (share 0) is the literature's threshold, and an insensitive one: show others beside it.

    Args:
        share: threshold in units of N/K, the samples per mode of an even spread; not negative.
    """

    title = "Modes"
    higher_is_better = True

    def __init__(self, share: float = 0.0) -> None:
        if share < 0:
            raise OptionError(f"modes: share must not be negative, found {share}")
        self.share = share

    def __call__(self, evidence: GeneratedSamples) -> float:
        """Return the number of modes."""
        from harness_generative.modes import measure_mode_coverage

        modes = _require_modes(evidence, "modes")
        return measure_mode_coverage(modes.nearest, modes.good, modes.count, [self.share])[
            f"at_{self.share:g}"
        ]


class HighQuality:
    """Share of samples within 3σ of their mode, or of images that the classifier labels with confidence."""

    title = "High quality"
    higher_is_better = True
    unit = "fraction"
    bounds = (0, 1)

    def __call__(self, evidence: GeneratedSamples) -> float:
        """Return the share."""
        return float(_require_modes(evidence, "high-quality").good.mean())


class ReverseKL:
    """KL divergence of the good samples' modes from uniform, in nats; ln K, the worst, if no sample is good."""

    title = "Reverse KL"
    higher_is_better = False
    unit = "nats"

    def __call__(self, evidence: GeneratedSamples) -> float:
        """Return the divergence."""
        from harness_generative.modes import count_modes, reverse_kl

        modes = _require_modes(evidence, "reverse-kl")
        return reverse_kl(count_modes(modes.nearest, modes.good, modes.count))


class FrechetDistance:
    """Fréchet distance to the test samples, named by its extractor, and the floor that real data reach.

    It is called FID only with the weights that define the FID (`fid-inception`).
    """

    title = "Fréchet distance"
    higher_is_better = False

    def __call__(self, evidence: GeneratedSamples) -> dict[str, float]:
        """Return the distance, and `floor`: that of as many real training samples."""
        from harness_generative.fidelity import frechet_distance

        real = evidence.train[: len(evidence.fake)]
        name = evidence.describe_distance(evidence.test)
        return {
            f"FID {name}" if evidence.is_fid else name: frechet_distance(evidence.fake, evidence.test),
            "floor": frechet_distance(real, evidence.test),
        }


class KernelDistance:
    """KID (×1), named by its extractor, and the floor that real data reach; unbiased, so it may be negative."""

    title = "KID"
    higher_is_better = False

    def __call__(self, evidence: GeneratedSamples) -> dict[str, float]:
        """Return the distance, and `floor`: that of as many real training samples."""
        from harness_generative.fidelity import kernel_distance

        real = evidence.train[: len(evidence.fake)]
        return {
            evidence.describe_distance(evidence.test): kernel_distance(evidence.fake, evidence.test),
            "floor": kernel_distance(real, evidence.test),
        }


class PrecisionRecall:
    """Precision, recall, density and coverage by k nearest neighbours, and the floors that real data reach.

    Args:
        k: a sample's ball reaches to its k-th nearest neighbour; at least 1.
    """

    title: ClassVar = {
        "precision": "Precision",
        "recall": "Recall",
        "density": "Density",
        "coverage": "Coverage",
    } | {
        f"{name}_floor": f"{name.capitalize()} of real data"
        for name in ("precision", "recall", "density", "coverage")
    }
    higher_is_better = True
    unit = "fraction"

    def __init__(self, k: int = 5) -> None:
        if k < 1:
            raise OptionError(f"prdc: k must be at least 1, found {k}")
        self.k = k

    def __call__(self, evidence: GeneratedSamples) -> dict[str, float]:
        """Return all four, and each with `_floor` for as many real training samples."""
        from harness_generative.fidelity import prdc

        found = prdc(evidence.test, evidence.fake, self.k)._asdict()
        floor = prdc(evidence.test, evidence.train[: len(evidence.fake)], self.k)._asdict()
        return found | {f"{name}_floor": value for name, value in floor.items()}
