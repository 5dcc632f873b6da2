"""`harness report`: write one HTML page with leaderboards, plots and records; plots as files for papers."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.common import add_store_argument, open_store, print_json
from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.records.store import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add = parser.add_argument
    add("suites", nargs="*", metavar="SUITE", help="default: all that the store knows")
    add_store_argument(parser)
    add("--out", type=Path, default=Path("report.html"), metavar="FILE", help="the page")
    add("--plots", type=Path, metavar="DIR", help="also write each plot there as SVG and PNG")


def main(given: argparse.Namespace) -> int:
    """Write the page, and the plots if `--plots` is given."""
    from harness.planning.suite import find_suite_name
    from harness.reporting import write_report

    store = open_store(given)
    names = [find_suite_name(text) for text in given.suites] or store.suites()
    try:
        problems: list[str] = []
        write_report(store, names, given.out, processes=os.cpu_count() or 1, report_problem=problems.append)
        plots = _write_plots(store, names, given.plots, problems) if given.plots else []
    except OSError as error:
        raise HarnessError(f"{error.filename or given.out}: can't be written: {error.strerror}") from None
    if given.json:
        files = [str(p) for p in plots]
        print_json({"page": str(given.out), "suites": names, "plots": files, "problems": problems})
    else:
        print(given.out)
        for path in plots:
            print(path)
    for problem in problems:
        print(f"harness: {problem}", file=sys.stderr)
    return 0


def _write_plots(store: Store, names: list[str], folder: Path, problems: list[str]) -> list[Path]:
    """Write all plots and return their files; a plot that only the page could draw adds to `problems`."""
    from harness.leaderboard.frame import suite_frame
    from harness.planning.suite import load_planned
    from harness.plotting.draw import write_plots

    files: list[Path] = []
    for name in names:
        for drawn in write_plots(load_planned(store, name), suite_frame(store, name), store, folder):
            files += drawn.files
            text = f"plot '{drawn.name}' of {name}: {drawn.problem}"
            if drawn.problem and text not in problems:
                problems.append(text)
    return files
