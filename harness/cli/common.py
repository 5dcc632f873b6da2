"""Options and output that several commands share."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness.errors import HarnessError, SuiteError

if TYPE_CHECKING:
    from harness.planning.plan import Choice
    from harness.planning.suite import Suite
    from harness.records.store import Store


def add_suite_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that name suites and change what they run."""
    add = parser.add_argument
    add("suites", nargs="+", metavar="SUITE", help="a suite, by name or file; SUITE@EDITION for a part of it")
    only = "only this one (a label or pattern of the suite's, or a new reference); may be repeated"
    for kind in ("model", "dataset", "method", "metric"):
        add_repeated(parser, f"--{kind}", "REF", only)
    for kind in ("model", "dataset", "metric"):
        add_repeated(parser, f"--add-{kind}", "REF", f"this {kind} in addition to the suite's own")
    add_repeated(parser, "--experiment", "NAME", "only this experiment of the suite")
    add("--seeds", metavar="N,N,…", help="the seeds, in place of the suite's")
    add_repeated(parser, "--set", "KEY=VALUE", "change a key of the suite, such as axes.shots=[1,2]")
    add("--precision", choices=["float32", "bfloat16", "float16"])
    add("--images", choices=["exact", "fast"], help="prepare images bit for bit as the model says, or fast")
    add("--limit", type=positive_int, metavar="N", help="use N random samples, the same for every model")
    add(
        "--skip-unreadable",
        action="store_true",
        help="leave out unreadable samples and report their number instead of failing; such cells get another id",
    )
    add("--data-root", type=Path, metavar="DIR", help="folder of the data sets (else $HARNESS_DATA_ROOT)")
    add(
        "--trust-mtime",
        action="store_true",
        help="identify data on disk by names, sizes and modification times instead of reading it once (tables "
        "note it; else $HARNESS_TRUST_MTIME)",
    )
    add_store_argument(parser)


def add_repeated(parser: argparse.ArgumentParser, flag: str, metavar: str, help: str, **more: Any) -> None:
    """Add an option that may be given several times; its value is a list."""
    parser.add_argument(flag, action="append", default=[], metavar=metavar, help=help, **more)


def add_store_argument(parser: argparse.ArgumentParser, remote: bool = True) -> None:
    """Add `--store`, and `--remote` for commands that first fetch what a bucket has."""
    parser.add_argument(
        "--store",
        type=Path,
        metavar="DIR",
        help="the folder of records (else $HARNESS_STORE, else results/store)",
    )
    if remote:
        parser.add_argument(
            "--remote",
            metavar="URL",
            help="a bucket that mirrors the folder, such as s3://bucket/name: what it has and the folder lacks is "
            "fetched first, and a run puts its records there (else $HARNESS_REMOTE)",
        )


def add_published_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--add-published` and `--published-rows`."""
    add_repeated(
        parser,
        "--add-published",
        "SET",
        "published results beside one's own: an installed set, a suite of the store, a .csv file; may be repeated",
    )
    parser.add_argument(
        "--published-rows",
        type=parse_rows,
        metavar="N",
        help="published models above and below each row (2), or all",
    )


def parse_rows(text: str) -> int | Literal["all"]:
    """Parse a whole number of at least 0, or `all`."""
    if text == "all":
        return "all"
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 0, or all, found {text!r}")
    return int(text)


def positive_int(text: str) -> int:
    """Parse a whole number of at least 1."""
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a whole number, found {text!r}") from None
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected at least 1, found {text}")
    return number


def positive_seconds(text: str) -> float:
    """Parse a number of seconds above 0."""
    try:
        seconds = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected a number of seconds, found {text!r}") from None
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number of seconds above 0, found {text}")
    return seconds


def count_argument(text: str) -> int:
    """Parse a whole number of at least 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 0, found {text!r}")
    return int(text)


def open_store(given: argparse.Namespace) -> Store:
    """Open the store that the command names, after a fetch of what its bucket has, if it names one."""
    if name_remote(given) is None:  # a bucket's modules take a moment
        return name_store(given)
    from harness.mirroring.mirror import open_fetched

    return open_fetched(given.store, given.remote, "--remote")


def name_store(given: argparse.Namespace) -> Store:
    """Return the store that the command names, as it is here."""
    from harness.records.paths import default_store
    from harness.records.store import Store

    return Store(given.store or default_store())


def name_remote(given: argparse.Namespace) -> str | None:
    """Return the checked address of the bucket that the command or the environment names, or None.

    A command without `--remote` has none.
    """
    if "remote" not in vars(given):
        return None
    from harness.mirroring.addresses import find_remote

    return find_remote(given.remote)


def load_suites(given: argparse.Namespace) -> list[Suite]:
    """Load the suites and apply `--set` and `--data-root`."""
    from harness.discovery.reference import parse_value
    from harness.planning.suite import load_suite_file
    from harness.records.paths import set_data_root

    if given.data_root is not None:
        set_data_root(given.data_root)
    overrides = {}
    for text in given.set:
        key, equals, value = text.partition("=")
        if not equals:
            raise SuiteError(f"--set {text}: expected key=value")
        overrides[key.strip()] = parse_value(value)
    return [load_suite_file(name, overrides) for name in given.suites]


def parse_choice(given: argparse.Namespace) -> Choice:
    """Return what the command's options narrow and add."""
    from harness.planning.plan import Choice

    return Choice(
        models=given.model,
        datasets=given.dataset,
        methods=given.method,
        metrics=given.metric,
        add_models=given.add_model,
        add_datasets=given.add_dataset,
        add_metrics=given.add_metric,
        experiments=given.experiment,
        seeds=_parse_seeds(given.seeds),
        precision=given.precision,
        images=given.images,
        limit=given.limit,
        skip_unreadable=given.skip_unreadable,
    )


def _parse_seeds(text: str | None) -> Sequence[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise SuiteError(f"--seeds {text}: expected whole numbers separated by commas") from None


@contextmanager
def data_settings(given: argparse.Namespace) -> Iterator[None]:
    """Apply `--trust-mtime` inside the block, with progress of a long first reading unless it must be quiet."""
    from harness.discovery.content import trusting_mtime
    from harness.discovery.content_reading import showing_progress

    with (
        trusting_mtime(True if given.trust_mtime else None),
        showing_progress(not given.json and not getattr(given, "quiet", False)),
    ):
        yield


def print_json(data: Any) -> None:
    """Print the data as JSON."""
    text = encode_json(data)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:  # escaped, for the programs that read it
        text = json.dumps(json.loads(text), indent=2) + "\n"
    print(text, end="")


def encode_json(data: Any) -> str:
    """Return the data as JSON text that parsers other than Python's read, too."""
    from harness.leaderboard.formats.data import replace_non_finite

    return json.dumps(replace_non_finite(data), ensure_ascii=False, indent=2, default=str) + "\n"


def write_out(path: Path, text: str) -> None:
    """Write `--out`. Raises HarnessError if it can't be written."""
    from harness.records.files import write_bytes

    try:
        if path.exists() and (path.is_symlink() or not path.is_file()):
            path.write_bytes(text.encode())  # /dev/stdout, a pipe: written to, not replaced by a file
        else:
            write_bytes(path, text.encode())
    except OSError as error:
        raise HarnessError(f"--out {path}: can't be written: {error.strerror}") from None


def format_bytes(count: float) -> str:
    """Return a number of bytes with a unit."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return ""
