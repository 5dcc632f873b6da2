"""`harness merge`: bring the records of several stores into one."""

from __future__ import annotations

import argparse
import sys

from harness.cli.common import print_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add = parser.add_argument
    parser.epilog = (
        "exit status: 0 all is merged; 1 two records of a cell have different numbers (both files are named, "
        "INTO's stays, with a remark that tables show), or a record can't be read; the rest is merged."
    )
    add("into", metavar="INTO", help="the store that grows; made if absent")
    add(
        "sources",
        nargs="+",
        metavar="FROM",
        help="stores to read; one may be in a bucket, as s3://bucket/name",
    )
    add(
        "--tolerance",
        type=float,
        default=0.0,
        metavar="X",
        help="relative difference up to which numbers count as the same (default: none)",
    )


def main(given: argparse.Namespace) -> int:
    """Merge the stores and report what happened."""
    from harness.mirroring.merging import merge_sources

    outcome = merge_sources(given.into, given.sources, given.tolerance)
    bad = bool(outcome.conflicts or outcome.unreadable)
    if given.json:
        print_json(outcome.to_dict())
        return int(bad)
    print(
        f"{given.into}: {outcome.copied} records copied, {outcome.replaced} replaced unfinished ones, "
        f"{outcome.same} were there already"
    )
    for note in outcome.notes:
        print(note)
    for problem in (*outcome.conflicts, *outcome.unreadable):
        print(f"harness: {problem}", file=sys.stderr)
    return int(bad)
