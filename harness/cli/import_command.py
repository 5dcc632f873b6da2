"""`harness import`: write other programs' results into a store as records."""

from __future__ import annotations

import argparse
import sys

from harness.cli.common import add_store_argument, name_store, print_json
from harness.cli.import_predictions import add_prediction_arguments, read_request
from harness.cli.plugin_output import redirect_prints
from harness.discovery import registry

SHOWN = 20
"""How many rows that were left out, and how many notes, get a line each."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    known = ", ".join(plugin.name for plugin in registry.installed("importers"))
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="files that another program wrote, or folders of these; the program's name may stand before them",
    )
    parser.add_argument(
        "--as",
        dest="importer",
        metavar="NAME",
        help=f"the importer, where the files don't tell: {known}; with options as in 'table?model=Network'",
    )
    add_store_argument(parser, remote=False)
    parser.add_argument(
        "--suite", metavar="NAME", help="the suite to file them under (default: the importer's name)"
    )
    parser.add_argument(
        "--source", metavar="URL", help="where the files are from: an address or a repository"
    )
    parser.add_argument("--commit", metavar="HASH", help="the commit that they are from")
    parser.add_argument("--date", metavar="DATE", help="the date that they are from")
    parser.add_argument(
        "--replace",
        action="store_true",
        help="put results in the place of an earlier import's of the same evaluations with other numbers",
    )
    add_prediction_arguments(parser)


def main(given: argparse.Namespace) -> int:
    """Import all files, or none if one of them is wrong; return 1 if rows had to be left out."""
    from harness.exchange.importing import Origin, import_files
    from harness.exchange.recognising import split_program

    store = name_store(given)
    with redirect_prints(given):
        program, files = split_program(given.files, given.importer)
        origin = Origin(given.source, given.commit, given.date)
        request = read_request(given)
        done = import_files(files, store, given.suite, program, origin, request, given.replace)
    if given.json:
        print_json({"store": str(store.path), **vars(done)})
        return 1 if done.left_out else 0
    for line in done.left_out[:SHOWN]:
        print(f"left out: {line}", file=sys.stderr)
    if len(done.left_out) > SHOWN:
        print(f"left out: … and {len(done.left_out) - SHOWN} more", file=sys.stderr)
    parts = [f"{done.written} records imported"]
    parts += [f"{done.replaced} of them in the place of earlier ones"] if done.replaced else []
    parts += [f"{done.same} were there already"]
    parts += [f"{len(done.left_out)} rows left out"] if done.left_out else []
    parts += [f"{done.passed} files that no importer recognises passed over"] if done.passed else []
    print(f"{store.path}: {', '.join(parts)}; numbers: {', '.join(done.metrics)}")
    for text in done.remarks[:SHOWN]:
        print(f"note: {text}")
    if len(done.remarks) > SHOWN:
        print(f"note: … and {len(done.remarks) - SHOWN} more, which the records hold")
    for suite in done.suites:
        print(f"harness table {suite} --store {store.path} shows them")
    return 1 if done.left_out else 0
