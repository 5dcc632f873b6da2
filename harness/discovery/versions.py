"""The version of the plugin contract: whether a plugin fits the one this harness has."""

from __future__ import annotations

from typing import Any

from harness.contract.declared import API_VERSION, ask
from harness.discovery.registry import Plugin, full_name

OLDEST_API = 1
"""The oldest version of the contract that plugins may still be written for."""


def explain_misfit(
    plugin: Plugin, factory: Any, oldest: int = OLDEST_API, newest: int = API_VERSION
) -> str | None:
    """Return why a plugin doesn't fit this version of the contract, and the way out; None when it fits.

    A plugin states the version it is written for as `harness_api`; without it, the plugin is accepted.
    """
    wanted = ask(factory, "harness_api")
    named = full_name(plugin)
    if not isinstance(wanted, int) or isinstance(wanted, bool):
        return f"{named}: harness_api must be a whole number, such as {newest}, found {wanted!r}"
    if wanted > newest:
        return (
            f"{named} is written for plugin API {wanted}, this harness has {newest}: "
            f"upgrade vision-harness, or use an older {plugin.distribution}"
        )
    if wanted < oldest:
        return (
            f"{named} is written for plugin API {wanted}, this harness needs {oldest} or newer: "
            f"upgrade {plugin.distribution}, or use an older vision-harness"
        )
    return None
