"""`harness doctor`: check plugins, versions, devices, cache and store."""

from __future__ import annotations

import argparse

from harness.cli.common import add_store_argument, format_bytes, print_json, redirect_prints
from harness.running.diagnosis import collect_facts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_store_argument(parser)
    parser.add_argument("--traceback", action="store_true", help="show the traceback of broken plugins")


def main(given: argparse.Namespace) -> int:
    """Import every plugin; return 1 if one is broken or two claim a name."""
    with redirect_prints(given):
        facts = collect_facts(given.store)
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
