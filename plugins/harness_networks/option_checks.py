"""Checks of options that several families of networks share."""

from __future__ import annotations

from collections.abc import Sequence

from harness import OptionError
from harness.errors import did_you_mean


def require_at_least(where: str, least: int, **options: int) -> None:
    """Raise OptionError for the first option that is not a whole number of at least `least`."""
    for name, value in options.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise OptionError(f"{where}: {name} must be a whole number of at least {least}, found {value!r}")


def require_share(where: str, **options: float) -> None:
    """Raise OptionError for the first option that is not a share from 0 to below 1, such as a dropout."""
    for name, value in options.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
            raise OptionError(f"{where}: {name} must be from 0 to below 1, found {value!r}")


def require_choice(where: str, name: str, value: object, known: Sequence[object]) -> None:
    """Raise OptionError if an option's value is not among the known ones."""
    if value not in known:
        names = [str(one) for one in known]
        raise OptionError(f"{where}: {name} can't be {value!r}{did_you_mean(str(value), names)}")
