"""Rank the rows of a table over its columns: average rank, win rate and mean."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from harness.leaderboard.entries import Column, TableValue, effective_column
from harness.leaderboard.table import Table
from harness.planning.suite import TableSpec
from harness.statistics import friedman_test, nemenyi_test, rank_models, wilcoxon_test


def add_ranking(table: Table, spec: TableSpec) -> None:
    """Add average rank, win rate and mean over the value columns to every row.

    Only columns in which every row has a number count; the caption says how many.
    """
    places = [n for n, c in enumerate(table.columns) if c.kind == "value"]
    if len(table.rows) < 2 or not places:
        return
    if (
        len(
            {
                effective_column(row.entries[n], table.columns[n]).metric
                for n in places[:1]
                for row in table.rows
            }
        )
        > 1
    ):
        table.note("no ranks: the rows are different metrics")
        return
    scores = np.array([[_float_or_nan(row.entries[n]) for n in places] for row in table.rows])
    signs = np.array([-1.0 if table.columns[n].higher_is_better is False else 1.0 for n in places])
    complete = np.isfinite(scores).all(axis=0)
    table.caption = (
        f"{table.caption} Ranks, win rate and mean over the {int(complete.sum())} of {len(places)} "
        "columns in which every row has a number."
    ).strip()
    first = table.columns[places[0]]
    alike = len({table.columns[n].metric for n in places}) == 1
    added = [
        Column(("average rank",), "average rank", "rank", False, 2, False),
        Column(("win rate",), "win rate", "rank", True, 1, True),
    ]
    if alike:
        added.append(
            Column(("mean",), first.metric, "rank", first.percent, first.decimals, first.higher_is_better)
        )
    if complete.any():
        oriented = scores[:, complete] * signs[complete]
        ranking = rank_models(oriented.T)
        ranks, wins = ranking.ranks, ranking.win_rates
        means = scores[:, complete].mean(axis=1)
    else:
        ranks = wins = means = np.full(len(table.rows), np.nan)
    depth = max(len(c.header) for c in table.columns)
    for column in added:
        column.header = (*column.header, *[""] * (depth - 1))
    for n, row in enumerate(table.rows):
        for numbers in (ranks, wins, means)[: len(added)]:
            value = float(numbers[n])
            count = int(complete.sum())
            row.entries.append(
                TableValue(None if np.isnan(value) else value, count=count, expected=len(places))
            )
    if complete.any():
        kept = [table.columns[n] for n, whole in zip(places, complete, strict=True) if whole]
        _judge_ranks(table, oriented.T, len(added), _have_own_data_sets(table, kept))
    table.columns += added


def _have_own_data_sets(table: Table, columns: Sequence[Column]) -> bool:
    """Return whether no two columns share a data set: the tests assume independent columns."""
    names = enumerate(table.column_names)
    places = [n for n, name in names if name == "dataset" or name.startswith("tag.dataset.")]
    data_sets = {tuple(c.header[n] for n in places) for c in columns}
    return len(data_sets) == len(columns)


def _judge_ranks(table: Table, scores: NDArray[np.float64], added: int, independent: bool) -> None:
    """Mark the best average rank and those that do not differ from it significantly over data sets.

    Two rows take Wilcoxon's signed-rank test; more take Friedman's and then Nemenyi's (Demšar 2006). Columns
    that share a data set are not tested, since it would count several times.
    """
    ranks = rank_models(scores).ranks
    best = int(np.argmin(ranks))
    if not independent:
        for n, row in enumerate(table.rows):
            row.entries[-added].best = bool(ranks[n] == ranks[best])
        table.caption = f"{table.caption} Ranks are not tested: several columns are of the same data set."
        return
    level = 1 - table.level
    if scores.shape[1] == 2:
        test = wilcoxon_test(scores[:, 0], scores[:, 1])
        alike = [test.p_value > level] * 2
        text = f"Over data sets: Wilcoxon's signed-rank test p = {test.p_value:.2g}."
    else:
        friedman = friedman_test(scores)
        nemenyi = nemenyi_test(scores, level=level)
        # Nemenyi's test holds only after a significant Friedman test
        alike = [friedman.p_value > level or p > level for p in nemenyi.p_values[best]]
        text = (
            f"Over data sets: Friedman's test p = {friedman.p_value:.2g}; average ranks differ significantly "
            f"when {nemenyi.critical_difference:.2f} apart (Nemenyi, {level:.2g})."
        )
    for n, row in enumerate(table.rows):
        entry = row.entries[-added]
        entry.best = bool(ranks[n] == ranks[best])
        entry.tied = bool(alike[n]) and not entry.best
    table.caption = f"{table.caption} {text}"


def _float_or_nan(entry: TableValue) -> float:
    return np.nan if entry.value is None else entry.value
