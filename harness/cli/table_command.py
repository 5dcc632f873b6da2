"""`harness table`: show leaderboards from the records in a store, without the plugins that made them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.cli.common import add_repeated, add_store_argument, encode_json, open_store, write_out
from harness.errors import SuiteError, did_you_mean, no_records

if TYPE_CHECKING:
    from harness.records.store import Store


LAYOUT = (
    *("table", "rows", "columns", "value", "baseline", "delta", "sort", "group", "where", "decimals"),
    *("no_percent", "transpose", "ranking", "intervals", "level"),
)
"""Options that decide the tables; the others decide how they are written."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add = parser.add_argument
    add("suite", nargs="?", help="the suite (default: all in the store)")
    add_store_argument(parser)
    add("--table", metavar="NAME", help="only this table of the suite")
    add("--format", default="terminal", help="terminal, markdown, csv, latex, html, json")
    add("--rows", metavar="A,B", help="coordinates in rows: model, dataset, method, seed, an axis, a tag")
    add("--columns", metavar="A,B", help="coordinates in columns")
    add("--value", action="append", metavar="METRIC", help="a value to show; may be repeated")
    add("--baseline", metavar="model=LABEL", help="add differences from this row or column")
    add("--delta", choices=["absolute", "relative"])
    add("--sort", metavar="COLUMN", help="sort rows by a column, best first; -COLUMN for worst first")
    add("--group", metavar="NAME", help="group rows by a coordinate or tag")
    add_repeated(parser, "--where", "NAME=PATTERN", "only records that match")
    add("--decimals", type=int)
    add("--no-percent", action="store_true", help="show fractions as they are")
    add("--transpose", action="store_true")
    add("--ranking", action="store_true", help="add average rank, win rate and mean")
    add("--intervals", choices=["none", "seeds", "samples", "both", "auto"])
    add("--level", type=float, help="of intervals and tests (0.95)")
    add("--out", type=Path, metavar="FILE", help="write there instead of printing")


def main(given: argparse.Namespace) -> int:
    """Print the tables of one suite or of all."""
    from harness.leaderboard.formats import render
    from harness.leaderboard.table_json import decode_table

    store = open_store(given)
    known = store.suites()
    name = given.suite and _find_name(given.suite)
    if name and name not in known:
        raise SuiteError(no_records(store.path, name, known))
    if not known:
        raise SuiteError(f"{store.path}: no records yet: harness run SUITE makes some")
    data = _find_tables(store, [name] if name else known, given)
    tables = [decode_table(one) for one in data]
    if given.json or given.format == "json":
        text = encode_json([t.to_dict() for t in tables])
    else:
        after = "\n" if given.format == "terminal" else ""
        text = "\n".join(render(t, given.format) + after for t in tables)
    if given.out:
        write_out(given.out, text)
    else:
        print(text, end="")
    return 0


def _find_name(text: str) -> str:
    """Return the name of a suite given by its name or its file."""
    if ".toml" not in text:
        return text
    from harness.planning.suite import find_suite_name

    return find_suite_name(text)


def _find_tables(store: Store, names: Sequence[str], given: argparse.Namespace) -> list[Any]:
    """Return the tables of these suites as JSON-able data, from the cache where nothing has changed."""
    from harness.records.derived import DerivedCache

    derived = DerivedCache(store)
    frames: dict[str, Any] = {}

    def make(name: str) -> list[Any]:
        # imported here: tables from the cache need none of it
        from harness.leaderboard.build import build_tables
        from harness.leaderboard.checking import check_where
        from harness.leaderboard.default_layout import with_tables
        from harness.leaderboard.frame import suite_frame
        from harness.leaderboard.table_json import encode_table
        from harness.planning.suite import load_planned

        if given.where and not frames:  # any of the suites may be the one that is meant
            frames.update({n: (load_planned(store, n), suite_frame(store, n)) for n in names})
            check_where(_parse_where(given), "--where", frames)
        suite, data = frames.get(name) or (load_planned(store, name), suite_frame(store, name))
        tables = build_tables(change_tables(with_tables(suite, data), given), data, store)
        return [encode_table(table) for table in tables]

    request = {k: v for k, v in vars(given).items() if k in LAYOUT}
    request["suites"] = names if given.where else None
    return [table for name in names for table in derived.get(name, "tables", request, partial(make, name))]


def change_tables(suite: Any, given: argparse.Namespace) -> Any:
    """Return the suite with its tables narrowed and changed by the options.

    A change of layout makes a new table; other changes apply to all of the suite's.
    """
    from harness.planning.suite import TableSpec, change_table

    tables = suite.tables or [TableSpec(name=suite.name, title=suite.title)]
    if given.table:
        names = [t.name for t in tables]
        if given.table not in names:
            raise SuiteError(
                f"suite {suite.name}: no table '{given.table}'{did_you_mean(given.table, names)}"
            )
        tables = [t for t in tables if t.name == given.table]
    layout: dict[str, Any] = {}
    if given.rows:
        layout["rows"] = given.rows.split(",")
    if given.columns is not None:
        layout["columns"] = given.columns.split(",") if given.columns else []
    if given.value:
        layout["values"] = given.value
    if layout and not given.table:
        plain = [t for t in tables if not t.summary] or [TableSpec(name=suite.name, title=suite.title)]
        blank = {"name": suite.name, "title": suite.title or suite.name, "caption": ""}
        tables = [plain[0].model_copy(update={**blank, "baseline": None, "where": {}})]
    update = {
        k: v
        for k in ("baseline", "delta", "sort", "group", "decimals", "intervals", "level")
        if (v := getattr(given, k)) is not None
    }
    update |= {"percent": False} if given.no_percent else {}
    update |= {k: True for k in ("transpose", "ranking") if getattr(given, k)}
    where = _parse_where(given)
    changes = [{**layout, **update, "where": {**t.where, **where}} for t in tables]
    tables = [change_table(t, c, f"table '{t.name}'") for t, c in zip(tables, changes, strict=True)]
    return suite.model_copy(update={"tables": tables})


def _parse_where(given: argparse.Namespace) -> dict[str, Any]:
    """Return the selection of `--where`."""
    from harness.discovery.reference import parse_value

    where = {}
    for text in given.where:
        key, equals, value = text.partition("=")
        if not equals:
            raise SuiteError(f"--where {text}: expected name=pattern")
        where[key] = parse_value(value)
    return where
