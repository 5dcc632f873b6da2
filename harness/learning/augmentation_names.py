"""Names and options of the steps of batch augmentation, known without torch, for checks before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.errors import OptionError, did_you_mean

AUGMENTATION_OPTIONS: Mapping[str, Sequence[str]] = {
    "keras": (
        "rotation", "width_shift", "height_shift", "shear", "zoom", "channel_shift", "horizontal_flip",
        "vertical_flip", "axes",
    ),
    "flip": ("horizontal", "vertical"),
    "shift-crop": ("padding", "fill"),
    "resize": ("interpolation",),
    "resized-crop": ("scale", "ratio", "interpolation"),
    "randaugment": ("num_ops", "magnitude", "num_magnitude_bins", "interpolation", "fill"),
    "trivialaugment": ("num_magnitude_bins", "interpolation", "fill"),
    "autoaugment": ("policy", "interpolation", "fill"),
    "erasing": ("p", "scale", "ratio", "value"),
}  # fmt: skip
"""Options by the name of the step."""


def read_augmentation_step(step: str | Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the name and the options of a step. Raises OptionError for one that does not exist."""
    given = {"name": step} if isinstance(step, str) else dict(step)
    name = given.pop("name", None)
    if name is None:
        raise OptionError(f"augmentation: a step has no name: {given}")
    if name not in AUGMENTATION_OPTIONS:
        raise OptionError(f"no augmentation '{name}'{did_you_mean(str(name), AUGMENTATION_OPTIONS)}")
    for option in given:
        if option not in AUGMENTATION_OPTIONS[name]:
            hint = did_you_mean(option, AUGMENTATION_OPTIONS[name])
            raise OptionError(f"augmentation '{name}': no option '{option}'{hint}")
    return str(name), given
