"""`harness import`: write other programs' results into a store as records."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli.common import add_store_argument, open_store, print_json
from harness.cli.import_predictions import add_prediction_arguments, read_request
from harness.cli.plugin_output import redirect_prints
from harness.discovery import registry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    known = ", ".join(plugin.name for plugin in registry.installed("importers"))
    parser.add_argument("format", metavar="PROGRAM", help=f"the program that wrote the files: {known}")
    parser.add_argument(
        "files", type=Path, nargs="+", metavar="FILE", help="its results, or folders of these"
    )
    add_store_argument(parser)
    add_prediction_arguments(parser)
    parser.add_argument(
        "--suite", metavar="NAME", help="the suite to file them under (default: the program's name)"
    )


def main(given: argparse.Namespace) -> int:
    """Import all files, or none if one of them is wrong."""
    from harness.exchange.importing import import_from

    store = open_store(given)
    with redirect_prints(given):
        done = import_from(given.format, given.files, store, given.suite, read_request(given))
    if given.json:
        print_json({"store": str(store.path), **vars(done)})
    else:
        print(
            f"{store.path}: {done.written} records imported, {done.same} were there already; "
            f"harness table {done.suite} --store {store.path} shows them"
        )
        for text in done.remarks:
            print(f"  note: {text}")
    return 0
