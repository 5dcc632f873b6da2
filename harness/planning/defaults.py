"""Checks that a suite's `[defaults]` name plugins that it uses, and options that these have."""

from __future__ import annotations

from collections.abc import Set
from contextlib import suppress

from harness.discovery import options, registry
from harness.discovery.reference import read_short
from harness.errors import PluginBroken, PluginNotFound, SuiteError, did_you_mean
from harness.planning.editions import MARK
from harness.planning.suite import REFERENCES, Suite, holders, kind_of


def check_defaults(suite: Suite, typed: Set[tuple[str, str]] = frozenset()) -> list[str]:
    """Return a doubt for every installed plugin in a suite's `[defaults]` that none of its entries uses.

    `typed` holds the kinds and names of plugins that the command line adds. Raises SuiteError for a
    plugin that is neither used nor installed, OptionError for options that a plugin does not have.
    """
    doubts, used = list[str](), _find_used(suite) | typed
    for kind in type(suite.defaults).model_fields:
        for name, table in getattr(suite.defaults, kind).items():
            where = f"suite {suite.name}, defaults.{kind}.{name}"
            for key in ("plugin", "grid", "options", "defaults"):
                if key in table:
                    raise SuiteError(
                        f"{where}: '{key}' belongs to an entry: defaults hold options, label and tags"
                    )
            if not isinstance(table.get("label", ""), str):
                raise SuiteError(f"{where}: label must be a text, found {table['label']!r}")
            if not isinstance(table.get("tags", {}), dict):
                raise SuiteError(f"{where}: tags must be a table, found {table['tags']!r}")
            if (kind, name) in used:
                given = {k: v for k, v in table.items() if k not in ("label", "tags")}
                with suppress(PluginBroken, PluginNotFound):  # its entries say so
                    factory = registry.load(registry.find(kind, name))
                    options.check_options(factory, given, None, where, given_alone=True)
                continue
            if MARK in suite.name:  # an edition leaves entries out on purpose
                continue
            unused = f"{where}: no entry of the suite uses this {registry.singular(kind)}"
            hint = did_you_mean(name, [n for k, n in used if k == kind])
            if name not in [plugin.name for plugin in registry.installed(kind)]:
                raise SuiteError(unused + hint)
            doubts.append(unused + hint)
    return doubts


def _find_used(suite: Suite) -> set[tuple[str, str]]:
    found = set()
    for holder in holders(suite):
        for key in REFERENCES:
            given = getattr(holder, key, None) or []
            shorts = map(read_short, given if isinstance(given, list) else [given])
            found |= {(kind_of(key), short.plugin) for short in shorts if short}
    return found
