"""`harness doctor`: check plugins, versions, devices, cache and store."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

from harness.cli.common import add_store_argument, format_bytes, open_store, print_json
from harness.cli.plugin_output import redirect_prints
from harness.discovery import registry
from harness.discovery.import_times import measure_import_times
from harness.discovery.near_misses import find_near_misses
from harness.errors import PluginBroken
from harness.records.paths import cache_dir


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_store_argument(parser)
    parser.add_argument("--traceback", action="store_true", help="show the traceback of broken plugins")


def main(given: argparse.Namespace) -> int:
    """Import every plugin; return 1 if one is broken or two claim a name (slow and doubtful ones are only named)."""
    with redirect_prints(given):
        facts = collect_facts(open_store(given))
    bad = bool(facts["broken"] or facts["conflicts"])
    if given.json:
        print_json(facts)
        return int(bad)
    environment = facts["environment"]
    print(
        f"vision-harness {environment['harness']}, Python {environment['python']} on {environment['host']['system']}"
    )
    print("libraries: " + ", ".join(f"{k} {v}" for k, v in environment["libraries"].items()))
    print("devices:   " + ", ".join(facts["devices"]))
    cache, unwritable = facts["cache"], "" if facts["cache"]["writable"] else ", can't be written"
    print(f"cache:     {cache['folder']}, {format_bytes(cache['bytes'])}{unwritable}")
    print(
        f"store:     {facts['store']['folder']}, {facts['store']['records']} records, {format_bytes(facts['store']['bytes'])}"
    )
    print(f"plugins:   {facts['plugins']} from {', '.join(facts['distributions'])}")
    if facts["imports"]:
        slowest = ", ".join(f"{t['package']} {t['seconds']:.1f} s" for t in facts["imports"][:3])
        print(f"imports:   longest: {slowest}")
    for item in facts["imports"]:
        if item["slow"]:
            print(f"SLOW       {_describe_slow(item)}")
    for text in facts["doubts"]:
        print(f"DOUBT      {text}")
    for item in facts["conflicts"]:
        print(f"CONFLICT   {item}")
    for item in facts["broken"]:
        print(f"BROKEN     {item['reason']}")
        if given.traceback:
            print("\n".join(f"    {line}" for line in item["traceback"].splitlines()))
    if facts["broken"] and not given.traceback:
        print("           (--traceback shows where)")
    if not bad:
        print("all plugins load")
    return int(bad)


def _describe_slow(item: dict[str, Any]) -> str:
    named = f"{item['package']} of {item['distribution']} {item['version']}"
    if item["hangs"]:
        return f"{named} was still being imported after {item['seconds']:.0f} s: planning would wait as long"
    return (
        f"{named} takes {item['seconds']:.1f} s to import, and planning waits for it: "
        "import torch and the like inside methods"
    )


def collect_facts(store: Any) -> dict[str, Any]:
    """Return everything that `doctor` shows."""
    from harness.records.provenance import environment

    plugins = [p for kind in registry.KINDS if kind != "suites" for p in registry.installed(kind)]
    doubts = []
    for plugin in plugins:
        try:
            misses = find_near_misses(plugin.kind, registry.load(plugin))
        except PluginBroken:
            continue  # the registry keeps it, see below
        doubts += [f"{registry.full_name(plugin)}: {text}" for text in misses]
    from harness.planning.suite import find_suite_file

    broken = [{"reason": b.reason, "traceback": b.trace} for b in registry.broken()]
    for suite in registry.installed("suites"):
        try:
            find_suite_file(f"{suite.distribution}/{suite.name}")
        except Exception as error:  # any distribution's metadata can be wrong in any way
            broken.append({"reason": str(error), "traceback": ""})
    conflicts = [
        f"{registry.singular(same[0].kind)} '{same[0].name}' is offered by {' and '.join(p.distribution for p in same)}: "
        f"say {' or '.join(f'{p.distribution}/{p.name}' for p in same)}"
        for same in registry.list_plugin_conflicts()
    ]
    cache = cache_dir()
    size = sum(p.stat().st_size for p in cache.rglob("*") if p.is_file()) if cache.is_dir() else 0
    return {
        "environment": environment(),
        "devices": _list_devices(),
        "plugins": len(plugins),
        "distributions": sorted({p.distribution for p in plugins}),
        "imports": [{**vars(t), "slow": t.is_slow} for t in measure_import_times(plugins)],
        "doubts": doubts,
        "broken": broken,
        "conflicts": conflicts,
        "cache": {"folder": str(cache), "bytes": size, "writable": _is_writable(cache)},
        "store": {"folder": str(store.path), "records": len(store.listing()), "bytes": store.size()},
    }


def _is_writable(folder: Path) -> bool:
    """Return whether a file can be written into a folder, which need not exist yet."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _list_devices() -> list[str]:
    try:
        import torch
    except ImportError as error:
        return [f"torch can't be imported: {error}"]
    found = [f"cpu ({torch.get_num_threads()} threads)"]
    for n in range(torch.cuda.device_count()):
        found.append(f"cuda:{n} ({torch.cuda.get_device_name(n)})")
    if sys.platform == "darwin" and torch.backends.mps.is_available():
        found.append("mps")
    return found
