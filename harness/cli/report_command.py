"""`harness report`: write one HTML page with leaderboards, plots and records; plots as files for papers."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from harness.cli.common import add_published_arguments, add_store_argument, open_store, print_json
from harness.cli.plugin_output import redirect_prints


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add = parser.add_argument
    add("suites", nargs="*", metavar="SUITE", help="default: all that the store knows")
    add_store_argument(parser)
    add("--out", type=Path, default=Path("report.html"), metavar="FILE", help="the page")
    add_published_arguments(parser)
    add("--plots", type=Path, metavar="DIR", help="also write each plot there as SVG and PNG")


def main(given: argparse.Namespace) -> int:
    """Write the page, and the plots if `--plots` is given."""
    from harness.reporting.collect import Published
    from harness.reporting.writing import write_files

    with redirect_prints(given):
        published = Published(tuple(given.add_published), given.published_rows)
        done = write_files(
            open_store(given), given.suites, given.out, given.plots, os.cpu_count() or 1, published
        )
    if given.json:
        files = [str(p) for p in done.plots]
        print_json({"page": str(given.out), "suites": done.suites, "plots": files, "problems": done.problems})
    else:
        print(given.out)
        for path in done.plots:
            print(path)
    for problem in done.problems:
        print(f"harness: {problem}", file=sys.stderr)
    return 0
