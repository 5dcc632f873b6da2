"""Metrics of generated samples, as plugins."""

from __future__ import annotations

from harness import HarnessError, OptionError
from harness_generative.evidence import GeneratedSamples, ModeAssignment


def _require_modes(evidence: GeneratedSamples, name: str) -> ModeAssignment:
    if evidence.modes is None:
        raise HarnessError(f"metric '{name}' needs a data set with known modes, or labels to learn them from")
    return evidence.modes


class ModesCovered:
    """Modes that hold at least `share`·N/K of the N samples as good ones; one sample when `share` is 0.

    One sample is the literature's threshold, and an insensitive one: print others beside it.

    Args:
        share: in units of N/K, the samples of each mode where all have as many; not negative.
    """

    higher_is_better = True

    def __init__(self, share: float = 0.0) -> None:
        if share < 0:
            raise OptionError(f"modes: share must not be negative, found {share}")
        self.share = share

    def __call__(self, evidence: GeneratedSamples) -> float:
        """The number of modes."""
        from harness_generative.modes import measure_mode_coverage

        modes = _require_modes(evidence, "modes")
        return measure_mode_coverage(modes.nearest, modes.good, modes.count, [self.share])[
            f"at_{self.share:g}"
        ]


class HighQuality:
    """Share of samples within 3σ of their mode, or, for images, that the classifier is sure of."""

    higher_is_better = True
    unit = "fraction"
    bounds = (0, 1)

    def __call__(self, evidence: GeneratedSamples) -> float:
        """The share."""
        return float(_require_modes(evidence, "high-quality").good.mean())


class ReverseKL:
    """KL of the good samples' modes from uniform, in nats; ln K, the worst, when no sample is good."""

    higher_is_better = False

    def __call__(self, evidence: GeneratedSamples) -> float:
        """The divergence."""
        from harness_generative.modes import count_modes, reverse_kl

        modes = _require_modes(evidence, "reverse-kl")
        return reverse_kl(count_modes(modes.nearest, modes.good, modes.count))


class FrechetDistance:
    """Fréchet distance to the test samples, named by its extractor, and the floor real data have.

    With the weights that the FID is defined by (`fid-inception`), and only then, it is called FID.
    """

    higher_is_better = False

    def __call__(self, evidence: GeneratedSamples) -> dict[str, float]:
        """The distance, and `floor`: that of as many real training samples."""
        from harness_generative.fidelity import frechet_distance

        real = evidence.train[: len(evidence.fake)]
        name = evidence.describe_distance(evidence.test)
        return {
            f"FID {name}" if evidence.is_fid else name: frechet_distance(evidence.fake, evidence.test),
            "floor": frechet_distance(real, evidence.test),
        }


class KernelDistance:
    """KID (×1), named by its extractor, and the floor; unbiased, so it may be negative."""

    higher_is_better = False

    def __call__(self, evidence: GeneratedSamples) -> dict[str, float]:
        """The distance, and `floor`: that of as many real training samples."""
        from harness_generative.fidelity import kernel_distance

        real = evidence.train[: len(evidence.fake)]
        return {
            evidence.describe_distance(evidence.test): kernel_distance(evidence.fake, evidence.test),
            "floor": kernel_distance(real, evidence.test),
        }


class PrecisionRecall:
    """Precision, recall, density and coverage by k nearest neighbours, and what real data score.

    Args:
        k: a sample's ball reaches to its k-th nearest neighbour, k at least 1.
    """

    higher_is_better = True
    unit = "fraction"

    def __init__(self, k: int = 5) -> None:
        if k < 1:
            raise OptionError(f"prdc: k must be at least 1, found {k}")
        self.k = k

    def __call__(self, evidence: GeneratedSamples) -> dict[str, float]:
        """The four, and each with `_floor` for as many real training samples."""
        from harness_generative.fidelity import prdc

        found = prdc(evidence.test, evidence.fake, self.k)._asdict()
        floor = prdc(evidence.test, evidence.train[: len(evidence.fake)], self.k)._asdict()
        return found | {f"{name}_floor": value for name, value in floor.items()}
