"""Headers that people read, intervals or why there are none, and the layout of a suite without tables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from harness import Predictions
from harness.contract.declared import ask
from harness.discovery import registry
from harness.discovery.parts import Resolver
from harness.discovery.reference import parse_references
from harness.leaderboard.build import build_table, build_tables
from harness.leaderboard.entries import Column
from harness.leaderboard.formats import render
from harness.leaderboard.titles import describe_number, title_coordinate, title_number
from harness.planning.suite import TableSpec, load_suite_file, parse_suite
from harness.records.record import Record
from harness.records.store import Store
from harness.statistics import bootstrap_interval
from harness.testing.grids import smallest_options
from harness_metrics.calibration import Ece, RmsCalibrationError
from harness_metrics.classification import MeanPerClass
from harness_metrics.f_scores import MacroF1, MacroPrecision, MacroRecall, WeightedF1

TITLES = {"top1": "Top-1 accuracy", "shots": "Shots", "cut": "50% & more_"}


def frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    base = {"status": "ok", "reason": None, "count": 100.0, "remarks": (), "failures": ()}
    base |= {
        "better.top1": 1.0,
        "unit.top1": "fraction",
        "binary.top1": 1.0,
        "better.nll": 0.0,
        "unit.nll": "nats",
    }
    data = pd.DataFrame(
        [
            {"id": f"{n:020x}", "at.model": "a", "at.dataset": "d", "at.seed": 0, **base, **row}
            for n, row in enumerate(rows)
        ]
    )
    data.attrs = {"titles": dict(TITLES)}
    return data


def test_headers_have_title_unit_and_direction() -> None:
    percent, plain = Column((), "top1", percent=True), Column((), "nll", higher_is_better=False)
    assert describe_number("top1", percent, "fraction", TITLES) == "Top-1 accuracy (%) ↑"
    assert describe_number("top1", Column((), "top1"), "fraction", TITLES) == "Top-1 accuracy ↑"
    assert describe_number("nll", plain, "nats", {}) == "nll (nats) ↓"
    cost = Column((), "seconds", "cost", higher_is_better=False)
    assert describe_number("seconds", cost, None, {}) == "Time (s) ↓"
    assert describe_number("mine", Column((), "mine", higher_is_better=None), None, {}) == "mine"
    assert title_number("top1.base", TITLES) == "Top-1 accuracy, base"
    assert title_coordinate("tag.dataset.true_size", {}) == "True size"
    assert title_coordinate("dataset", {}) == "Data set"


def test_formats_show_titles_and_data_formats_keep_keys() -> None:
    data = frame([{"at.shots": s, "metric.top1": 0.5, "metric.nll": 1.0} for s in (1, 2)])
    data = data.rename(columns={"at.shots": "at.cut"})
    table = build_table(TableSpec(name="t", rows=["model", "cut"], values=["top1", "nll"]), data)
    assert "Top-1 accuracy (%) ↑" in render(table, "terminal").replace("\n", " ") or "Top-1 accuracy" in str(
        table
    )
    markdown, latex = render(table, "markdown"), render(table, "latex")
    assert "| Model | 50% &amp; more\\_ | d / Top-1 accuracy (%) ↑ | d / nll (nats) ↓ |" in re.sub(
        " +", " ", markdown
    )
    assert r"Top-1 accuracy (\%) $\uparrow$" in latex
    assert r"50\% \& more\_" in latex
    assert '<th scope="col" rowspan="2">50% &amp; more_</th>' in render(table, "html")
    assert render(table, "csv").startswith("model,cut,d / top1,")
    assert '"top1": "Top-1 accuracy (%) ↑"' in render(table, "json")
    alone = build_table(TableSpec(name="t", rows=["model", "cut"], values=["top1"]), data)
    assert alone.caption.startswith("Numbers: Top-1 accuracy (%) ↑.")
    assert "↑" not in render(alone.transposed(), "terminal").splitlines()[2]
    turned = build_table(
        TableSpec(
            name="t", rows=["model"], columns=["dataset", "cut"], values=["top1", "nll"], transpose=True
        ),
        data,
    )
    assert "Top-1 accuracy (%) ↑" in render(turned, "markdown")


def test_first_party_metrics_and_axes_have_titles() -> None:
    for plugin in registry.installed("metrics"):
        if plugin.distribution == "vision-harness":
            given = {"plugin": plugin.name, "options": smallest_options(registry.load(plugin))}
            part = Resolver().resolve("metrics", parse_references(given, "here")[0], "here")
            stated = ask(part.object, "title")
            assert stated, plugin.name
            for text in [stated] if isinstance(stated, str) else stated.values():
                assert text[:1] == text[:1].upper(), plugin.name
                assert "_" not in text, plugin.name


def test_why_a_number_has_no_interval() -> None:
    one = frame([{"metric.nll": 1.0}])
    caption = build_table(TableSpec(name="t", values=["nll"]), one).caption
    assert caption == "Numbers: nll (nats) ↓. No intervals: one seed, and no values by sample are kept."
    none = build_table(TableSpec(name="t", values=["nll"], intervals="none"), one).caption
    assert none.endswith('No intervals: the table leaves them out (intervals = "none").')
    two = frame(
        [
            {"metric.nll": v, "metric.top1": 0.5, "at.seed": s, "cost.seconds": 1.0 + s, "binary.top1": 0.0}
            for s, v in enumerate([1.0, 2.0])
        ]
    )
    table = build_table(TableSpec(name="t", values=["nll", "top1", "seconds"]), two)
    nll, top1, seconds = table.rows[0].entries
    # Student's t of two values: 1.5 ± 12.706 · 0.7071 / √2
    for entry in (nll, seconds):
        assert entry.low == pytest.approx(1.5 - 6.3531, abs=1e-3)
        assert entry.high == pytest.approx(1.5 + 6.3531, abs=1e-3)
    assert top1.low is None
    assert "No interval for Top-1 accuracy: what they rest on is all equal." in table.caption
    twice = frame([{"metric.nll": 1.0, "at.dataset": d} for d in "de"])
    mixed = build_table(TableSpec(name="t", columns=[], values=["nll"]), twice)
    assert "means over several records of one seed" in mixed.caption
    assert "numbers are means over 2 data sets" in mixed.footnotes


def test_metrics_are_computed_again_from_kept_samples(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(300, 5))
    targets = np.where(rng.uniform(size=300) < 0.5, logits.argmax(1), rng.integers(5, size=300))
    shown = Predictions(logits, targets, [f"x{n}" for n in range(300)])
    samples = {"target": targets, "prediction": shown.predicted, "confidence": shown.confidence}
    for metric in (
        Ece(),
        Ece(norm="max"),
        RmsCalibrationError(),
        MeanPerClass(),
        MacroF1(),
        MacroPrecision(),
        MacroRecall(),
        WeightedF1(),
    ):
        assert metric.from_samples(samples) == pytest.approx(metric(shown), abs=1e-12)
    store = Store(tmp_path)
    record = Record(
        f"{0:020x}",
        "ok",
        "s",
        {"model": "a", "dataset": "d", "seed": 0},
        {},
        {},
        metrics={"ece": Ece()(shown)},
        count=300,
    )
    store.write(record, samples={"id": list(shown.ids), **samples})
    data = frame([{"metric.ece": record.metrics["ece"], "better.ece": 0.0}])
    suite = parse_suite({"name": "s", "metrics": ["ece"], "tables": [{"name": "t", "values": ["ece"]}]})
    (table,) = build_tables(suite, data, store)
    entry = table.rows[0].entries[0]
    drawn = [
        Ece().from_samples({k: v[rows] for k, v in samples.items()})
        for rows in rng.integers(300, size=(2000, 300))
    ]
    low, high = 2 * record.metrics["ece"] - np.quantile(drawn, [0.975, 0.025])
    assert entry.low == pytest.approx(max(low, 0), abs=0.01)
    assert entry.high == pytest.approx(high, abs=0.01)
    # another number than the samples give belongs to another statistic
    other = build_tables(suite, data.assign(**{"metric.ece": 0.9}), store)[0]
    assert other.rows[0].entries[0].low is None


def test_a_basic_bootstrap_mirrors_the_percentiles() -> None:
    x = np.random.default_rng(1).exponential(size=80)
    percentile = bootstrap_interval(x, np.mean, method="percentile")
    basic = bootstrap_interval(x, np.mean, method="basic")
    assert percentile is not None
    assert basic is not None
    assert basic.low == pytest.approx(2 * x.mean() - percentile.high)
    assert basic.high == pytest.approx(2 * x.mean() - percentile.low)


def test_a_suite_without_tables_shows_all_that_varies() -> None:
    rows = [
        {"at.method": m, "at.shots": s, "at.experiment": "e", "metric.top1": 0.1 * s, "at.seed": seed}
        for m in ("x", "y")
        for s in (1, 4)
        for seed in (0, 1)
    ]
    (table,) = build_tables(parse_suite({"name": "s"}), frame(rows))
    assert table.row_names == ("model", "method", "shots")
    assert [r.header for r in table.rows] == [("a", m, s) for m in "xy" for s in ("1", "4")]
    assert not table.footnotes
    narrowed = build_table(TableSpec(name="t", values=["top1"]), frame(rows))
    assert narrowed.footnotes == ["numbers are means over method (x, y) and shots (1, 4)"]
    (without,) = build_tables(parse_suite({"name": "s"}), frame([{**r, "at.model": ""} for r in rows]))
    assert without.row_names == ("method", "shots")


@pytest.mark.parametrize("name", ["robustness", "prompts", "peft", "gan", "fusion", "training"])
def test_the_axes_of_first_party_suites_are_words(name: str) -> None:
    suite = load_suite_file(name)
    axes = {axis for grid in suite.grids for axis in grid.axes}
    assert all(re.fullmatch("[A-Z][a-z ]+", title_coordinate(axis, {})) for axis in axes)
