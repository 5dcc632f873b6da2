"""The Python API: what the command line does, with typed objects and DataFrames."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.discovery.content import trusting_mtime
from harness.planning.plan import Choice, Plan, make_plan
from harness.planning.suite import Suite, find_suite_name, load_planned, load_suite_file, parse_suite
from harness.records.paths import default_store
from harness.records.store import Store
from harness.running.runner import Run
from harness.running.runner import run as run_suite

if TYPE_CHECKING:
    import pandas as pd

    from harness.leaderboard.table import Table

SuiteLike = str | Path | Suite | Mapping[str, Any]
"""A suite by name, by path, as an object, or as the content of a suite file."""


def plan(
    suite: SuiteLike, *, store: str | Path | None = None, trust_mtime: bool | None = None, **choices: Any
) -> Plan:
    """Return what a run would do. `choices` are the fields of `Choice`: models, datasets, seeds, limit, …

    `trust_mtime` as for `run`.
    """
    with trusting_mtime(trust_mtime):
        return make_plan(_suite(suite), _choice(choices), Store(store or default_store()).done())


def run(
    suite: SuiteLike,
    *,
    store: str | Path | None = None,
    device: str = "auto",
    batch_size: int = 64,
    workers: int = 0,
    fresh: bool = False,
    executor: str | None = None,
    listeners: Sequence[object] = (),
    trust_mtime: bool | None = None,
    **choices: Any,
) -> Run:
    """Run the missing cells of a suite; `.tables()` and `.frame()` of the returned run hold the results.

    With `trust_mtime`, data on disk is identified by names, sizes and modification times instead of its
    content, which saves reading it once; None leaves the choice to $HARNESS_TRUST_MTIME.

    >>> harness.run("robustness", models=["tiny-clip"], limit=100).tables()  # doctest: +SKIP
    """
    with trusting_mtime(trust_mtime):
        return run_suite(
            _suite(suite),
            Store(store or default_store()),
            choice=_choice(choices),
            device=device,
            batch_size=batch_size,
            workers=workers,
            fresh=fresh,
            executor=executor,
            listeners=listeners,
        )


def load(suite: str | None = None, *, store: str | Path | None = None) -> pd.DataFrame:
    """Return the records of a suite (or of the whole store) as a DataFrame, one row per cell.

    The column `remarks` holds what was assumed or left out. Raises SuiteError for a suite without records
    in the store.
    """
    from harness.errors import SuiteError, no_records
    from harness.leaderboard.frame import shorten_columns, suite_frame
    from harness.records.index import read_frame

    place = Store(store or default_store())
    if not suite:
        return shorten_columns(read_frame(place))
    suite = find_suite_name(suite)
    data = suite_frame(place, suite)
    if not len(data) and place.manifest(suite) is None:
        known = {*place.suites(), *map(str, read_frame(place)["suite"].dropna())}
        raise SuiteError(no_records(place.path, suite, sorted(known)))
    return shorten_columns(data)


def table(suite: str, *, store: str | Path | None = None, **layout: Any) -> list[Table]:
    """Return the leaderboards of a suite; `layout` overrides fields of its tables (rows, columns, values, …)."""
    from harness.errors import SuiteError, did_you_mean, no_records
    from harness.leaderboard.build import build_tables
    from harness.leaderboard.checking import check_where
    from harness.leaderboard.default_layout import with_tables
    from harness.leaderboard.frame import suite_frame
    from harness.planning.suite import TableSpec, change_table

    place, suite = Store(store or default_store()), find_suite_name(suite)
    if suite not in place.suites():
        raise SuiteError(no_records(place.path, suite, place.suites()))
    found = load_planned(place, suite)
    if layout:
        unknown: Iterable[str] = set(layout) - set(TableSpec.model_fields)
        for name in unknown:
            raise SuiteError(f"table: unknown setting '{name}'{did_you_mean(name, TableSpec.model_fields)}")
        specs = with_tables(found, suite_frame(place, suite)).tables
        changed = [change_table(s, layout, f"table '{s.name}'") for s in specs]
        found = found.model_copy(update={"tables": changed})
    data = suite_frame(place, suite)
    if isinstance(layout.get("where"), Mapping):
        check_where(layout["where"], "table: where", {suite: (found, data)})
    return build_tables(found, data, place)


def _suite(given: SuiteLike) -> Suite:
    if isinstance(given, Suite):
        return given
    return parse_suite(given) if isinstance(given, Mapping) else load_suite_file(given)


def _choice(given: Mapping[str, Any]) -> Choice:
    from dataclasses import fields

    from harness.errors import SuiteError, did_you_mean

    known = [f.name for f in fields(Choice)]
    for name in given:
        if name not in known:
            raise SuiteError(f"run: unknown choice '{name}'{did_you_mean(name, known)}")
    return Choice(**given)
