"""Leaderboards: grouping, seeds, footnotes, baselines, ranking, order, layout."""

import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

import harness
from harness.errors import SuiteError
from harness.leaderboard.build import build_table, select_records
from harness.leaderboard.entries import TableValue
from harness.leaderboard.table import Table
from harness.planning.suite import TableSpec
from harness.records.store import Store

NO = float("nan")


def frame(*rows: dict[str, Any], **metrics: Any) -> pd.DataFrame:
    """Records as the index gives them; `better` and `unit` hold for all."""
    full = [
        {"id": f"{n:020x}", "status": "ok", "reason": None, "count": 100.0, "at.seed": 0, "better.top1": 1.0,
         "better.ece": 0.0, "unit.top1": "fraction", "binary.top1": 1.0, **row}
        for n, row in enumerate(rows)
    ]  # fmt: skip
    return pd.DataFrame(full)


def at(model: str, dataset: str, top1: float, **more: Any) -> dict[str, Any]:
    return {"at.model": model, "at.dataset": dataset, "metric.top1": top1, **more}


def spec(**fields: Any) -> TableSpec:
    return TableSpec(**{"name": "t", **fields})


def values(table: Table) -> dict[tuple[str, ...], list[float | None]]:
    return {r.header: [None if e.value is None else round(e.value, 6) for e in r.entries] for r in table.rows}


def headers(table: Table) -> list[tuple[str, ...]]:
    return [c.header for c in table.columns]


GRID = frame(at("a", "x", 0.5), at("a", "y", 0.25), at("b", "x", 0.75), at("b", "y", 0.5))


def test_rows_and_columns_in_the_plans_order() -> None:
    table = build_table(spec(), GRID)
    assert headers(table) == [("x",), ("y",)]
    assert values(table) == {("a",): [0.5, 0.25], ("b",): [0.75, 0.5]}
    assert table.columns[0].percent
    assert [e.best for r in table.rows for e in r.entries] == [False, False, True, True]
    frame_ = table.to_frame()
    assert frame_.to_numpy().tolist() == [[0.5, 0.25], [0.75, 0.5]]


def test_several_values_and_metrics_in_rows() -> None:
    data = GRID.assign(**{"metric.ece": [0.1, 0.2, 0.3, 0.4], "cost.seconds": 1.0})
    table = build_table(spec(values=["top1", "ece", "seconds"], columns=["dataset"]), data)
    assert headers(table)[:3] == [("x", "top1"), ("x", "ece"), ("x", "seconds")]
    assert [c.higher_is_better for c in table.columns[:3]] == [True, False, False]
    assert [c.percent for c in table.columns[:3]] == [True, False, False]
    assert table.rows[0].entries[1].best
    rows = build_table(spec(values=["top1", "ece"], rows=["model", "metric"]), data)
    assert values(rows)["a", "ece"] == [0.1, 0.2]
    alone = build_table(spec(columns=[], rows=["model", "dataset"]), GRID)
    assert headers(alone) == [("top1",)]
    assert len(alone.rows) == 4


def test_seeds_are_averaged_with_their_spread() -> None:
    runs = [0.5, 0.6, 0.8]
    data = frame(*(at("a", "x", v, **{"at.seed": s}) for s, v in enumerate(runs)))
    entry = build_table(spec(intervals="seeds"), data).rows[0].entries[0]
    assert entry.value == pytest.approx(np.mean(runs))
    assert entry.spread == pytest.approx(np.std(runs, ddof=1))
    half = 4.302652729911275 * np.std(runs, ddof=1) / np.sqrt(3)  # Student's t with 2 degrees, 97.5 %
    assert entry.low == pytest.approx(np.mean(runs) - half)
    assert entry.high == pytest.approx(np.mean(runs) + half)
    assert (entry.count, entry.expected, len(entry.records)) == (3, 3, 3)


def test_several_data_sets_in_one_cell_are_averaged_within_seeds_first() -> None:
    data = frame(
        at("a", "x", 0.0, **{"at.seed": 0}),
        at("a", "y", 1.0, **{"at.seed": 0}),
        at("a", "x", 0.8, **{"at.seed": 1}),
    )
    entry = build_table(spec(columns=[]), data).rows[0].entries[0]
    assert entry.value == pytest.approx((0.5 + 0.8) / 2)
    assert entry.spread == pytest.approx(np.std([0.5, 0.8], ddof=1))


