"""Rates that are cut when a training makes no more progress, as Keras and torch do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

from harness.errors import OptionError, did_you_mean


@dataclass(frozen=True)
class PlateauOptions:
    """When and how far rates are cut. Raises OptionError for an invalid value.

    `watch` is what should make progress: "loss" is the mean training loss of each epoch, "score" that of each
    evaluation. `mode` is whose rules hold:

    - "keras" cuts at the `patience`-th observation in a row that is not better than the best by more than
      `threshold`, and ignores `cooldown` − 1 observations after a cut;
    - "torch" cuts one observation later, takes `threshold` relative to the best, ignores `cooldown`
      observations after a cut, and makes no cut below 1e-8.
    """

    mode: Literal["keras", "torch"] = "keras"
    watch: Literal["loss", "score"] = "loss"
    factor: float = 0.1
    patience: int = 10
    threshold: float = 1e-4
    cooldown: int = 0
    lr_min: float = 0.0

    def __post_init__(self) -> None:
        for name, known in (("mode", ("keras", "torch")), ("watch", ("loss", "score"))):
            if (given := getattr(self, name)) not in known:
                hint = did_you_mean(str(given), known)
                raise OptionError(f"training: schedule 'plateau': {name} can't be '{given}'{hint}")
        if not 0 < self.factor < 1:
            raise OptionError(
                f"training: schedule 'plateau': factor must be between 0 and 1, not {self.factor}"
            )
        for name in ("patience", "threshold", "cooldown", "lr_min"):
            if not (value := getattr(self, name)) >= 0:
                raise OptionError(f"training: schedule 'plateau': {name} must be at least 0, not {value}")


def plateau_options(given: Mapping[str, Any]) -> PlateauOptions:
    """Return options by name. Raises OptionError for an unknown name or an invalid value."""
    known = [field.name for field in fields(PlateauOptions)]
    for name in given:
        if name not in known:
            raise OptionError(
                f"training: schedule 'plateau' has no option '{name}'{did_you_mean(name, known)}"
            )
    return PlateauOptions(**given)


def build_plateau(optimizer: torch.optim.Optimizer, options: PlateauOptions) -> ReduceLROnPlateau:
    """Return torch's scheduler for both modes.

    Keras counts as torch does with a patience and a cooldown that are shorter by one: it cuts when the count
    reaches the patience, not when it exceeds it, and counts the observation that ends the cooldown.
    """
    keras = options.mode == "keras"
    return ReduceLROnPlateau(
        optimizer,
        mode="min" if options.watch == "loss" else "max",
        factor=options.factor,
        patience=max(options.patience - keras, 0),
        threshold=options.threshold,
        threshold_mode="abs" if keras else "rel",
        cooldown=max(options.cooldown - keras, 0),
        min_lr=options.lr_min,
        eps=0.0 if keras else 1e-8,
    )
