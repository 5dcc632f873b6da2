"""`harness list`: list installed plugins and suites, from metadata alone."""

from __future__ import annotations

import argparse

from harness.cli.common import print_json
from harness.discovery import registry
from harness.discovery.listing import list_plugins


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("kind", nargs="?", help=f"only this kind: {', '.join(registry.KINDS)}")


def main(given: argparse.Namespace) -> int:
    """Print name, distribution and version of each plugin, by kind."""
    found = list_plugins(given.kind)
    if given.json:
        print_json(found)
        return 0
    width = max((len(p["name"]) for plugins in found.values() for p in plugins), default=0)
    for kind, plugins in found.items():
        if not plugins:
            continue
        print(f"{kind}")
        for p in plugins:
            print(f"  {p['name']:<{width}}  {p['distribution']} {p['version']}")
    return 0
