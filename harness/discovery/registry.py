"""Plugins by entry point: listing reads metadata only, loading imports one."""

from __future__ import annotations

import importlib
import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib.metadata import Distribution, distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness.discovery.decorated import class_for, find_function_fault
from harness.discovery.waiting import doing
from harness.errors import PluginBroken, PluginNotFound, did_you_mean, interrupts, reason_of

KINDS = (
    "models",
    "datasets",
    "metrics",
    "methods",
    "protocols",
    "summaries",
    "plots",
    "suites",
    "published",
    "executors",
    "importers",
    "hooks",
)
"""The kinds of plugin; the entry-point group of a kind is `harness.<kind>`."""

GROUP = "harness."

THIS_PROCESS = "(this process)"
"""The distribution of plugins that were registered, not installed."""

METHODS = {
    "models": "load",
    "datasets": "load",
    "metrics": "__call__",
    "protocols": "run",
    "summaries": "__call__",
    "executors": "execute",
    "importers": "read",
}
"""The method that a class must have to be a plugin of its kind."""


@dataclass(frozen=True)
class Plugin:
    """One installed plugin, from its distribution's metadata alone: nothing is imported."""

    kind: str
    name: str
    target: str
    distribution: str
    version: str


@dataclass
class PluginFault:
    """An unusable plugin's fault, with the traceback, for `harness doctor`."""

    plugin: Plugin
    reason: str
    trace: str


_local: dict[tuple[str, str], tuple[Plugin, Any]] = {}
_broken: dict[tuple[str, str, str], PluginFault] = {}


def register(kind: str, name: str, factory: Callable[..., Any]) -> None:
    """Add a plugin to this process only, for notebooks and tests; it takes precedence over installed ones."""
    plain = factory
    while isinstance(plain, partial):
        plain = plain.func
    named = plain if hasattr(plain, "__qualname__") else type(plain)
    plugin = Plugin(kind, name, f"{named.__module__}:{named.__qualname__}", THIS_PROCESS, "0")
    _local[kind, name] = (plugin, factory)
    _scan_distributions.cache_clear()


def registered_here() -> bool:
    """Return whether any plugin was registered in this process."""
    return bool(_local)


@contextmanager
def register_temporarily(kind: str, name: str, factory: Callable[..., Any]) -> Iterator[None]:
    """Register a plugin inside the block; afterwards, restore what was registered under that name before."""
    before = _local.get((kind, name))
    register(kind, name, factory)
    try:
        yield
    finally:
        del _local[kind, name]
        if before is not None:
            _local[kind, name] = before
        _scan_distributions.cache_clear()


@lru_cache(maxsize=1)
def _scan_distributions() -> dict[str, dict[str, list[Plugin]]]:
    found: dict[str, dict[str, list[Plugin]]] = {kind: {} for kind in KINDS}
    seen = set()
    for dist in distributions():
        try:
            text = dist.read_text("entry_points.txt")
            if not text or GROUP not in text:
                continue  # most distributions: not worth parsing
            name, version = dist.name, dist.version  # each look-up parses the whole metadata
            if _normalise_name(name) in seen:
                continue  # the first on the path is the one that gets imported
            seen.add(_normalise_name(name))
            offered = [
                Plugin(e.group.removeprefix(GROUP), e.name, e.value, name, version)
                for e in dist.entry_points
                if e.group.startswith(GROUP)
            ]
        except Exception as error:  # metadata half written or by hand: the others are still good
            _keep_unreadable(dist, error)
            continue
        for plugin in offered:
            if plugin.kind in found:
                found[plugin.kind].setdefault(plugin.name, []).append(plugin)
    for (kind, name), (plugin, _) in _local.items():
        found[kind][name] = [plugin]
    return found


