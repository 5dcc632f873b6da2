"""What decides a training besides network, data and seed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from harness.errors import OptionError, did_you_mean

Last = Literal["keep", "drop", "even"]
AugmentationKind = Literal["none", "flip", "crop-flip", "randaugment"]
"""How images are augmented, see `harness.learning.augmentation`."""

SCHEDULES = (
    "cosine",
    "linear",
    "poly",
    "tanh",
    "step",
    "multistep",
    "constant",
    "one-cycle",
    "inverse",
    "plateau",
)


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. Raises OptionError for an invalid value.

    `steps` counts updates and `batch` the samples of one update; `accumulate` divides each into that
    many parts, computed one after the other, for the same gradient.

    The schedule counts in updates or in epochs (`schedule_by`). `warmup` below 1 is a share of all of
    them, otherwise their number: the rate rises linearly from `warmup_rate` (by default
    rate / (warmup + 1), the first of equal steps) to `rate`, and only then does the schedule begin. It
    ends after `period`, by default what the warm-up leaves. "one-cycle" has its own warm-up
    (`pct_start` in `schedule_options`), and `rate` is its peak. "inverse" is rate / (1 + `decay` · t), Keras'
    decay (t in updates); "plateau" cuts the rate when loss or score make no more progress
    (`harness.learning.plateau`). Neither has a period.

    `last` treats an epoch's incomplete last batch: "keep" it, "drop" it (unless it is the only one), or
    divide the epoch into "even" batches of at most `batch`.
    """

    steps: int
    batch: int = 32
    rate: float = 1e-3
    optimizer: str = "adamw"
    optimizer_options: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of the optimiser: momentum, betas, eps, …"""
    schedule: str = "cosine"
    schedule_options: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of timm's scheduler, or of torch's OneCycleLR: lr_min, decay_t, pct_start, …"""
    schedule_by: Literal["step", "epoch"] = "step"
    period: int | None = None
    warmup: float = 0.0
    warmup_rate: float | None = None
    weight_decay: float = 0.0
    decay_vectors: bool = False
    """Whether vectors (biases, norms) decay like matrices."""
    label_smoothing: float = 0.0
    clip_norm: float | None = None
    accumulate: int = 1
    ema: float | None = None
    """Decay of the moving average of the weights, which replaces them in evaluations and the result."""
    ema_warmup: float | None = None
    """Power p of a warm-up of that decay to min(ema, 1 − (1 + t)^−p) at update t from 0, as in timm (where it
    is 2/3): without one, a short training averages over its initial weights, too."""
    mixup: float = 0.0
    cutmix: float = 0.0
    """Parameter of either Beta distribution; 0 disables it, and if both are set, one is drawn per batch."""
    erasing: float = 0.0
    """Probability that a rectangle of an image is erased."""
    patience: int | None = None
    """Stop after this many evaluations in a row without a higher score, and restore the best weights."""
    keep_best: bool = False
    """Restore the weights of the best evaluation, with or without `patience`."""
    evaluate_every: int = 0
    """Updates between two evaluations; 0 evaluates at the end of every epoch."""
    precision: str = "float32"
    last: Last = "keep"

    def __post_init__(self) -> None:
        _at_least(0, steps=self.steps, evaluate_every=self.evaluate_every, weight_decay=self.weight_decay)
        _at_least(0, warmup=self.warmup, mixup=self.mixup, cutmix=self.cutmix)
        _at_least(1, batch=self.batch, accumulate=self.accumulate, patience=self.patience, period=self.period)
        for name in ("rate", "clip_norm", "ema_warmup"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise OptionError(f"training: {name} must be above 0, not {value}")
        for name, highest in (("label_smoothing", 1.0), ("erasing", 1.0), ("ema", 1.0)):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= highest:
                raise OptionError(f"training: {name} must be from 0 to 1, not {value}")
        if self.ema_warmup is not None and self.ema is None:
            raise OptionError("training: ema_warmup needs ema, the decay that it rises to")
        _one_of("schedule", self.schedule, SCHEDULES)
        _one_of("schedule_by", self.schedule_by, ("step", "epoch"))
        _one_of("last", self.last, ("keep", "drop", "even"))
        _one_of("precision", self.precision, ("float32", "bfloat16", "float16"))

    def batches_per_epoch(self, samples: int) -> int:
        """Return the updates of an epoch over that many samples, at least 1."""
        if self.last == "drop":
            return max(1, samples // self.batch)
        return max(1, math.ceil(samples / self.batch))

    def batch_sizes(self, samples: int) -> list[int]:
        """Return the samples of each of an epoch's updates, in order."""
        count = self.batches_per_epoch(samples)
        if self.last == "even":
            least, more = divmod(samples, count)
            return [least + 1] * more + [least] * (count - more)
        return [min(self.batch, samples - number * self.batch) for number in range(count)]


def steps_for(samples: int, batch: int, epochs: float | None, steps: int | None, last: Last = "keep") -> int:
    """Return `steps` if given, else the updates of that many epochs (at least 1)."""
    if steps is not None:
        return steps
    return max(1, round((epochs or 1) * Recipe(0, batch, last=last).batches_per_epoch(samples)))


def _at_least(least: int, **values: float | None) -> None:
    for name, value in values.items():
        if value is not None and not value >= least:
            raise OptionError(f"training: {name} must be at least {least}, not {value}")


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise OptionError(f"training: {name} can't be '{value}'{did_you_mean(value, known)}")