def test_what_is_not_ok_is_a_dash_with_a_footnote() -> None:
    data = frame(
        at("a", "x", 0.5), at("a", "y", NO, status="failed", reason="ValueError: no"),
        at("b", "x", NO, status="skipped", reason="weights missing"), at("b", "y", NO, status="missing"),
        at("c", "x", 0.2, **{"at.seed": 0}), at("c", "x", 0.9, status="diverged", reason="nan", **{"at.seed": 1}),
    )  # fmt: skip
    table = build_table(spec(), data)
    notes = {
        (r.header[0], c.header[0]): [table.footnotes[n] for n in e.notes]
        for r in table.rows
        for c, e in zip(table.columns, r.entries, strict=True)
    }
    assert values(table)["b",] == [None, None]
    assert notes["a", "y"] == ["failed: ValueError: no"]
    assert notes["b", "x"] == ["skipped: weights missing"]
    assert notes["b", "y"] == ["not run yet"]
    assert notes["c", "x"] == ["diverged: nan", "mean over the 1 of 2 records that are ok"]
    assert values(table)["c",][0] == 0.2
    assert len(set(table.footnotes)) == len(table.footnotes)


@pytest.mark.parametrize("delta", ["absolute", "relative"])
@pytest.mark.parametrize("given", ["a", "model=a", {"model": "a"}])
def test_a_baseline_row(delta: str, given: Any) -> None:
    table = build_table(spec(baseline=given, delta=delta), GRID)
    assert [c.kind for c in table.columns] == ["value", "delta"] * 2
    got = values(table)
    assert [got["a",][1], got["a",][3]] == [None, None]
    expected = [0.25, 0.25] if delta == "absolute" else [0.5, 1.0]
    assert [got["b",][1], got["b",][3]] == expected


def test_a_baseline_column() -> None:
    table = build_table(spec(baseline={"dataset": "x"}), GRID)
    assert headers(table) == [("x",), ("y",), ("y", "Δ")]
    assert values(table) == {("a",): [0.5, 0.25, -0.25], ("b",): [0.75, 0.5, -0.25]}


