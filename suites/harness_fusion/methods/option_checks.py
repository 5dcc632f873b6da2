"""Check the methods' options; messages name method, option and bound."""

from __future__ import annotations

from harness import OptionError


def check_at_least(least: int, method: str, **options: int) -> None:
    """Raise OptionError for an option below `least`."""
    for name, value in options.items():
        if value < least:
            raise OptionError(f"{method}: {name} must be at least {least}, not {value}")


def check_heads_divide(method: str, hidden: int, heads: int) -> None:
    """Raise OptionError unless `heads` divides `hidden`."""
    check_at_least(1, method, hidden=hidden, heads=heads)
    if hidden % heads:
        raise OptionError(f"{method}: hidden must be a multiple of heads, found {hidden} and {heads}")
