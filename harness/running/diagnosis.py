"""Facts about an installation: versions, devices, plugins with their faults, cache, store and leases."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Literal

from harness.contract.cells import show_coordinates
from harness.discovery import registry
from harness.discovery.import_times import measure_import_times
from harness.discovery.near_misses import find_near_misses
from harness.errors import PluginBroken
from harness.planning.suite import find_suite_file
from harness.published.finding import read_published_set
from harness.records.files import count_bytes
from harness.records.leases import FOLDER, Lease, clear_leases, list_leases
from harness.records.paths import cache_dir, default_store
from harness.records.provenance import environment
from harness.records.store import Store
from harness.running.executors.processes import default_count
from harness.running.visible_devices import list_gpus


def collect_facts(store: str | Path | None = None, clear: bool | Literal["all"] = False) -> dict[str, Any]:
    """Return everything that `doctor` shows, after the leases of dead workers are cleared, or all leases.

    Raises StoreError if they can't be.
    """
    plugins = [
        p for kind in registry.KINDS if kind not in ("suites", "published") for p in registry.installed(kind)
    ]
    doubts = []
    for plugin in plugins:
        try:
            misses = find_near_misses(plugin.kind, registry.load(plugin))
        except PluginBroken:
            continue  # the registry keeps it, see below
        doubts += [f"{registry.full_name(plugin)}: {text}" for text in misses]
    broken = [{"reason": b.reason, "traceback": b.trace} for b in registry.broken()]
    for suite in registry.installed("suites"):
        try:
            find_suite_file(f"{suite.distribution}/{suite.name}")
        except Exception as error:  # any distribution's metadata can be wrong in any way
            broken.append({"reason": str(error), "traceback": ""})
    for published in registry.installed("published"):
        try:
            read_published_set(f"{published.distribution}/{published.name}")
        except Exception as error:  # as above
            broken.append({"reason": str(error), "traceback": ""})
    conflicts = [
        f"{registry.singular(same[0].kind)} '{same[0].name}' is offered by {' and '.join(p.distribution for p in same)}: "
        f"say {' or '.join(f'{p.distribution}/{p.name}' for p in same)}"
        for same in registry.list_plugin_conflicts()
    ]
    cache = cache_dir()
    size = count_bytes(cache)
    place = Store(store or default_store())
    cleared = clear_leases(place.path / FOLDER, clear == "all") if clear else []
    return {
        "environment": environment(),
        "devices": _list_devices(),
        "workers": _describe_workers(),
        "plugins": len(plugins),
        "distributions": sorted({p.distribution for p in plugins}),
        "imports": [{**vars(t), "slow": t.is_slow} for t in measure_import_times(plugins)],
        "doubts": doubts,
        "broken": broken,
        "conflicts": conflicts,
        "cache": {"folder": str(cache), "bytes": size, "writable": _is_writable(cache)},
        "store": {"folder": str(place.path), "records": len(place.listing()), "bytes": place.size()},
        "leases": _describe_leases(place, list_leases(place.path / FOLDER)),
        "cleared": _describe_leases(place, cleared),
    }


def _describe_leases(store: Store, leases: Sequence[Lease]) -> list[dict[str, Any]]:
    """Return the facts of leases; `cell` is the cell's name in the plan of a suite, or else its id."""
    names: dict[str, str] = {}
    for suite in store.suites() if leases else ():
        cells = (store.manifest(suite) or {}).get("cells", ())
        names |= {cell["id"]: show_coordinates(cell["at"]) for cell in cells}
    return [{"cell": names.get(lease.id) or lease.id, **asdict(lease)} for lease in leases]


def _is_writable(folder: Path) -> bool:
    """Return whether a file can be written into a folder, which need not exist yet."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _describe_workers() -> str:
    """Return which workers the executor `processes` would start here."""
    if gpus := list_gpus():
        named = ", ".join(f"GPU {gpu.index} ({gpu.name}, {gpu.id})" for gpu in gpus)
        return f"{len(gpus)} with --executor processes, one on each GPU: {named}"
    return f"{default_count()} with --executor processes, on the CPU"


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
