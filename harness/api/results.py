"""What a store holds, shown: `harness.table`, `harness.compare`, `harness.report` and `harness.plots`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness.api.keywords import as_list, refusing_unknown
from harness.api.places import open_place

if TYPE_CHECKING:
    from harness.comparing.judged import JudgedComparison
    from harness.leaderboard.table import Table
    from harness.plotting.figures import Figures


def _layout_names() -> list[str]:
    from harness.planning.suite import TableSpec

    return list(TableSpec.model_fields)


@refusing_unknown(_layout_names)
def table(
    suite: str | Path | None = None,
    *,
    store: str | Path | None = None,
    table: str | None = None,
    add_published: str | Sequence[str] = (),
    remote: str | None = None,
    **layout: Any,
) -> list[Table]:
    """Return the leaderboards of a suite, or of all in the store, without running anything.

    `table` names one of them. `remote` is a bucket that mirrors the store, by default $HARNESS_REMOTE: what it has
    and the store lacks is fetched first. `layout` changes fields of their layout: rows, columns, values, baseline,
    delta, sort, group, where, decimals, percent, transpose, ranking, intervals, level. Other rows, columns or
    values make a new table of the suite's; other fields apply to all of its tables. `add_published` names
    published results to show beside the rows: installed sets, suites of the store, .csv files; `published_rows`
    says how many of their models above and below each row, or "all".
    """
    from harness.leaderboard.stored import stored_tables

    place = open_place(store, remote)
    return stored_tables(place, str(suite) if suite else None, layout, table, as_list(add_published))


@refusing_unknown()
def compare(
    a: str | Path,
    b: str | Path,
    *,
    where: Mapping[str, Any] | None = None,
    where_a: Mapping[str, Any] | None = None,
    where_b: Mapping[str, Any] | None = None,
    suites: str | Sequence[str] = (),
    metrics: str | Sequence[str] = (),
    fail_on: str | Sequence[str] = (),
    level: float = 0.95,
) -> JudgedComparison:
    """Compare store `b` with store `a`, cell by cell, with paired statistics; a difference is B − A.

    Args:
        a: the reference: a store, which is a folder of records.
        b: the other store, or the same one with another selection.
        where: only matching cells on both sides, such as {"dataset": "imagenet*"}.
        where_a: only matching cells of A, such as {"model": "ViT"}.
        where_b: only matching cells of B; cells pair up in all that A and B share.
        suites: only these suites.
        metrics: the metrics to compare, or "all"; by default those of the gates, else each cell's first.
        fail_on: gates, such as "top1 < -0.5": B loses more than half a point.
        level: of intervals and tests.

    Raises HarnessError if nothing matches, or for an invalid selection, metric or gate.
    """
    from harness.comparing.judged import compare_stores

    return compare_stores(
        a,
        b,
        where=where or {},
        where_a=where_a or {},
        where_b=where_b or {},
        suites=as_list(suites),
        metrics=as_list(metrics),
        fail_on=as_list(fail_on),
        level=level,
    )


@refusing_unknown()
def report(
    *suites: str,
    store: str | Path | None = None,
    out: str | Path = "report.html",
    plots: str | Path | None = None,
    add_published: str | Sequence[str] = (),
    published_rows: int | Literal["all"] | None = None,
    remote: str | None = None,
) -> Path:
    """Write one HTML page with leaderboards, plots and records, and return its path.

    Without `suites`, it shows all that the store knows. `plots` is a folder in which each plot is also written
    as SVG and PNG. `add_published` and `published_rows` are those of `harness.table`, for all tables and plots.
    With `remote`, as in `table`, the store is filled first. Tables and plots that can't be made are named on the
    page and on stderr.
    """
    from harness.reporting.collect import Published
    from harness.reporting.writing import write_files

    folder = None if plots is None else Path(plots)
    published = Published(tuple(as_list(add_published)), published_rows)
    done = write_files(open_place(store, remote), suites, Path(out), folder, published=published)
    for problem in done.problems:
        print(f"harness: {problem}", file=sys.stderr)
    return done.page


@refusing_unknown()
def plots(
    suite: str | Path,
    names: str | Sequence[str] = (),
    *,
    store: str | Path | None = None,
    remote: str | None = None,
) -> Figures:
    """Return the suite's plots, or those named, as a dictionary of matplotlib figures.

    A notebook shows them; they can be changed (`figures["curves"].axes[0].set_title(…)`) and saved. Those that
    can't be drawn are in `.problems`; one that is named raises HarnessError then. With `remote`, as in `table`, the
    store is filled first.
    """
    from harness.plotting.figures import draw_figures

    return draw_figures(open_place(store, remote), str(suite), as_list(names))
