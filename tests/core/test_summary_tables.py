"""Tables of summaries: order, choice, and where remarks stand."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.discovery import registry
from harness.errors import SuiteError
from harness.leaderboard.summary_table import build_summary_table
from harness.planning.suite import TableSpec
from harness.statistics import t_interval


class Means:
    """The mean and the largest of each model and data set, and the mean over data sets."""

    unit = "fraction"
    higher_is_better = True

    def __call__(self, records: pd.DataFrame) -> pd.DataFrame:
        rows: list[dict[str, Any]] = []
        for (model, dataset), part in records.groupby(["model", "dataset"], sort=False):
            at = {"model": model, "dataset": dataset}
            rows.append({**at, "metric": "mean", "value": part["top1"].mean()})
            rows.append({**at, "metric": "most", "value": part["top1"].max()})
        for model, part in records.groupby("model", sort=False):
            rows.append({"model": model, "dataset": "all", "metric": "mean", "value": part["top1"].mean()})
        return pd.DataFrame(rows, columns=["model", "dataset", "metric", "value"])


@pytest.fixture(autouse=True)
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_local", dict(registry._local))
    registry.register("summaries", "means", Means)


def records(
    said: dict[tuple[str, str], list[str]] | None = None, models: str = "abc", datasets: str = "xy"
) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "id": m + d,
            "status": "ok",
            "at.model": m,
            "at.dataset": d,
            "at.seed": 0,
            "metric.top1": (7 * n + 3 * k) % 10 / 10,
            "remarks": tuple((said or {}).get((m, d), ())),
        }
        for n, m in enumerate(models)
        for k, d in enumerate(datasets)
    )


def spec(**fields: Any) -> TableSpec:
    return TableSpec.model_validate({"name": "t", "summary": "means", **fields})


BY_METRIC = {"rows": ["model", "dataset"], "columns": ["metric"]}


def test_values_stand_in_the_order_asked_for() -> None:
    for values in (["most", "mean"], ["mean", "most"]):
        table = build_summary_table(spec(**BY_METRIC, values=values), records())
        assert [c.header for c in table.columns] == [(v,) for v in values]
        deep = build_summary_table(spec(columns=["dataset", "metric"], values=values), records())
        assert [c.header for c in deep.columns] == [(d, v) for d in "xy" for v in values] + [("all", "mean")]
        rows = build_summary_table(
            spec(rows=["metric", "model"], columns=["dataset"], values=values), records()
        )
        assert list(dict.fromkeys(r.header[0] for r in rows.rows)) == values
    globbed = build_summary_table(spec(**BY_METRIC, values=["m?st"]), records())
    assert [c.header for c in globbed.columns] == [("most",)]


def test_sort_is_honoured() -> None:
    def order(sort: str | None) -> list[str]:
        table = build_summary_table(spec(columns=["dataset", "metric"], sort=sort), records())
        return [r.header[0] for r in table.rows]

    assert order(None) == ["a", "b", "c"]
    assert order("x/mean") == ["b", "c", "a"]
    assert order("-x/mean") == ["a", "c", "b"]
    for wrong, words in (("x/men", "'x/men'; did you mean 'x/mean'"), ("zz", "can't sort by 'zz'")):
        with pytest.raises(SuiteError, match=words):
            order(wrong)


def test_an_unknown_value_is_told() -> None:
    with pytest.raises(SuiteError, match="gives no value 'mots'; did you mean 'most'"):
        build_summary_table(spec(**BY_METRIC, values=["mean", "mots"]), records())
    with pytest.raises(SuiteError, match="gives no value 'zzz'; known: mean, most"):
        build_summary_table(spec(**BY_METRIC, values=["zzz"]), records())
    # one that other records may have is no typo
    table = build_summary_table(spec(**BY_METRIC, values=["mean", "collapsed rate"]), records())
    assert table.footnotes == ["no value 'collapsed rate' in these records"]


def test_several_numbers_on_one_place_are_told() -> None:
    table = build_summary_table(spec(columns=["dataset"]), records())
    said = "the last of several numbers that fall on this place: lay out by metric too"
    assert table.footnotes == [said]
    noted = {
        (r.header[0], c.header[0]): bool(e.notes)
        for r in table.rows
        for c, e in zip(table.columns, r.entries, strict=True)
    }
    assert notes_of(noted) == {("x", True), ("y", True), ("all", False)}


def notes_of(noted: dict[tuple[str, str], bool]) -> set[tuple[str, bool]]:
    return {(dataset, told) for (_, dataset), told in noted.items()}


@settings(max_examples=80, deadline=None)
@given(
    st.dictionaries(
        st.tuples(st.sampled_from("abc"), st.sampled_from("xy")),
        st.lists(st.sampled_from(["p: left out", "q: assumed", "r: cut"]), max_size=2, unique=True),
    )
)
def test_a_number_has_the_remarks_of_the_records_that_it_rests_on(
    said: dict[tuple[str, str], list[str]],
) -> None:
    registry.register("summaries", "means", Means)
    table = build_summary_table(spec(columns=["dataset", "metric"]), records(said))
    everywhere = {text.removeprefix("all numbers: ") for text in table.general}
    for row in table.rows:
        for column, entry in zip(table.columns, row.entries, strict=True):
            if entry.value is None:
                continue
            behind = "xy" if column.header[0] == "all" else column.header[0]
            expected = {t for d in behind for t in said.get((row.header[0], d), ())}
            assert {table.footnotes[n] for n in entry.notes} | everywhere == expected | everywhere
            assert expected >= everywhere


def test_a_remark_that_no_number_can_be_found_for_stands_below() -> None:
    table = build_summary_table(
        spec(columns=["metric"], rows=["dataset"]), records({("a", "x"): ["a: cut"]}, datasets="x")
    )
    assert "a: cut" in " ".join(table.footnotes)


class Gaps:
    """A difference that is the same in each seed but for its last digit, as rounding leaves it."""

    def __call__(self, records: pd.DataFrame) -> pd.DataFrame:
        found = t_interval([0.9 - 0.8, 0.8 - 0.7, 0.7 - 0.6])
        assert found is not None
        assert found.low < found.high
        row = {"model": "a", "dataset": "x", "metric": "gap", "value": 0.1, "low": found.low}
        return pd.DataFrame([{**row, "high": found.high, "count": 3}])


def test_equal_differences_over_seeds_have_no_interval() -> None:
    registry.register("summaries", "gaps", Gaps)
    table = build_summary_table(TableSpec(name="t", summary="gaps"), records())
    assert table.rows[0].entries[0].low is None
    assert "±" not in table.render()