@pytest.mark.parametrize(("given", "kind"), [("c", "row"), ({"dataset": "c"}, "column")])
def test_a_baseline_that_is_not_there_is_a_footnote(given: Any, kind: str) -> None:
    table = build_table(spec(baseline=given), GRID)
    assert headers(table) == [("x",), ("y",)]
    assert any(n.startswith(f"no differences: no {kind} for the baseline 'c'") for n in table.footnotes)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"baseline": {"modle": "a"}},
            "baseline 'modle' is neither in rows nor in columns; did you mean 'model'",
        ),
        ({"baseline": {"a": 1, "b": 2}}, "baseline must name one coordinate"),
        ({"rows": ["modle"]}, "nothing to lay out by is called 'modle'; did you mean 'model'"),
        ({"values": ["top"]}, "no record has the value 'top'; did you mean 'top1'"),
        ({"sort": "z"}, "can't sort by 'z'; known: x, y"),
        ({"group": "famly"}, "nothing to lay out by is called 'famly'"),
    ],
)
def test_layouts_that_can_not_be_made(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(SuiteError, match=f"^table 't': {words}"):
        build_table(spec(**fields), GRID)


def test_ranking_counts_complete_columns_only() -> None:
    data = frame(
        at("a", "x", 0.5),
        at("a", "y", 0.9),
        at("a", "z", 0.1),
        at("b", "x", 0.6),
        at("b", "y", 0.2),
        at("c", "x", 0.6),
        at("c", "y", 0.1),
    )
    table = build_table(spec(ranking=True), data)
    got = {r.header[0]: [e.value for e in r.entries[3:]] for r in table.rows}
    assert [c.header for c in table.columns[3:]] == [("average rank",), ("win rate",), ("mean",)]
    # ranks by hand: x: a 3, b and c 1.5; y: a 1, b 2, c 3
    assert [got[m][0] for m in "abc"] == [2.0, 1.75, 2.25]
    assert got["a"][2] == pytest.approx(0.7)
    assert "2 of 3 columns" in table.caption


@pytest.mark.parametrize(("sort", "order"), [("x", "bac"), ("-x", "abc"), ("y", "abc")])
def test_sorting_puts_the_best_first_and_gaps_last(sort: str, order: str) -> None:
    data = frame(
        at("c", "x", NO, status="failed"),
        at("a", "x", 0.5),
        at("a", "y", 0.9),
        at("b", "x", 0.6),
        at("b", "y", 0.2),
        at("c", "y", 0.1),
    )
    assert "".join(r.header[0] for r in build_table(spec(sort=sort), data).rows) == order


def test_sorting_knows_that_lower_may_be_better() -> None:
    data = GRID.assign(**{"metric.ece": [0.4, 0.0, 0.1, 0.0]})
    assert [r.header for r in build_table(spec(values=["ece"], sort="x"), data).rows] == [("b",), ("a",)]


def test_average_ranks_are_tested_over_data_sets() -> None:
    from scipy.stats import friedmanchisquare, wilcoxon

    rng = np.random.default_rng(0)
    scores = rng.random((8, 3)) * 0.1 + np.array([0.1, 0.5, 0.52])
    rows = [at("abc"[m], f"d{d}", scores[d, m]) for d in range(8) for m in range(3)]
    table = build_table(spec(ranking=True, intervals="none"), frame(*rows))
    assert f"Friedman's test p = {friedmanchisquare(*scores.T).pvalue:.2g}" in table.caption
    rank = [c.metric for c in table.columns].index("average rank")
    marks = {r.header[0]: (r.entries[rank].best, r.entries[rank].tied) for r in table.rows}
    assert marks["a"] == (False, False)
    assert all(any(marks[m]) for m in "bc")
    two = build_table(spec(ranking=True, intervals="none"), frame(*[r for r in rows if r["at.model"] != "a"]))
    assert f"p = {wilcoxon(scores[:, 1], scores[:, 2]).pvalue:.2g}" in two.caption


def test_a_transposed_ranking_shows_each_number_as_its_column_did() -> None:
    from harness.leaderboard.formats import render

    text = render(build_table(spec(ranking=True, transpose=True, intervals="none"), GRID), "terminal")
    ranks = next(line.split() for line in text.splitlines() if line.startswith("average rank"))
    assert ranks[-2:] == ["2.00°", "1.00*"]
    wins = next(line.split() for line in text.splitlines() if line.startswith("win rate"))
    assert wins[-2:] == ["0.0", "100.0"]


def test_groups_stand_together_and_transposition_keeps_entries() -> None:
    data = frame(
        *(at(m, "x", 0.5, **{"tag.model.kind": k}) for m, k in (("a", "one"), ("b", "two"), ("c", "one")))
    )
    table = build_table(spec(group="model.kind"), data)
    assert [(r.header[0], r.group) for r in table.rows] == [("a", "one"), ("c", "one"), ("b", "two")]
    turned = build_table(spec(transpose=True), GRID)
    assert headers(turned) == [("a",), ("b",)]
    assert values(turned) == {("x",): [0.5, 0.75], ("y",): [0.25, 0.5]}


def test_where_selects() -> None:
    assert len(select_records(GRID, spec(where={"model": "a"}))) == 2
    assert len(select_records(GRID, spec(where={"model": ["a", "b*"], "dataset": "y"}))) == 2
    assert len(select_records(GRID, spec(where={"tag.nothing": 1}))) == 0
    with pytest.raises(SuiteError, match="'modl'; did you mean 'model'"):
        select_records(GRID, spec(where={"modl": "a"}))
    # a run of a part of the suite: what has the axis was not run, so that nobody's records have it
    assert len(select_records(GRID, spec(where={"model": "not run", "shots": 16}))) == 0
    assert len(select_records(GRID, spec(where={"shots": 16, "model": "not run"}))) == 0


def test_the_order_of_records_is_of_no_account() -> None:
    rng = np.random.default_rng(0)
    rows = [
        at(m, d, float(rng.integers(0, 100)) / 100, **{"at.seed": s})
        for m in "abc"
        for d in "xy"
        for s in range(3)
    ]
    data = frame(*rows)
    whole = build_table(spec(sort="x", intervals="seeds"), data)

    def facts(table: Table) -> dict[Any, Any]:
        def of(e: TableValue) -> tuple[Any, ...]:
            return (
                *(round(v, 12) for v in (e.value, e.low, e.high, e.spread) if v is not None),
                e.best,
                e.tied,
            )

        return {
            (r.header, c.header): of(e)
            for r in table.rows
            for c, e in zip(table.columns, r.entries, strict=True)
        }

    for seed in range(3):
        mixed = data.sample(frac=1, random_state=seed).reset_index(drop=True)
        assert facts(build_table(spec(sort="x", intervals="seeds"), mixed)) == facts(whole)


def test_what_is_noted_at_every_number_of_a_summary_is_said_once() -> None:
    from harness.leaderboard.entries import Column, Row

    table = Table("t", "t", ("model",), ("x",), [Column(("x",), "x"), Column(("y",), "y")], [])
    both, one = table.note("thresholds: a 1"), table.note("rests on 1 of 2")
    table.rows = [Row(("a",), [TableValue(1.0, notes=[both]), TableValue(2.0, notes=[both, one])])]
    table.say_once()
    assert table.footnotes == ["rests on 1 of 2", "all numbers: thresholds: a 1"]
    assert table.general == ["all numbers: thresholds: a 1"]
    assert [e.notes for e in table.rows[0].entries] == [[], [0]]


def test_metrics_in_rows_keep_their_own_unit_and_direction() -> None:
    data = GRID.assign(**{"metric.ece": [0.1, 0.2, 0.3, 0.4], "cost.seconds": [1.0, 2.0, 3.0, 4.0]})
    fields: dict[str, Any] = {"values": ["top1", "ece", "seconds"], "rows": ["metric", "model"]}
    fields["intervals"] = "none"
    table = build_table(spec(**fields, baseline={"model": "a"}), data)
    shown = re.sub(r" [(%)↑↓]+(?= )", "", table.render().replace("Time (s)", "seconds"))
    lines = {tuple(line.split()[:2]): line.split()[2:] for line in shown.splitlines()}
    assert lines["b", "top1"] == ["75.0*", "+25.0", "50.0*", "+25.0"]
    assert lines["a", "ece"] == ["0.100*", "0.200*"]
    assert lines["b", "ece"] == ["0.300", "+0.200", "0.400", "+0.200"]
    assert lines["b", "seconds"][0] == "3"
    assert {c.higher_is_better for c in table.columns if c.kind == "value"} == {None}
    turned = build_table(spec(**fields, transpose=True), data)
    best = {c.header for c, e in zip(turned.columns, turned.rows[0].entries, strict=True) if e.best}
    assert best == {("b", "top1"), ("a", "ece")}
    assert "30.0" not in turned.render()
    ranked = build_table(spec(**fields, ranking=True), data)
    assert [c.kind for c in ranked.columns] == ["value", "value"]
    assert ranked.footnotes == ["no ranks: the rows are different metrics"]


def test_a_mean_over_fewer_records_than_there_are_says_so() -> None:
    data = frame(*(at("a", "x", v, **{"at.seed": s}) for s, v in enumerate([0.5, NO, 0.8])), at("b", "x", NO))
    table = build_table(spec(), data)
    entry = table.rows[0].entries[0]
    assert [table.footnotes[n] for n in entry.notes] == ["mean over the 2 of 3 records that have a number"]
    assert table.rows[1].entries[0].notes == []


def test_numbers_near_the_largest_have_a_spread() -> None:
    data = frame(*(at("a", "x", v, **{"at.seed": s}) for s, v in enumerate([1e200, 3e200, 5e200])))
    entry = build_table(spec(), data).rows[0].entries[0]
    assert entry.value == pytest.approx(3e200)
    assert entry.spread == float("inf")


def test_numbers_of_a_summary_are_shown_by_their_own_unit() -> None:
    from harness.leaderboard.remark_finder import RemarkFinder
    from harness.leaderboard.summary_table import _lay_out

    long = pd.DataFrame(
        [
            ("a", "top1", 0.4113, "fraction"),
            ("a", "parameters", 126_802.0, "cost"),
            ("a", "on the front", 1.0, "count"),
            ("a", "loss", 1.23456, None),
        ],
        columns=["model", "metric", "value", "unit"],
    )
    asked = TableSpec(name="t", rows=["model"], columns=["metric"], decimals=3)
    table = Table("t", "t", ("model",), ("metric",), [], [])
    _lay_out(table, asked, long, False, None, RemarkFinder(pd.DataFrame({"status": []}), []))
    shown = table.render("markdown")
    assert [cell in shown for cell in (" 41.1 |", " 127 k |", " 1 |", " 1.235 |")] == [True] * 4


def test_a_transposed_table_names_every_layer_of_its_columns() -> None:
    data = GRID.assign(**{"metric.ece": [0.1, 0.2, 0.3, 0.4]})
    fields: dict[str, Any] = {"values": ["top1", "ece"], "transpose": True, "intervals": "none"}
    turned = build_table(spec(**fields, baseline="a", ranking=True), data)
    assert turned.row_names == ("dataset", "metric", "")
    assert {len(r.header) for r in turned.rows} == {3}
    assert [r.header for r in turned.rows][:2] == [("x", "top1", ""), ("x", "top1", "Δ a")]
    lines = turned.render("csv").splitlines()
    assert {line.count(",") for line in lines} == {2 + 2 * 4}
    alone = build_table(spec(**fields, columns=["metric"]), data)
    assert alone.row_names == ("metric",)
    assert [r.header for r in alone.rows] == [("top1",), ("ece",)]
    bare = build_table(spec(rows=[], columns=["model"], transpose=True), data)
    assert headers(bare) == [("",)]
    assert [r.header for r in bare.rows] == [("a",), ("b",)]


def test_ranks_over_columns_of_the_same_data_set_are_not_tested() -> None:
    rng = np.random.default_rng(0)
    rows = [
        at("abc"[m], f"d{d}", m / 4 + rng.random() / 9, **{"metric.ece": m / 4 + rng.random() / 9})
        for d in range(8)
        for m in range(3)
    ]
    fields: dict[str, Any] = {"ranking": True, "intervals": "none"}
    assert "Friedman" in build_table(spec(**fields), frame(*rows)).caption
    for more in ({"values": ["top1", "ece"]}, {"columns": ["metric"], "values": ["top1", "ece"]}):
        table = build_table(spec(**fields, **more), frame(*rows))
        assert table.caption.endswith("Ranks are not tested: several columns are of the same data set.")
        assert not any(e.tied for r in table.rows for e in r.entries)


def test_infinite_numbers_have_no_rank() -> None:
    infinite = float("inf")
    table = build_table(
        spec(ranking=True), frame(at("a", "x", infinite), at("b", "x", 0.5), at("c", "x", 0.1))
    )
    assert [e.value for e in table.rows[0].entries[1:]] == [None, None, None]
    assert "the 0 of 1 columns" in table.caption


def test_a_run_of_a_part_is_not_sorted_by_a_column_that_it_leaves_out(
    toys: SimpleNamespace, store: Store
) -> None:
    table = {"name": "t", "values": ["score"], "sort": "b"}
    datasets = [{"plugin": "toy", "name": name, "label": name} for name in "ab"]
    suite = {"name": "s", "protocol": "toy", "models": ["toy"], "datasets": datasets, "tables": [table]}
    (shown,) = harness.run(suite, store=store.path, datasets=["a"]).tables()
    assert [e.value is not None for e in shown.entries] == [True]
    assert "not sorted by 'b', which these records do not have" in shown.footnotes
    (shown,) = harness.run(suite, store=store.path).tables()
    assert not shown.footnotes
    with pytest.raises(harness.HarnessError, match="can't sort by 'c'"):
        harness.run({**suite, "tables": [{**table, "sort": "c"}]}, store=store.path)
