"""`harness check`: check that a plugin or suite does what the harness expects of its kind."""

from __future__ import annotations

import argparse

from harness.cli.common import print_json, redirect_prints
from harness.discovery import registry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "plugin",
        help="a plugin as suites name it (timm:resnet18?pretrained=false), or a suite's name or file",
    )
    kinds = ", ".join(registry.KINDS)
    parser.add_argument("--kind", help=f"if several kinds use the name: {kinds}")


def main(given: argparse.Namespace) -> int:
    """Run the checks; return 1 if one fails."""
    from harness.testing.plugin_verdicts import check_named

    with redirect_prints(given):
        verdicts = check_named(given.plugin, given.kind)
    if given.json:
        print_json([verdict.to_dict() for verdict in verdicts])
    else:
        for verdict in verdicts:
            print(verdict)
    return int(not all(v.holds for v in verdicts))
