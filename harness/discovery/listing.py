"""Installed plugins as data: all of a kind, and the kinds that use a name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.discovery import registry
from harness.errors import HarnessError, PluginNotFound, did_you_mean


def list_plugins(kind: str | None = None) -> dict[str, list[dict[str, Any]]]:
    """Return name, distribution, version and target of each plugin by kind, from metadata alone.

    `kind` (`models` or `model`, …) narrows it to one. Raises HarnessError for an unknown kind.
    """
    kinds: Sequence[str] = registry.KINDS
    if kind:
        plural = kind if kind in kinds else f"{kind}s"
        if plural not in kinds:
            raise HarnessError(f"no kind of plugin is called '{kind}'{did_you_mean(kind, kinds)}")
        kinds = (plural,)
    facts = ("name", "distribution", "version", "target")
    return {k: [{f: getattr(p, f) for f in facts} for p in registry.installed(k)] for k in kinds}


def find_kinds(text: str, wanted: str | None) -> list[str]:
    """Return the kinds with a plugin of that name (`timm`, `harness-x/timm:resnet18`), or only the `wanted` one.

    Raises PluginNotFound if there is none.
    """
    kinds = [k for k in registry.KINDS if wanted in (None, k, k.removesuffix("s"))]
    if not kinds:
        raise PluginNotFound(f"--kind {wanted}: no such kind{did_you_mean(str(wanted), registry.KINDS)}")
    bare = text.partition("?")[0].partition(":")[0].rpartition("/")[2]
    found = [k for k in kinds if bare in {p.name for p in registry.installed(k)}]
    if not found:
        known = [p.name for k in kinds for p in registry.installed(k)]
        what = registry.singular(kinds[0]) if len(kinds) == 1 else "plugin or suite"
        raise PluginNotFound(f"no {what} named '{text}'{did_you_mean(bare, known)}")
    return found
