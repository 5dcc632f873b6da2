"""Tables of what a store holds, in the suite's layout or another, without the plugins that made the records.

Unchanged ones come from the cache of derived values: what only their making needs is imported there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from harness.errors import SuiteError, did_you_mean, no_records
from harness.leaderboard.shown_tables import ShownTables
from harness.leaderboard.table_json import decode_table, encode_table
from harness.records.derived import DerivedCache
from harness.records.store import Store

if TYPE_CHECKING:
    from harness.planning.suite import Suite

LAYOUT = ("rows", "columns", "values")
"""The fields whose change makes a new table of the suite's; other changes apply to all of its tables."""


def stored_tables(
    store: Store,
    suite: str | None,
    changes: Mapping[str, Any],
    only: str | None = None,
    published: Sequence[str] = (),
) -> ShownTables:
    """Return the tables of one suite of the store, or of all, with fields of their layout changed.

    `only` names one table of the suite; `published` are sets of published results to add to the tables' own.
    Raises SuiteError for a suite without records, an unknown table or set, an invalid change, or a `where` that
    no cell meets.
    """
    known = store.suites()
    name = _find_name(suite) if suite else None
    if name and name not in known:
        raise SuiteError(no_records(store.path, name, known))
    if not known:
        raise SuiteError(f"{store.path}: no records yet: harness run SUITE makes some")
    names = [name] if name else known
    # of a selection, any of the suites may be meant
    request = {
        "changes": dict(changes),
        "only": only,
        "suites": names if changes.get("where") else None,
        "published": list(published),
    }
    named = [*published, *(changes.get("published") or ())]
    if named:
        from harness.published.finding import check_names

        check_names(named, store)
    derived, frames, tables = DerivedCache(store, names, published=named), dict[str, Any](), ShownTables()
    for one in names:
        make = partial(_make_tables, store, one, names, changes, only, published, frames)
        tables += [decode_table(table) for table in derived.get(one, "tables", request, make)]
    return tables


def _find_name(text: str) -> str:
    """Return the name of a suite given by its name or its file."""
    if ".toml" not in text:
        return text
    from harness.planning.suite import find_suite_name

    return find_suite_name(text)


def _make_tables(
    store: Store,
    name: str,
    names: Sequence[str],
    changes: Mapping[str, Any],
    only: str | None,
    published: Sequence[str],
    frames: dict[str, Any],
) -> list[dict[str, Any]]:
    """Return a suite's tables as JSON-able data; `frames` keeps the suites' frames for the next one."""
    from harness.leaderboard.build import build_tables
    from harness.leaderboard.checking import check_where
    from harness.leaderboard.default_layout import with_tables
    from harness.leaderboard.frame import suite_frame
    from harness.planning.add_published import with_published
    from harness.planning.suite import load_planned

    where = changes.get("where")
    if isinstance(where, Mapping) and where and not frames:
        frames.update({n: (load_planned(store, n), suite_frame(store, n)) for n in names})
        check_where(where, "--where", frames)
    planned, data = frames.get(name) or (load_planned(store, name), suite_frame(store, name))
    changed = with_published(change_tables(with_tables(planned, data), changes, only), published)
    tables = build_tables(changed, data, store)
    return [encode_table(table) for table in tables]


def change_tables(suite: Suite, changes: Mapping[str, Any], only: str | None = None) -> Suite:
    """Return the suite with its tables narrowed and changed.

    A change of layout makes a new table; other changes apply to all of the suite's, and `where` adds to theirs.
    """
    from harness.planning.suite import TableSpec, change_table

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
