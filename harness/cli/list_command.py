"""`harness list`: list installed plugins and suites, from metadata alone."""

from __future__ import annotations

import argparse

from harness.cli.common import print_json
from harness.discovery import registry
from harness.errors import HarnessError, did_you_mean


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("kind", nargs="?", help=f"only this kind: {', '.join(registry.KINDS)}")


def main(given: argparse.Namespace) -> int:
    """Print name, distribution and version of each plugin, by kind."""
    kinds: tuple[str, ...] = registry.KINDS
    if given.kind:
        plural = given.kind if given.kind in kinds else f"{given.kind}s"
        if plural not in kinds:
            raise HarnessError(f"no kind of plugin is called '{given.kind}'{did_you_mean(given.kind, kinds)}")
        kinds = (plural,)
    found = {kind: registry.installed(kind) for kind in kinds}
    if given.json:
        facts = ("name", "distribution", "version", "target")
        print_json({k: [{f: getattr(p, f) for f in facts} for p in plugins] for k, plugins in found.items()})
        return 0
    width = max((len(p.name) for plugins in found.values() for p in plugins), default=0)
    for kind, plugins in found.items():
        if not plugins:
            continue
        print(f"{kind}")
        for p in plugins:
            print(f"  {p.name:<{width}}  {p.distribution} {p.version}")
    return 0
