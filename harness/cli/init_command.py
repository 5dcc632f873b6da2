"""`harness init`: write a suite file for one's own models and data."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli.common import add_repeated, print_json
from harness.cli.plugin_output import redirect_prints
from harness.discovery.reference import parse_references
from harness.errors import HarnessError, SuiteError

if TYPE_CHECKING:
    from harness.discovery.plain_names import PlainName

METRICS = ("top1",)
"""The metrics of a suite for which none are named."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.epilog = (
        "Each NAME is a model or a data set: a name such as resnet50, a checkpoint with --arch, a folder of "
        "images, or any reference to a plugin."
    )
    parser.add_argument("names", nargs="+", metavar="NAME", help="models and data sets, in any order")
    add_own_arguments(parser)
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("mine.toml"),
        metavar="FILE",
        help="the suite file (default: mine.toml)",
    )
    parser.add_argument(
        "--skip-unreadable",
        action="store_true",
        help="check and name the commands as with this option, which leaves out unreadable samples",
    )


def add_own_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that `try` and `init` share."""
    add = parser.add_argument
    add(
        "--arch", metavar="NAME", help="the architecture of a checkpoint file: resnet18, torchvision:resnet18"
    )
    add("--class-names", type=Path, metavar="FILE", help="names of the model's outputs, one per line")
    add("--split", metavar="NAME", help="the split to evaluate (default: the one for testing)")
    add_repeated(parser, "--metric", "REF", f"a metric (default: {', '.join(METRICS)}); may be repeated")


def main(given: argparse.Namespace) -> int:
    """Write the suite file; refuse to overwrite one."""
    from harness.planning.own_suite import compose_suite, write_own_suite

    name = name_suite(given.out)
    with redirect_prints(given):
        models, datasets = sort_names(given.names, given.arch)
        content = compose_suite(
            name, models, datasets, given.metric or METRICS, given.split, check_class_names(given.class_names)
        )
        write_own_suite(content, given.out)
        doubts = [*_name_unchecked_heads(models, content), *_check_suite(given)]
    for doubt in doubts:
        print(f"harness: note: {doubt}", file=sys.stderr)
    if given.json:
        print_json({"file": str(given.out), "models": len(models), "datasets": len(datasets)})
        return 0
    for found in (*models, *datasets):
        for note in found.notes:
            print(f"harness: note: {note}", file=sys.stderr)
    print(
        f"wrote {given.out}: {len(models)} {_plural('model', models)} on {len(datasets)} {_plural('data set', datasets)}"
    )
    words = [str(given.out), *(["--skip-unreadable"] if given.skip_unreadable else [])]
    print(f"  {shlex.join(['harness', 'plan', *words])}\n  {shlex.join(['harness', 'run', *words])}")
    return 0


def _name_unchecked_heads(models: Sequence[PlainName], content: Mapping[str, Any]) -> list[str]:
    """Return a note for each model that got a data set's number of classes, which no plan compares with its head."""
    return [
        f"{reference.shown}: num_classes = {reference.options['num_classes']} is the data set's number of classes; "
        "whether the checkpoint has as many outputs shows when it is loaded (harness try)"
        for given, entry in zip(models, content["models"], strict=True)
        for reference in parse_references(entry, "model")
        if "num_classes" in entry and "num_classes" not in given.entry
    ]


def _check_suite(given: argparse.Namespace) -> list[str]:
    """Return what `harness plan` says of the suite: why cells can't run, and what is assumed."""
    from harness.cli.try_failures import name_flags
    from harness.planning.plan import Choice, make_plan
    from harness.planning.suite import load_suite_file

    try:
        plan = make_plan(load_suite_file(given.out), Choice(skip_unreadable=given.skip_unreadable))
    except HarnessError as error:
        return [f"can't run as it is: {error}"]
    wrong = [p.reason for p in plan if p.state in ("skipped", "broken") and p.reason]
    texts = [*(f"can't run as it is: {reason}" for reason in dict.fromkeys(wrong)), *plan.remarks]
    return [name_flags(text) for text in texts]


def name_suite(path: Path) -> str:
    """Return a suite's name from its file. Raises SuiteError for a file that no command takes for a suite."""
    if path.suffix != ".toml":
        raise SuiteError(f"{path}: a suite file must end in .toml")
    return re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._")[:100] or "mine"


def check_class_names(path: Path | None) -> Path | None:
    """Return the file of class names. Raises SuiteError if there is none."""
    if path is not None and path.is_dir():
        raise SuiteError(f"--class-names {path}: is a folder; expected a file with one name per line")
    if path is not None and not path.is_file():
        raise SuiteError(f"--class-names {path}: no such file; expected one with one name per line")
    return path


def sort_names(texts: Sequence[str], architecture: str | None) -> tuple[list[PlainName], list[PlainName]]:
    """Return the models and the data sets that texts mean. Raises HarnessError for a text that is neither."""
    from harness.discovery.plain_names import find_dataset, find_model

    models: list[PlainName] = []
    datasets: list[PlainName] = []
    for text in texts:
        try:
            datasets.append(find_dataset(text))
            continue
        except HarnessError as error:
            reason = error
        try:
            models.append(find_model(text, architecture if _is_file(text) else None))
        except HarnessError as error:
            raise (reason if Path(text).expanduser().is_dir() else error) from None
    for found, what in ((models, "model"), (datasets, "data set")):
        if not found:
            raise SuiteError(f"{' '.join(texts)}: no {what} among these: a suite needs one at least")
    return models, datasets


def _is_file(text: str) -> bool:
    from harness.discovery.plain_names import WEIGHTS

    return Path(text).expanduser().is_file() or Path(text).suffix.lower() in WEIGHTS


def _plural(word: str, found: Sequence[object]) -> str:
    return word if len(found) == 1 else f"{word}s"
