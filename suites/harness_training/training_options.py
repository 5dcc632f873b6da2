"""The options of the protocol `training` and their checks."""

from __future__ import annotations

from typing import Literal

from harness import OptionError

Scale = Literal["standard", "unit", "centred", "imagenet", "caffe", "model"]


class TrainingOptions:
    """Checked options of the protocol; `TrainingProtocol` documents each. Raises OptionError for bad values."""

    def __init__(
        self,
        epochs: float | None = None,
        steps: int | None = None,
        size: int = 32,
        grey: bool = False,
        scale: Scale = "standard",
        shuffle_pixels: bool = False,
        holdout: float | int = 0.1,
        trials: int = 1,
        edge: Literal["remark", "fail"] = "remark",
        evaluate_epochs: int = 1,
        targets: list[float] | None = None,
        peek: bool = False,
        train_samples: int = 10_000,
        split: str | None = None,
        together: int = 8,
        devices: int = 1,
        hold: Literal["auto", "yes", "no"] = "auto",
        checkpoint_every: int = 200,
    ) -> None:
        if epochs is not None and steps is not None:
            raise OptionError("training: give epochs or steps, not both")
        if epochs is not None and epochs <= 0:
            raise OptionError(f"training: epochs must be above 0, not {epochs}")
        at_least_one = {
            "steps": steps, "size": size, "trials": trials, "evaluate_epochs": evaluate_epochs, "together": together,
            "train_samples": train_samples, "devices": devices, "checkpoint_every": checkpoint_every,
        }  # fmt: skip
        for name, value in at_least_one.items():
            if value is not None and value < 1:
                raise OptionError(f"training: {name} must be at least 1, not {value}")
        share = isinstance(holdout, float) and not holdout.is_integer()
        if holdout < 0 or (share and not holdout < 1):
            raise OptionError(
                f"training: holdout must be a share below 1, or a whole number of images per class, not {holdout}"
            )
        for target in targets or []:
            if not 0 < target <= 1:
                raise OptionError(f"training: targets must be accuracies from 0 to 1, not {target}")
        self.epochs, self.steps, self.size, self.grey, self.scale = epochs, steps, size, grey, scale
        self.shuffle_pixels = shuffle_pixels
        self.holdout = holdout if share else int(holdout)
        self.trials, self.edge, self.evaluate_epochs = trials, edge, evaluate_epochs
        self.targets, self.peek, self.train_samples, self.split = (
            sorted(targets or []),
            peek,
            train_samples,
            split,
        )
        self.together, self.devices, self.hold, self.checkpoint_every = (
            together,
            devices,
            hold,
            checkpoint_every,
        )

    def choose_epochs(self, own: float | None) -> float | None:
        """Return the epochs of a recipe: the protocol's, else the recipe's `own`; steps replace either."""
        return own if self.epochs is None and self.steps is None else self.epochs

    @property
    def channels(self) -> int:
        """Return the channels of the images: 1 for grey ones, else 3."""
        return 1 if self.grey else 3

    @property
    def data_options(self) -> tuple[object, ...]:
        """Return the options that decide images and how they are divided."""
        return (
            self.size,
            self.grey,
            self.scale,
            self.shuffle_pixels,
            self.holdout,
            self.train_samples,
            self.split,
            self.hold,
        )
