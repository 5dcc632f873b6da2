"""Collect the content of a report: for each suite its tables, plots, records and problems."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, Literal

from harness.errors import HarnessError, StoreError, no_records
from harness.leaderboard.table import Table
from harness.planning.add_published import with_published
from harness.planning.suite import Suite, load_planned
from harness.published.finding import check_names
from harness.records.derived import DerivedCache
from harness.records.store import Store

if TYPE_CHECKING:
    import pandas as pd

    from harness.plotting.draw import DrawnPlot


@dataclass
class SuiteView:
    """One suite as the page shows it. `data` has one row per planned cell."""

    suite: Suite
    data: pd.DataFrame
    tables: list[Table] = field(default_factory=list)
    plots: list[DrawnPlot] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @property
    def problem_lines(self) -> list[str]:
        """One line for each table or plot that can't be shown."""
        name = self.suite.name
        drawn = [f"plot '{p.name}' of {name}: {p.problem}" for p in self.plots if p.problem]
        return [*(f"{name}: {problem}" for problem in self.problems), *drawn]

    def counts(self) -> dict[str, int]:
        """Return the number of cells of each status, ok first."""
        counts = self.data["status"].value_counts()
        return {str(s): int(counts[s]) for s in sorted(counts.index, key=lambda s: (s != "ok", str(s)))}


@dataclass(frozen=True)
class Published:
    """Sets of published results to add to all tables and plots, and how many rows of them to show around each row."""

    names: tuple[str, ...] = ()
    rows: int | Literal["all"] | None = None

    @property
    def request(self) -> list[Any] | None:
        """What tells values with these results from others; None without any."""
        return [list(self.names), self.rows] if self.names or self.rows is not None else None

    def add_to(self, suite: Suite) -> Suite:
        """Return a suite with them."""
        return with_published(suite, self.names, self.rows)


NONE = Published()

TABLES, PLOTS = "report tables", "report plots"
"""What the cache of derived values calls the parts of a view."""

MANY = 200
"""From this many cells on a second process is worth its start."""


def find_known_suites(store: Store, wanted: Sequence[str] | None) -> list[str]:
    """Return the names of the store's suites. Raises StoreError if it has none, or lacks a wanted one."""
    known = store.suites()
    if not known:
        raise StoreError(f"{store.path}: no records yet: harness run SUITE makes some")
    for name in wanted or ():
        if name not in known:
            raise StoreError(no_records(store.path, name, known))
    return known


def collect_views(
    store: Store, suites: Sequence[str] | None, processes: int = 1, published: Published = NONE
) -> list[SuiteView]:
    """Collect the named suites of the store, or all of them; several large ones in that many processes.

    `published` are results to add to the suites' own.

    Raises StoreError for a name that the store does not know, or if there is nothing to show; SuiteError or
    DataError for published results that can't be found or read.
    """
    known = find_known_suites(store, suites)
    check_names(published.names, store)
    names = list(dict.fromkeys(suites or known))
    derived, asked = DerivedCache(store, names, published=published.names), published.request
    making = [name for name in names if not all(derived.has(name, what, asked) for what in (TABLES, PLOTS))]
    cells = sum(len((store.manifest(name) or {}).get("cells", ())) for name in making)
    processes = min(processes, len(making))
    if processes > 1 and cells >= MANY:
        with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
            return list(pool.map(_collect_view, repeat(store), names, repeat(published)))
    return [_collect_view(store, name, published, derived) for name in names]


def _collect_view(
    store: Store, name: str, published: Published, derived: DerivedCache | None = None
) -> SuiteView:
    from harness.plotting.draw import DrawnPlot

    derived = derived or DerivedCache(store, [name], published=published.names)
    view = collect_tables(store, name, derived, published)
    drawn = derived.get(name, PLOTS, published.request, partial(_draw_plots, view, store))
    view.plots = [DrawnPlot(**plot) for plot in drawn]
    return view


def collect_tables(
    store: Store, name: str, derived: DerivedCache | None = None, published: Published = NONE
) -> SuiteView:
    """Return a suite's view without its plots, which take longest; tables come from the cache if it has them."""
    from harness.leaderboard.frame import suite_frame
    from harness.leaderboard.table_json import decode_table

    derived = derived or DerivedCache(store, [name])  # before anything is read
    view = SuiteView(published.add_to(load_planned(store, name)), suite_frame(store, name))
    made = derived.get(name, TABLES, published.request, partial(_make_tables, view, store))
    view.tables = [decode_table(table) for table in made["tables"]]
    view.problems = list(made["problems"])
    return view


def _make_tables(view: SuiteView, store: Store) -> dict[str, Any]:
    """Return tables, and the problems of those that can't be made, as JSON-able data."""
    from harness.leaderboard.build import build_tables, select_records
    from harness.leaderboard.default_layout import with_tables
    from harness.leaderboard.table_json import encode_table

    suite = view.suite
    tables: list[Table] = []
    problems: list[str] = []
    for spec in with_tables(suite, view.data).tables:
        try:
            if len(suite.tables) > 1 and len(view.data) and not len(select_records(view.data, spec)):
                continue  # a partial run has nothing for some tables, nor their columns
            # one at a time, so that a failing table leaves the others
            tables += build_tables(suite.model_copy(update={"tables": [spec]}), view.data, store)
        except HarnessError as error:
            problems.append(str(error))
    return {"tables": [encode_table(table) for table in tables], "problems": problems}


def _draw_plots(view: SuiteView, store: Store) -> list[dict[str, str]]:
    """Return the drawn plots as JSON-able data."""
    from harness.plotting.draw import draw_plots

    return [
        {"name": p.name, "title": p.title, "caption": p.caption, "problem": p.problem, "svg": p.svg}
        for p in draw_plots(view.suite, view.data, store)
    ]
