"""The verdict on a finished run: healthy, collapsed, D wins, frozen, diverged or unconverged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields

from harness import OptionError
from harness.errors import did_you_mean

VERDICTS = ("healthy", "collapsed", "d_wins", "frozen", "diverged", "unconverged")


@dataclass(frozen=True)
class VerdictThresholds:
    """Thresholds of the verdicts; each can be set in the suite file.

    Diverged: the samples' root mean square exceeds `rms` times the data's, or a smaller share of them
    than `inside` lies within `range` times the data's range. Frozen: the generator's gradient norm is
    below `gradient`. D wins: over the last tenth of training its loss is below `d_loss` and its accuracy
    above `d_accuracy`, while the generator's loss rises. Collapsed: at most the share `modes` of the
    modes is covered, or the reverse KL exceeds the share `kl` of ln K, or recall or coverage is below
    `coverage` while precision is above `precision`. Unconverged: a smaller share of the samples than
    `quality` is of high quality.
    """

    rms: float = 10.0
    inside: float = 0.05
    range: float = 2.0
    d_loss: float = 0.05
    d_accuracy: float = 0.99
    gradient: float = 1e-6
    modes: float = 0.5
    kl: float = 0.5
    coverage: float = 0.1
    precision: float = 0.5
    quality: float = 0.05

    @classmethod
    def from_options(cls, given: Mapping[str, float]) -> VerdictThresholds:
        """Return the defaults overridden by `given`; raise OptionError for an unknown name."""
        known = [f.name for f in fields(cls)]
        for name in given:
            if name not in known:
                raise OptionError(f"gan: unknown threshold '{name}'{did_you_mean(name, known)}")
        return cls(**given)

    def format_line(self) -> str:
        """Return all thresholds in one line."""
        return ", ".join(f"{name} {value:g}" for name, value in asdict(self).items())


@dataclass(frozen=True)
class VerdictSigns:
    """The numbers that decide a verdict; None if a run has no such number.

    `finite`: whether all weights and samples are. `rms_ratio`: the samples' root mean square over the
    data's. `inside`: share of samples within the allowed range. Losses, accuracy and gradient norm are
    means over the last tenth of training, `g_slope` is the slope of the generator's loss per logged point.
    """

    finite: bool
    rms_ratio: float
    inside: float
    d_loss: float | None = None
    d_accuracy: float | None = None
    g_slope: float = 0.0
    g_gradient: float = math.inf
    modes: int | None = None
    covered: float | None = None
    reverse_kl: float | None = None
    high_quality: float | None = None
    precision: float | None = None
    recall: float | None = None
    coverage: float | None = None


def finite_mean(values: Sequence[float]) -> float:
    """Return the mean of the finite values; NaN if there are none.

    A step that mixed precision skips because its scaled gradients overflow has a non-finite norm.
    """
    finite = [v for v in values if math.isfinite(v)]
    return sum(finite) / len(finite) if finite else math.nan


def fit_slope(values: Sequence[float]) -> float:
    """Return the slope of a curve's least-squares line per logged point; 0 for short or non-finite curves."""
    import numpy as np

    if len(values) < 2 or not np.isfinite(values).all():
        return 0.0
    return float(np.polyfit(np.arange(len(values)), values, 1)[0])


def decide_verdict(signs: VerdictSigns, limits: VerdictThresholds) -> tuple[str, str]:
    """Return the gravest verdict that applies, and why.

    A discriminator's loss at its equilibrium is no sign of health: a slow discriminator is there too
    while the generator covers nothing.
    """
    if not signs.finite:
        return "diverged", "weights or samples are not finite"
    if signs.rms_ratio > limits.rms:
        return "diverged", f"samples are {signs.rms_ratio:.3g} times as large as the data"
    if signs.inside < limits.inside:
        return "diverged", f"{signs.inside:.1%} of the samples lie within {limits.range:g} data ranges"
    if signs.g_gradient < limits.gradient:
        return "frozen", f"the generator's gradient norm is {signs.g_gradient:.2g}"
    if (
        signs.d_loss is not None
        and signs.d_accuracy is not None
        and signs.d_loss < limits.d_loss
        and signs.d_accuracy > limits.d_accuracy
        and signs.g_slope > 0
    ):
        return "d_wins", f"D's loss {signs.d_loss:.2g}, accuracy {signs.d_accuracy:.1%}, G's loss rising"
    if signs.modes is not None and signs.covered is not None and signs.covered <= limits.modes * signs.modes:
        return "collapsed", f"{signs.covered:g} of {signs.modes} modes"
    if (
        signs.modes is not None
        and signs.modes > 1
        and signs.reverse_kl is not None
        and signs.reverse_kl > limits.kl * math.log(signs.modes)
    ):
        return "collapsed", f"reverse KL {signs.reverse_kl:.2f} of at most {math.log(signs.modes):.2f}"
    if signs.precision is not None and signs.precision > limits.precision:
        for name in ("recall", "coverage"):
            value = getattr(signs, name)
            if value is not None and value < limits.coverage:
                return "collapsed", f"{name} {value:.1%} at precision {signs.precision:.1%}"
    if signs.high_quality is not None and signs.high_quality < limits.quality:
        return "unconverged", f"{signs.high_quality:.1%} of the samples are of high quality"
    return "healthy", "no threshold is crossed"
