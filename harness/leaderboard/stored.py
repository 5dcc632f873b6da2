"""Tables of what a store holds, in the suite's layout or another, without the plugins that made the records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.errors import SuiteError, did_you_mean, no_records
from harness.leaderboard.build import build_tables
from harness.leaderboard.checking import check_where
from harness.leaderboard.frame import suite_frame
from harness.leaderboard.shown_tables import ShownTables
from harness.planning.suite import Suite, TableSpec, change_table, find_suite_name, load_planned
from harness.records.store import Store

LAYOUT = ("rows", "columns", "values")
"""The fields whose change makes a new table of the suite's; other changes apply to all of its tables."""


def stored_tables(
    store: Store, suite: str | None, changes: Mapping[str, Any], only: str | None = None
) -> ShownTables:
    """Return the tables of one suite of the store, or of all, with fields of their layout changed.

    `only` names one table of the suite. Raises SuiteError for a suite without records, an unknown table, an
    invalid change, or a `where` that no cell meets.
    """
    known = store.suites()
    name = find_suite_name(suite) if suite else None
    if name and name not in known:
        raise SuiteError(no_records(store.path, name, known))
    if not known:
        raise SuiteError(f"{store.path}: no records yet: harness run SUITE makes some")
    frames = {n: (load_planned(store, n), suite_frame(store, n)) for n in ([name] if name else known)}
    if isinstance(changes.get("where"), Mapping):
        check_where(changes["where"], "--where", frames)
    tables = ShownTables()
    for planned, data in frames.values():
        tables += build_tables(change_tables(planned, changes, only), data, store)
    return tables


def change_tables(suite: Suite, changes: Mapping[str, Any], only: str | None = None) -> Suite:
    """Return the suite with its tables narrowed and changed.

    A change of layout makes a new table; other changes apply to all of the suite's, and `where` adds to theirs.
    """
    tables = suite.tables or [TableSpec(name=suite.name, title=suite.title)]
    if only:
        names = [t.name for t in tables]
        if only not in names:
            raise SuiteError(f"suite {suite.name}: no table '{only}'{did_you_mean(only, names)}")
        tables = [t for t in tables if t.name == only]
    if any(name in changes for name in LAYOUT) and not only:
        plain = [t for t in tables if not t.summary] or [TableSpec(name=suite.name, title=suite.title)]
        blank = {"name": suite.name, "title": suite.title or suite.name, "caption": ""}
        tables = [plain[0].model_copy(update={**blank, "baseline": None, "where": {}})]
    where = changes.get("where", {})
    if not isinstance(where, Mapping):
        raise SuiteError(f"--where {where}: expected names with patterns, as in {{'model': 'ViT*'}}")
    whole = [{**changes, "where": {**t.where, **where}} for t in tables]
    tables = [change_table(t, c, f"table '{t.name}'") for t, c in zip(tables, whole, strict=True)]
    return suite.model_copy(update={"tables": tables})
