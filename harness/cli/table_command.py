"""`harness table`: show leaderboards from the records in a store, without the plugins that made them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from harness.cli.common import (
    add_published_arguments,
    add_repeated,
    add_store_argument,
    encode_json,
    open_store,
    write_out,
)
from harness.cli.plugin_output import redirect_prints
from harness.errors import SuiteError


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
    add_published_arguments(parser)
    add("--out", type=Path, metavar="FILE", help="write there instead of printing")


def main(given: argparse.Namespace) -> int:
    """Print the tables of one suite or of all."""
    from harness.leaderboard.formats import render
    from harness.leaderboard.stored import stored_tables

    with redirect_prints(given):
        tables = stored_tables(
            open_store(given), given.suite, parse_changes(given), given.table, given.add_published
        )
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


def parse_changes(given: argparse.Namespace) -> dict[str, Any]:
    """Return what the options change of a table's specification."""
    changes: dict[str, Any] = {}
    if given.rows:
        changes["rows"] = given.rows.split(",")
    if given.columns is not None:
        changes["columns"] = given.columns.split(",") if given.columns else []
    if given.value:
        changes["values"] = given.value
    changes |= {
        k: v
        for k in ("baseline", "delta", "sort", "group", "decimals", "intervals", "level")
        if (v := getattr(given, k)) is not None
    }
    changes |= {"percent": False} if given.no_percent else {}
    changes |= {k: True for k in ("transpose", "ranking") if getattr(given, k)}
    changes |= {} if given.published_rows is None else {"published_rows": given.published_rows}
    where = _parse_where(given)
    return changes | ({"where": where} if where else {})


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
