"""`harness import`: results of other programs as records of a store."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli.common import add_store_argument, open_store, print_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("format", choices=["clip_benchmark"], help="the program that wrote the files")
    parser.add_argument(
        "files", type=Path, nargs="+", metavar="FILE", help="its JSON results, or folders of these"
    )
    add_store_argument(parser)
    parser.add_argument(
        "--suite", default="clip_benchmark", metavar="NAME", help="what harness table calls them"
    )


def main(given: argparse.Namespace) -> int:
    """Imports the files, or none of them when one is wrong."""
    from harness.exchange.importing import import_clip_benchmark

    store = open_store(given)
    done = import_clip_benchmark(given.files, store, given.suite)
    if given.json:
        print_json({"store": str(store.path), **vars(done)})
    else:
        print(
            f"{store.path}: {done.written} records imported, {done.same} were there already; "
            f"harness table {done.suite} --store {store.path} shows them"
        )
    return 0
