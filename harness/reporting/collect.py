"""Collect the content of a report: for each suite its tables, plots, records and problems."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import repeat
from multiprocessing import get_context
from typing import TYPE_CHECKING

from harness.errors import HarnessError, StoreError, no_records
from harness.leaderboard.table import Table
from harness.planning.suite import Suite, TableSpec, load_planned
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


MANY = 200
"""From this many cells on a second process is worth its start."""


def collect_views(store: Store, suites: Sequence[str] | None, processes: int = 1) -> list[SuiteView]:
    """Collect the named suites of the store, or all of them; several large ones in that many processes.

    Raises StoreError for a name that the store does not know, or if there is nothing to show.
    """
    known = store.suites()
    if not known:
        raise StoreError(f"{store.path}: no records yet: harness run SUITE makes some")
    for name in suites or ():
        if name not in known:
            raise StoreError(no_records(store.path, name, known))
    names = list(dict.fromkeys(suites or known))
    cells = sum(len((store.manifest(name) or {}).get("cells", ())) for name in names)
    processes = min(processes, len(names))
    if processes == 1 or cells < MANY:
        return [_collect_view(store, name) for name in names]
    with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
        return list(pool.map(_collect_view, repeat(store), names))


def _collect_view(store: Store, name: str) -> SuiteView:
    from harness.leaderboard.build import build_tables, select_records
    from harness.leaderboard.frame import suite_frame
    from harness.plotting.draw import draw_plots

    suite = load_planned(store, name)
    view = SuiteView(suite, suite_frame(store, name))
    for spec in suite.tables or [TableSpec(name=suite.name, title=suite.title or suite.name)]:
        try:
            if len(suite.tables) > 1 and len(view.data) and not len(select_records(view.data, spec)):
                continue  # a partial run has nothing for some tables, nor their columns
            # one at a time, so that a failing table leaves the others
            view.tables += build_tables(suite.model_copy(update={"tables": [spec]}), view.data, store)
        except HarnessError as error:
            view.problems.append(str(error))
    view.plots = draw_plots(suite, view.data, store)
    return view
