"""`harness run`: run what is missing, then show the leaderboards."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli.common import (
    add_published_arguments,
    add_repeated,
    add_suite_arguments,
    data_settings,
    load_suites,
    name_remote,
    name_store,
    parse_choice,
    positive_int,
    positive_seconds,
    print_json,
)
from harness.cli.plugin_output import redirect_prints
from harness.errors import Detached

if TYPE_CHECKING:
    from harness.planning.suite import Suite
    from harness.records.store import Store
    from harness.running.outcome import Run
    from harness.running.runner import Executors


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add = parser.add_argument
    add_suite_arguments(parser)
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    add("--batch-size", type=positive_int, default=64, metavar="N", help="halved if memory runs out")
    add("--workers", type=int, metavar="N", help="threads that prepare images (default: by number of cores)")
    add("--executor", metavar="REF", help="inline, processes:N, slurm, ray (default: as the suite says)")
    add(
        "--cell-timeout",
        type=positive_seconds,
        metavar="SECONDS",
        help="end a cell that takes longer; it is recorded as failed (else as the suite says)",
    )
    add("--cache", type=Path, metavar="DIR", help="folder of cached embeddings (else $HARNESS_CACHE)")
    known = "an installed listener, such as tensorboard or wandb?mode=online"
    add_repeated(parser, "--listen", "REF", f"{known} (else $HARNESS_LISTEN); may be repeated")
    add("--fresh", action="store_true", help="run all cells again, even those done")
    add_published_arguments(parser)
    add("--report", type=Path, metavar="FILE", help="then write the report of these suites, one HTML page")
    add("--format", default="terminal", help="of the tables: terminal, markdown, csv, latex, html, json")
    add("--quiet", action="store_true", help="no progress, only the tables")


def main(given: argparse.Namespace) -> int:
    """Run the suites one after another; return 1 if a cell failed, nothing of a suite could run, or a put failed.

    Suites whose cells go on without this command are told, and the next one begins.
    """
    from harness.leaderboard.formats import find_writer
    from harness.mirroring.mirrored_run import mirroring
    from harness.planning.add_published import with_published
    from harness.running.runner import Executors

    write = find_writer(given.format)
    suites = [
        with_published(suite, given.add_published, given.published_rows) for suite in load_suites(given)
    ]
    store, remote = name_store(given), name_remote(given)
    outcomes: list[Run] = []
    answers: list[dict[str, Any]] = []
    detached: list[str] = []
    began = time.monotonic()
    with mirroring(store, remote, _saying(given)) as mirrored, Executors() as executors:
        for suite in suites:
            with redirect_prints(given), data_settings(given):
                try:
                    outcome = _run_suite(suite, store, given, executors, remote, mirrored.listeners)
                except Detached as end:
                    if end.interrupted:
                        raise
                    detached.append(f"{suite.name}: {end}")
                    answers += [{"suite": suite.name, "detached": str(end)}] if given.json else []
                    continue
                tables = [] if given.json else outcome.tables()
                answers += [outcome.to_dict()] if given.json else []
            outcomes.append(outcome)
            if not given.json:
                print(_format_heading(suite, given.format, len(suites)), end="")
                for table in tables:
                    print(write(table), end="\n\n" if given.format == "terminal" else "\n", flush=True)
            _complain(outcome.failure_lines())
    _complain(detached)
    if given.json:
        print_json(answers)
    if given.report is not None:
        from harness.reporting.writing import write_files

        with redirect_prints(given):
            written = write_files(
                store, [s.name for s in suites], given.report, processes=os.cpu_count() or 1
            )
        _complain(written.problems)
    if not given.quiet and not given.json and not detached:
        print(_format_last_word(given, outcomes, time.monotonic() - began, store), file=sys.stderr)
    return 1 if mirrored.not_put or any(outcome.failed or outcome.in_vain for outcome in outcomes) else 0


def _complain(lines: Sequence[str]) -> None:
    for line in lines:
        print(f"harness: {line}", file=sys.stderr)


def _format_heading(suite: Suite, format: str, count: int) -> str:
    """Return the heading of a suite's tables for people; nothing if one suite is run, which everybody knows."""
    if count < 2 or format not in ("terminal", "markdown"):
        return ""
    text = f"{suite.name}: {suite.title}" if suite.title else suite.name
    return f"## {text}\n\n" if format == "markdown" else f"\n{'━' * min(len(text), 100)}\n{text}\n\n"


def _format_last_word(given: argparse.Namespace, outcomes: list[Run], seconds: float, store: Store) -> str:
    """Return what was run, how long it took, what failed, where the results are, and how to run the rest."""
    from harness.planning.editions import split_edition
    from harness.running.progress import clock

    planned = Counter(p.state for o in outcomes for p in o.plan)
    ran = Counter(r.status for o in outcomes for r in o.records if r.cost.get("seconds") is not None)
    failed = sum(len(o.failed) for o in outcomes)
    names = [o.plan.suite.name for o in outcomes]
    others = [f"{planned['done']} were done before"] if planned["done"] else []
    others += (
        [f"{planned['skipped'] + ran['skipped']} skipped"] if planned["skipped"] + ran["skipped"] else []
    )
    lines = [
        f"{', '.join(names)}: {sum(ran.values())} cells run in {clock(seconds)}, "
        f"{', '.join([f'{failed} failed' if failed else 'none failed', *others])}",
        f"records: {store.path}",
    ]
    lines += [f"report:  {given.report}"] if given.report is not None else []
    wholes = [
        shlex.quote(split_edition(text)[0])
        for text, name in zip(given.suites, names, strict=True)
        if split_edition(name)[1]
    ]
    if wholes:
        lines.append(f"these are editions, small parts; all of it: harness run {' '.join(wholes)}")
    return "\n".join(lines)


def _saying(given: argparse.Namespace) -> Callable[[str], None]:
    """Return what tells a line about the bucket, as far as the command is to say anything."""

    def say(text: str) -> None:
        if not given.quiet and not given.json:
            print(f"harness: {text}", file=sys.stderr)

    return say


def _run_suite(
    suite: Suite,
    store: Store,
    given: argparse.Namespace,
    executors: Executors,
    remote: str | None,
    mirrors: Sequence[object],
) -> Run:
    """Run one suite, reporting progress on stderr unless `--quiet` or `--json`."""
    from harness.running.runner import run

    listeners: list[object] = [*mirrors, *given.listen]
    if not given.quiet and not given.json:
        from harness.running.live_display import make_display

        listeners.append(make_display(sys.stderr))
    return run(
        suite,
        store,
        choice=parse_choice(given),
        device=given.device,
        batch_size=given.batch_size,
        workers=None if given.workers is None else max(0, given.workers),
        fresh=given.fresh,
        executor=given.executor,
        cell_timeout=given.cell_timeout,
        cache=given.cache,
        listeners=listeners,
        executors=executors,
        remote=remote,
    )
