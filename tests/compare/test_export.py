"""Exports: long and wide, CSV and Parquet, with every number and every name."""

import csv
import io
import math

import numpy as np
import pandas as pd
import pytest

from harness.cli import main
from harness.exchange.exporting import long_frame, wide_frame


@pytest.fixture
def store(maker):
    made = maker("s")
    made.record("ViT", "d", np.ones(10), values={"ece": 0.1}, tags={"model.family": "vit"}, axes={"shots": 4})
    made.record("ViT", "e", values={"nll": float("inf"), "acc5": float("nan")}, seed=1)
    made.record("ViT", "f", status="failed", reason="it broke")
    return made.done()


def test_long_has_a_row_for_every_record_and_number(store):
    data = long_frame(store)
    rows = {(r.dataset, r.kind, r.name): r.value for r in data.itertuples(index=False)}
    assert rows[("d", "metric", "top1")] == 1.0
    assert rows[("d", "metric", "ece")] == 0.1
    assert rows[("d", "cost", "seconds")] == 1.5
    assert rows[("e", "metric", "nll")] == math.inf
    assert math.isnan(rows[("e", "metric", "acc5")])
    assert len(data) == sum(max(1, len(r.metrics) + len(r.cost)) for r in store.records())
    assert data["seed"].tolist() == [r.coordinates["seed"] for r in store.records() for _ in range(_rows(r))]
    assert str(data["seed"].dtype) == "Int64"
    top1 = data[data["name"] == "top1"].iloc[0]
    assert (top1["unit"], top1["tag.model.family"]) == ("fraction", "vit")
    assert bool(top1["higher_is_better"]) is True
    assert not data[data["name"] == "ece"].iloc[0]["higher_is_better"]


def _rows(record):
    return max(1, len(record.metrics) + len(record.cost))


def test_a_record_without_numbers_keeps_its_row(maker):
    made = maker("s")
    id = made.record("m", "d", status="skipped", reason="no data")
    record = made.store.read(id)
    record.cost = {}
    made.store.write(record)
    (row,) = long_frame(made.done()).to_dict("records")
    assert (row["status"], row["reason"], row["name"]) == ("skipped", "no data", None)


def test_wide_has_a_row_for_every_record(store):
    data = wide_frame(store).set_index("dataset")
    assert data.loc["d", "metric.top1"] == 1.0
    assert data.loc["d", "cost.seconds"] == 1.5
    assert pd.isna(data.loc["f", "metric.top1"])
    assert data.loc["f", "reason"] == "it broke"


@pytest.mark.parametrize("wide", [[], ["--wide"]])
def test_parquet_and_csv_tell_the_same(store, tmp_path, wide):
    for name in ("t.parquet", "t.csv"):
        assert main(["export", "--store", str(store.path), "--out", str(tmp_path / name), *wide]) == 0
    parquet, text = pd.read_parquet(tmp_path / "t.parquet"), pd.read_csv(tmp_path / "t.csv")
    assert list(parquet.columns) == list(text.columns)
    for column in ("metric.top1", "cost.seconds", "seed") if wide else ("value", "seed"):
        np.testing.assert_array_equal(
            parquet[column].to_numpy(dtype=float, na_value=np.nan), text[column].to_numpy(dtype=float)
        )


def test_no_name_becomes_a_formula(maker, nasty, capsys):
    made = maker("s")
    dangerous = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"]
    for name in [*nasty, *dangerous]:
        made.record(name, "d", values={name: 1.0}, axes={"=axis": "=2"})
    assert main(["export", "--store", str(made.done().path)]) == 0
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out, newline="")))
    cells = [cell for row in rows for cell in row]
    assert not [c for c in cells if c[:1] in ("=", "+", "-", "@", "\t", "\r")]
    models = {row[rows[0].index("model")] for row in rows[1:]}
    assert models == {*nasty, *(f"'{d}" for d in dangerous)} - {"=HYPERLINK(1)"} | {"'=HYPERLINK(1)"}
    assert set(long_frame(made.store)["model"]) == {*nasty, *dangerous}  # as it is outside of CSV


def test_a_coordinate_named_like_a_column_keeps_out_of_its_way(maker):
    made = maker("s")
    made.record("m", "d", np.ones(4), axes={"value": "x", "status": 3})
    data = long_frame(made.done())
    assert set(data["status"]) == {"ok"}
    assert set(data["at.value"]) == {"x"}
    assert set(data["at.status"]) == {3}


def test_wrong_use_is_one_line(store, tmp_path, capsys):
    assert main(["export", "--store", str(store.path), "--format", "parquet"]) == 2
    assert main(["export", "--store", str(tmp_path / "no")]) == 2
    assert main(["export", "--store", str(store.path), "--suite", "dmeo"]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 3
    assert "did you mean 'demo'?" in told[2]
