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
    from harness import comparing as c
    from harness.planning.suite import find_suite_name
    from harness.records.store import Store
    from harness.statistics.checks import check_level

    gates = c.parse_gates(given.fail_on)
    both = c.parse_selection(given.where, "--where")
    sides = {}
    for name in ("a", "b"):
        own = c.parse_selection(getattr(given, f"where_{name}"), f"--{name}")
        sides[name] = c.Side(name.upper(), Store(getattr(given, name)), {**both, **own})
    metrics = [*given.metric, *(gate.metric for gate in gates)]
    found = c.compare(
        sides["a"],
        sides["b"],
        metrics=metrics,
        suites=[find_suite_name(text) for text in given.suite],
        level=check_level(given.level),
    )
    judged = c.judge_all(found, gates)
    if given.json or given.format == "json":
        data = found.to_dict()
        if gates:
            data["gates"] = {
                "answer": str(c.combine_gate_verdicts(judged)),
                "verdicts": [j.to_dict() for j in judged],
            }
        text = encode_json(data)
    else:
        write = c.render_comparison_text if given.format == "terminal" else c.render_comparison_markdown
        text = write(found, judged, given.significant)
    if given.out is None:
        print(text, end="")
    else:
        write_out(given.out, text)
    return c.EXIT[c.combine_gate_verdicts(judged)]
