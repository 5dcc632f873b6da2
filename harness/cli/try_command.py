"""`harness try`: one model on one data set, with what a person checks before trusting the number."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli.common import (
    add_store_argument,
    count_argument,
    name_store,
    positive_int,
    print_json,
)
from harness.cli.init_command import METRICS, add_own_arguments, check_class_names, name_suite
from harness.cli.plugin_output import redirect_prints
from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.discovery.plain_names import PlainName
    from harness.running.outcome import Run

NAME = "try"
"""The suite's name in the store, until --save gives it another."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add = parser.add_argument
    parser.epilog = (
        "MODEL: a name (resnet50, ViT-B-32/openai), a checkpoint with --arch, or a reference such as "
        "'timm:resnet18?checkpoint=mine.pth&num_classes=3'. DATASET: a folder of class folders, another file or "
        "folder that a data set plugin recognises, or a reference."
    )
    add("model", metavar="MODEL", help="a name, a checkpoint file, a model's folder, or a reference")
    add("dataset", metavar="DATASET", help="a folder of images, or a reference")
    add_own_arguments(parser)
    add("--limit", type=positive_int, metavar="N", help="use N random samples")
    add(
        "--skip-unreadable", action="store_true", help="leave out unreadable samples, and report their number"
    )
    add("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    add("--batch-size", type=positive_int, default=64, metavar="N", help="halved if memory runs out")
    add("--show", type=count_argument, default=3, metavar="N", help="so many hits and misses (default: 3)")
    add("--save", type=Path, metavar="FILE", help="also write a suite file, as `harness init` does")
    add_store_argument(parser, remote=False)


def main(given: argparse.Namespace) -> int:
    """Evaluate the model, and print the number and what it rests on; return 1 if there is none."""
    from harness.cli.try_failures import leave_out_place

    with redirect_prints(given):  # the answer, too, asks plugins
        try:
            facts, failures = _try(given)
        except HarnessError as error:
            error.args = (leave_out_place(str(error)),)
            raise
    if given.json:
        print_json(facts)
    elif "error" not in facts:
        from harness.cli.try_text import write_description

        print(f"{write_description(facts)}\n\na suite of it: {_same_as_suite(given)}")
    for why in failures:
        print(f"harness: {why}", file=sys.stderr)
    return 1 if failures else 0


def _try(given: argparse.Namespace) -> tuple[dict[str, Any], list[str]]:
    """Return what is to be said, or `error` alone; and what failed."""
    from harness.discovery.plain_names import find_dataset, find_model
    from harness.planning.own_suite import compose_suite, write_own_suite
    from harness.planning.plan import Choice
    from harness.planning.suite import parse_suite
    from harness.running.runner import run

    name = name_suite(given.save) if given.save else NAME
    if given.device not in ("auto", "cpu"):
        from harness.running.devices import pick_device

        pick_device(given.device)  # raises for a wrong one, even if a record is there already
    model, dataset = find_model(given.model, given.arch), find_dataset(given.dataset)
    names = check_class_names(given.class_names)
    content = compose_suite(name, [model], [dataset], given.metric or METRICS, given.split, names)
    if given.save:
        write_own_suite(content, given.save)
    outcome = run(
        parse_suite(content, NAME),
        name_store(given),
        choice=Choice(limit=given.limit, skip_unreadable=given.skip_unreadable),
        device=given.device,
        batch_size=given.batch_size,
        workers=None,
        executor="inline",
        listeners=[] if given.json else _choose_display(),
    )
    return _answer(outcome, content, (model, dataset), given)


def _choose_display() -> list[object]:
    """Return a progress display if somebody watches."""
    from harness.running.live_display import make_display

    return [make_display(sys.stderr)] if sys.stderr.isatty() else []


def _answer(
    outcome: Run, content: Mapping[str, Any], names: tuple[PlainName, PlainName], given: argparse.Namespace
) -> tuple[dict[str, Any], list[str]]:
    from harness.cli.try_failures import explain_failure
    from harness.cli.try_text import describe_outcome

    (planned,) = outcome.plan
    record = outcome.store.read(planned.cell.id)
    if planned.state in ("skipped", "broken") or record is None or record.status != "ok":
        reason = planned.reason or (record.reason if record is not None else "") or "no record"
        text = explain_failure(reason, content, planned.cell, given.split)
        return {"error": text}, [text]
    notes = [note for found in names for note in found.notes]
    facts = describe_outcome(outcome, record, planned.cell, notes, given.show)
    return facts, list(record.failures.values())


def _same_as_suite(given: argparse.Namespace) -> str:
    """Return the command that runs the suite that was saved, or else writes one of the same."""
    skip = ["--skip-unreadable"] if given.skip_unreadable else []
    if given.save:
        limit = ["--limit", str(given.limit)] if given.limit else []
        return shlex.join(["harness", "run", str(given.save), *limit, *skip])
    words = ["harness", "init", given.model, given.dataset]
    for flag, value in (
        ("--arch", given.arch),
        ("--class-names", given.class_names),
        ("--split", given.split),
    ):
        words += [flag, str(value)] if value else []
    for metric in given.metric:
        words += ["--metric", metric]
    return shlex.join([*words, *skip, "--out", "mine.toml"])
