"""Types and checks of options that several families of networks share."""

from __future__ import annotations

from typing import Literal

from harness import OptionError

ActivationName = Literal["relu", "tanh", "sigmoid", "elu", "gelu", "leaky-relu", "silu"]
"""Activations by name, see `harness_networks.network_parts.build_activation`."""


def require_at_least(where: str, least: int, **options: int) -> None:
    """Raise OptionError for the first option that is not a whole number of at least `least`."""
    for name, value in options.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise OptionError(f"{where}: {name} must be a whole number of at least {least}, found {value!r}")


def require_share(where: str, **options: float) -> None:
    """Raise OptionError for the first option that is not from 0 to below 1, as a dropout must be."""
    for name, value in options.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
            raise OptionError(f"{where}: {name} must be from 0 to below 1, found {value!r}")


def explain_small_image(where: str, shape: tuple[int, int, int], least: int, why: str) -> str | None:
    """Return that images C×H×W are smaller than `least` pixels in height or width, and why that matters."""
    if min(shape[1:]) >= least:
        return None
    return (
        f"{where} needs images of at least {least}×{least} pixels ({why}), these have {shape[1]}×{shape[2]}"
    )
