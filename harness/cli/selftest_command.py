"""`harness selftest`: check a machine's device against its CPU, with small parts of every suite."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harness.cli.common import encode_json, print_json, write_out
from harness.cli.plugin_output import redirect_prints

EPILOG = """exit status: 0 everything is within its tolerance; 1 something is not; 2 wrong use."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.epilog = EPILOG
    add = parser.add_argument
    add("--device", default="auto", help="the device to check: auto, cpu, cuda, cuda:1, mps")
    add(
        "--suites",
        nargs="+",
        default=[],
        metavar="SUITE",
        help="only these, by their edition quick or as SUITE@EDITION (default: all installed with an edition quick)",
    )
    add("--quick", action="store_true", help="only the smallest grid of each protocol, in place of suites")
    add(
        "--model",
        metavar="REF",
        help="the network of the speed checks (default: timm:resnet50 with random weights)",
    )
    add("--format", choices=["terminal", "markdown"], default="terminal", help="of the table")
    add("--out", "--output", dest="out", type=Path, metavar="FILE", help="write there, too: results/gpu.md")
    add("--quiet", action="store_true", help="no progress")


def main(given: argparse.Namespace) -> int:
    """Check the device, show the table, and return 1 if a row failed or nothing could be compared."""
    from harness.selftesting.check_device import MODEL, check_device

    def say(text: str) -> None:
        if not given.quiet and not given.json:
            print(f"selftest: {text}", file=sys.stderr, flush=True)

    with redirect_prints(given):
        found = check_device(given.device, given.suites, given.quick, given.model or MODEL, say)
    text = encode_json(found.to_dict()) if given.json else found.render(given.format)
    if given.out is not None:
        write_out(given.out, text)
    if given.json:
        print_json(found.to_dict())
    else:
        print(text, end="")
    return 0 if found.holds else 1
