"""`harness compare`: compare two stores or selections with paired statistics and gates."""

from __future__ import annotations

import argparse
from pathlib import Path

from harness.cli.common import add_repeated, encode_json, write_out

EPILOG = """exit status: 0 every gate passes, or none was given; 1 a gate fails; 2 wrong use;
3 no gate fails, but at least one can't be decided (an interval on both sides of the limit, a
missing result, no pairing)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add = parser.add_argument
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add("a", type=Path, metavar="A", help="the reference: a store, which is a folder of records")
    add("b", type=Path, metavar="B", help="the other store; differences are B − A")
    selection = "only matching cells of {}, such as model=ViT; cells pair up in all that A and B share"
    for side in ("a", "b"):
        add(
            f"--{side}",
            dest=f"where_{side}",
            action="append",
            default=[],
            metavar="NAME=PATTERN",
            help=selection.format(side.upper()),
        )
    add_repeated(parser, "--where", "NAME=PATTERN", "only matching cells on both sides")
    add_repeated(parser, "--suite", "NAME", "only this suite")
    add_repeated(
        parser,
        "--metric",
        "NAME",
        "the metric to compare, or all (default: those of the gates, else each cell's first metric)",
    )
    add_repeated(
        parser,
        "--fail-on",
        "GATE",
        "what must not happen, such as 'top1 < -0.5': B loses more than half a point (points for "
        "fractions; end with pp or abs to say which)",
    )
    add("--level", type=float, default=0.95, help="of intervals and tests (0.95)")
    add("--significant", action="store_true", help="show only cells with a difference")
    add("--format", choices=["terminal", "markdown", "json"], default="terminal")
    add("--out", type=Path, metavar="FILE", help="write there instead of printing")


def main(given: argparse.Namespace) -> int:
    """Compare the sides, judge the gates, and return their exit status."""
    from harness.comparing import parse_selection
    from harness.comparing.judged import compare_stores

    found = compare_stores(
        given.a,
        given.b,
        where=parse_selection(given.where, "--where"),
        where_a=parse_selection(given.where_a, "--a"),
        where_b=parse_selection(given.where_b, "--b"),
        suites=given.suite,
        metrics=given.metric,
        fail_on=given.fail_on,
        level=given.level,
    )
    as_json = given.json or given.format == "json"
    text = encode_json(found.to_dict()) if as_json else found.render(given.format, given.significant)
    if given.out is None:
        print(text, end="")
    else:
        write_out(given.out, text)
    return found.exit_status