def _normalise_name(distribution: str) -> str:
    """Return a distribution's name as packaging compares names: case and separators do not matter."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _keep_unreadable(dist: Distribution, error: Exception) -> None:
    where = str(getattr(dist, "_path", "a distribution"))
    reason = f"the metadata in {where} can't be read: {type(error).__name__}: {error}; install it again"
    plugin = Plugin("distributions", "*", "entry_points.txt", where, "?")
    _broken[plugin.kind, where, "*"] = PluginFault(plugin, reason, traceback.format_exc())


def installed(kind: str) -> list[Plugin]:
    """Return all plugins of a kind, sorted by name then distribution. Imports none of them."""
    found = [p for same in _scan_distributions()[kind].values() for p in same]
    return sorted(found, key=lambda p: (p.name, p.distribution))


def find(kind: str, name: str) -> Plugin:
    """Return the plugin named `name` or `distribution/name`.

    Raises PluginNotFound for an unknown name (with the nearest) or one that two distributions claim (with both).
    """
    known = _scan_distributions()[kind]
    distribution, slash, bare = name.rpartition("/")
    if slash and bare in known:
        for plugin in known[bare]:
            if _normalise_name(plugin.distribution) == _normalise_name(distribution):
                return plugin
        have = ", ".join(sorted(p.distribution for p in known[bare]))
        raise PluginNotFound(
            f"no distribution '{distribution}' offers the {singular(kind)} '{bare}'; it comes from {have}"
        )
    if name not in known:
        raise PluginNotFound(f"no {singular(kind)} plugin named '{name}'{did_you_mean(name, known)}")
    same = known[name]
    if len(same) > 1:
        claims = " or ".join(sorted(f"'{p.distribution}/{name}'" for p in same))
        raise PluginNotFound(f"the {singular(kind)} name '{name}' is claimed twice: say {claims}")
    return same[0]


def load(plugin: Plugin) -> Any:
    """Import the plugin's class or factory.

    Raises PluginBroken, which names the plugin and its distribution; the traceback is kept.
    """
    loaded: Any
    if (plugin.kind, plugin.name) in _local and plugin.distribution == THIS_PROCESS:
        loaded = class_for(_local[plugin.kind, plugin.name][1])
        if lacking := find_function_fault(plugin.kind, plugin.target, loaded):
            raise PluginBroken(f"{singular(plugin.kind)} '{plugin.name}' of {THIS_PROCESS}: {lacking}")
        return loaded
    key = (plugin.kind, plugin.distribution, plugin.name)
    if key in _broken:
        raise PluginBroken(_broken[key].reason)
    module, _, attribute = plugin.target.partition(":")
    named = full_name(plugin)
    try:
        with doing(f"importing {module} ({named})"):
            loaded = importlib.import_module(module)
        for part in filter(None, attribute.split(".")):
            loaded = getattr(loaded, part)
        loaded = class_for(loaded)
    except BaseException as error:  # a plugin's module may raise anything; the others go on
        if interrupts(error):
            raise
        reason = f"{named} can't be imported: {reason_of(error)} (harness doctor shows where)"
        _broken[key] = PluginFault(plugin, reason, traceback.format_exc())
        raise PluginBroken(reason) from error
    if lacking := _find_defect(plugin, loaded):
        reason = f"{named}: {lacking}"
        _broken[key] = PluginFault(plugin, reason, "")
        raise PluginBroken(reason)
    return loaded


def _find_defect(plugin: Plugin, loaded: Any) -> str | None:
    """Return why the target of an entry point is not what its group expects, or None.

    What a factory function returns is checked when a cell is planned.
    """
    if fault := find_function_fault(plugin.kind, plugin.target, loaded):
        return fault
    if plugin.kind == "hooks":
        return None  # a listener may be a module or any object
    if not callable(loaded):
        return f"{plugin.target} is neither a class nor a function"
    method = METHODS.get(plugin.kind)
    if method and isinstance(loaded, type) and not any(method in vars(base) for base in loaded.__mro__):
        return f"{plugin.target} has no method '{method}', which the contract asks for"
    return None


def broken() -> list[PluginFault]:
    """Return the plugins that failed to import in this process so far."""
    return list(_broken.values())


def list_plugin_conflicts() -> list[list[Plugin]]:
    """Return plugins that share a name within their kind, from different distributions."""
    return [same for names in _scan_distributions().values() for same in names.values() if len(same) > 1]


def refresh() -> None:
    """Forget the plugins found so far, for processes in which something has been installed since."""
    _scan_distributions.cache_clear()
    _broken.clear()


def full_name(plugin: Plugin) -> str:
    """Return `metric 'top1' of vision-harness 0.1.0`, for messages."""
    return f"{singular(plugin.kind)} '{plugin.name}' of {plugin.distribution} {plugin.version}"


def singular(kind: str) -> str:
    """Return `data set` for `datasets` and so on, for messages."""
    words = {
        "datasets": "data set",
        "summaries": "summary",
        "hooks": "listener",
        "published": "published set",
    }
    return words.get(kind, kind.removesuffix("s"))


def locate_file(plugin: Plugin, relative: str) -> Path | None:
    """Return a file of the package that an entry point names, which is not imported; None if it is not there."""
    try:
        spec = find_spec(plugin.target)
    except ImportError:  # the package around it is missing
        spec = None
    folders = (spec.submodule_search_locations or []) if spec else []
    return next((file for folder in folders if (file := Path(folder) / relative).is_file()), None)
