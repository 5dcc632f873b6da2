"""`harness doctor`: check plugins, versions, devices, cache, store and leases."""

from __future__ import annotations

import argparse
from typing import Any

from harness.cli.common import add_store_argument, format_bytes, print_json
from harness.cli.plugin_output import redirect_prints
from harness.records.leases import Holder
from harness.running.diagnosis import collect_facts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_store_argument(parser, remote=False)
    parser.add_argument("--traceback", action="store_true", help="show the traceback of broken plugins")
    parser.add_argument(
        "--clear-leases",
        nargs="?",
        const=True,
        default=False,
        choices=["all"],
        help="remove the store's leases of dead workers first, so that their cells can be run at once; "
        "with 'all', those of living ones too, whose cells may then be run twice",
    )


def main(given: argparse.Namespace) -> int:
    """Import every plugin; return 1 if one is broken or two claim a name (slow and doubtful ones are only named)."""
    with redirect_prints(given):
        facts = collect_facts(given.store, given.clear_leases)
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
    print(f"workers:   {facts['workers']}")
    cache, unwritable = facts["cache"], "" if facts["cache"]["writable"] else ", can't be written"
    print(f"cache:     {cache['folder']}, {format_bytes(cache['bytes'])}{unwritable}")
    print(
        f"store:     {facts['store']['folder']}, {facts['store']['records']} records, {format_bytes(facts['store']['bytes'])}"
    )
    for lease in facts["leases"]:
        print(f"{'STALE' if lease['stale'] else 'LEASE':<10} {_describe_lease(lease)}")
    for lease in facts["cleared"]:
        print(f"CLEARED    {_describe_lease(lease)}")
    if any(lease["stale"] for lease in facts["leases"]):
        print("           (--clear-leases removes the stale ones)")
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


def _describe_lease(item: dict[str, Any]) -> str:
    holder = Holder(**item["holder"])
    since = f" since {holder.started}" if holder.started else ""
    state = "dead" if item["stale"] else "alive"
    return f"{item['cell']}: {holder}{since}, {state}, last sign of life {item['seconds']:.0f} s ago"


def _describe_slow(item: dict[str, Any]) -> str:
    named = f"{item['package']} of {item['distribution']} {item['version']}"
    if item["hangs"]:
        return f"{named} was still being imported after {item['seconds']:.0f} s: planning would wait as long"
    return (
        f"{named} takes {item['seconds']:.1f} s to import, and planning waits for it: "
        "import torch and the like inside methods"
    )
