"""`harness run`: run what is missing, then show the leaderboards."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.common import (
    add_repeated,
    add_suite_arguments,
    data_settings,
    load_suites,
    open_store,
    parse_choice,
    positive_int,
    print_json,
)
from harness.cli.plugin_output import redirect_prints

if TYPE_CHECKING:
    from harness.planning.suite import Suite
    from harness.records.store import Store
    from harness.running.runner import Executors, Run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add = parser.add_argument
    add_suite_arguments(parser)
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    add("--batch-size", type=positive_int, default=64, metavar="N", help="halved if memory runs out")
    add("--workers", type=int, metavar="N", help="threads that prepare images (default: by number of cores)")
    add("--executor", metavar="REF", help="inline, or processes:N (default: as the suite says)")
    add("--cache", type=Path, metavar="DIR", help="folder of cached embeddings (else $HARNESS_CACHE)")
    known = "an installed listener, such as tensorboard or wandb?mode=online"
    add_repeated(parser, "--listen", "REF", f"{known} (else $HARNESS_LISTEN); may be repeated")
    add("--fresh", action="store_true", help="run all cells again, even those done")
    add("--format", default="terminal", help="of the tables: terminal, markdown, csv, latex, html, json")
    add("--quiet", action="store_true", help="no progress, only the tables")


def main(given: argparse.Namespace) -> int:
    """Run the suites one after another; return 1 if a cell failed or nothing of a suite could run."""
    from harness.leaderboard.formats import find_writer
    from harness.running.runner import Executors

    write = find_writer(given.format)
    suites, store = load_suites(given), open_store(given)
    failed, answers = 0, []
    with Executors() as executors:
        for suite in suites:
            with redirect_prints(given), data_settings(given):
                outcome = _run_suite(suite, store, given, executors)
                tables = outcome.tables()
            if given.json:
                counts = dict(Counter(r.status for r in outcome.records))
                texts = [*outcome.plan.remarks, *(text for r in outcome.records for text in r.remarks)]
                facts = {"suite": suite.name, "ran": counts, "remarks": list(dict.fromkeys(texts))}
                answers.append({**facts, "tables": [t.to_dict() for t in tables]})
            else:
                for table in tables:
                    print(write(table), end="\n\n" if given.format == "terminal" else "\n")
            for record in outcome.failed:
                hidden = ("experiment", "protocol", "seed")
                where = " · ".join(str(v) for k, v in record.coordinates.items() if v and k not in hidden)
                if record.status != "ok":
                    print(f"harness: {record.status}: {where}: {record.reason}", file=sys.stderr)
                for why in record.failures.values():
                    print(f"harness: {where}: {why}", file=sys.stderr)
            failed += len(outcome.failed)
            if outcome.in_vain:
                failed += 1
                print(f"harness: {outcome.in_vain}", file=sys.stderr)
    if given.json:
        print_json(answers)
    return 1 if failed else 0


def _run_suite(suite: Suite, store: Store, given: argparse.Namespace, executors: Executors) -> Run:
    """Run one suite, reporting progress on stderr unless `--quiet` or `--json`."""
    from harness.running.runner import run

    listeners: list[object] = list(given.listen)
    if not given.quiet and not given.json:
        from harness.running.progress import display

        listeners.append(display(sys.stderr))
    return run(
        suite,
        store,
        choice=parse_choice(given),
        device=given.device,
        batch_size=given.batch_size,
        workers=None if given.workers is None else max(0, given.workers),
        fresh=given.fresh,
        executor=given.executor,
        cache=given.cache,
        listeners=listeners,
        executors=executors,
    )
