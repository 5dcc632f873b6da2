"""`harness plan`: show what a run would do and about how long it takes, without loading a model or a sample."""

from __future__ import annotations

import argparse

from harness.cli.common import (
    add_suite_arguments,
    data_settings,
    load_suites,
    open_store,
    parse_choice,
    print_json,
)
from harness.cli.plugin_output import redirect_prints


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_suite_arguments(parser)
    parser.add_argument("--fresh", action="store_true", help="plan as if nothing had been run")
    parser.add_argument("--all", action="store_true", help="show every cell, not only those to run")


def main(given: argparse.Namespace) -> int:
    """Print the cells by state, skipped ones with their reason, and the time that those to run will take."""
    from harness.planning.plan import make_plan, note_evidence, note_time

    store = open_store(given)
    done = set() if given.fresh else store.done()
    with redirect_prints(given), data_settings(given):
        plans = [
            make_plan(suite, parse_choice(given), done, store.manifest(suite.name))
            for suite in load_suites(given)
        ]
    for plan in plans if not given.fresh else ():
        note_evidence(plan, store)
    for plan in plans:
        note_time(plan, store)
    if given.json:
        print_json([plan.to_dict() for plan in plans])
        return 0
    for plan in plans:
        print("\n".join(plan.lines(everything=given.all)))
    return 0
