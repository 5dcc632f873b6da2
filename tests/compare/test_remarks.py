"""What was assumed or left out stands in every answer: tables, comparisons, exports, JSON and frames."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

import harness
from harness.cli import main

LEFT_OUT = "x: 9 of 17 files are no images, .DS_Store"
ASSUMED = "b: the order of its classes is assumed"


@pytest.fixture
def store(maker):
    made = maker("store")
    for model in "ab":
        for dataset in "xy":
            remarks = [LEFT_OUT] * (dataset == "x") + [ASSUMED] * (model == "b")
            tags = {"dataset.reference": "x"} if dataset == "y" else {}
            made.record(model, dataset, np.ones(10), remarks=remarks, tags=tags)
    summary = {"name": "gap", "rows": ["model"], "columns": ["dataset"], "summary": "gap"}
    plain = {"name": "top1", "rows": ["model"], "columns": ["dataset"], "values": ["top1"]}
    return made.done(tables=[plain, summary])


@pytest.mark.parametrize("format", ["terminal", "markdown", "csv", "json", "latex", "html"])
@pytest.mark.parametrize("table", ["top1", "gap"])
def test_every_format_of_every_table_has_the_remarks(store, capsys, format, table):
    assert main(["table", "demo", "--store", str(store.path), "--table", table, "--format", format]) == 0
    text = capsys.readouterr().out.replace("\\", "")
    for said in (LEFT_OUT, ASSUMED):
        assert said.replace("_", "\\_") in text or said in text


def test_remarks_stand_at_the_numbers_that_they_concern(store):
    plain, gap = harness.table("demo", store=store.path)
    notes = {
        (r.header[0], c.header[0]): {plain.footnotes[n] for n in e.notes}
        for r in plain.rows
        for c, e in zip(plain.columns, r.entries, strict=True)
    }
    assert notes["a", "x"] == {LEFT_OUT}
    assert notes["b", "x"] == {LEFT_OUT, ASSUMED}
    assert notes["a", "y"] == set()
    # a gap rests on the reference too, so that what is said of `x` is said of all numbers there
    assert gap.general == [f"all numbers: {LEFT_OUT}"]
    assert {r.header[0]: [gap.footnotes[n] for n in r.entries[0].notes] for r in gap.rows} == {
        "a": [],
        "b": [ASSUMED],
    }


def test_comparisons_show_remarks_and_on_which_side(store, maker, capsys):
    other = maker("other")
    for model in "ab":
        for dataset in "xy":
            other.record(model, dataset, np.ones(10), remarks=[LEFT_OUT])
    a, b = str(store.path), str(other.done().path)
    for format in ("terminal", "markdown"):
        assert main(["compare", a, b, "--format", format]) == 0
        text = capsys.readouterr().out.replace("\\", "")
        assert f"note: {LEFT_OUT} (2 of 4 in A, 4 of 4 in B)" in text
        assert f"note: {ASSUMED} (2 of 4 in A)" in text
    assert main(["compare", a, b, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["remarks"] == [
        {"text": LEFT_OUT, "a": 2, "b": 4, "of": 4},
        {"text": ASSUMED, "a": 2, "b": 0, "of": 4},
    ]


@pytest.mark.parametrize("wide", [[], ["--wide"]])
def test_exports_and_frames_have_a_column(store, capsys, wide):
    assert main(["export", "--store", str(store.path), *wide]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    said = {(r["model"], r["dataset"]): r["remarks"] for r in rows}
    assert said["b", "x"] == f"{LEFT_OUT}; {ASSUMED}"
    assert said["a", "y"] == ""
    frame = harness.load("demo", store=store.path).set_index(["model", "dataset"])
    assert frame.loc[("b", "x"), "remarks"] == f"{LEFT_OUT}; {ASSUMED}"


def test_the_report_shows_them_with_the_record(store, tmp_path, capsys):
    page = tmp_path / "report.html"
    assert main(["report", "--store", str(store.path), "--out", str(page)]) == 0
    text = page.read_text()
    assert text.count(f"<li>{LEFT_OUT}</li>") == 1
    index = json.loads(text.partition('id="data-index">')[2].partition("</script>")[0])
    texts, codes = index["remarks"]
    assert texts[codes[2]].split("\n") == [LEFT_OUT, ASSUMED]


def test_a_plot_that_fails_is_told(store, tmp_path, capsys):
    manifest = store.manifest("demo")
    manifest["suite"]["plots"] = [{"name": "p", "kind": "image-grid"}]
    store.write_manifest(manifest["suite"], manifest["cells"])
    page = tmp_path / "report.html"
    assert main(["report", "--store", str(store.path), "--out", str(page)]) == 0
    said = "plot 'p' of demo: no record keeps images"
    assert said in capsys.readouterr().err
    assert "no record keeps images" in page.read_text()
    out = ["report", "--store", str(store.path), "--out", str(page), "--plots", str(tmp_path), "--json"]
    assert main(out) == 0
    answer = capsys.readouterr().out
    assert [p[: len(said)] for p in json.loads(answer)["problems"]] == [said]


def test_ties_of_ranks_are_marked_in_the_report(maker, tmp_path):
    from harness.reporting import write_report

    made = maker("ranks")
    for model in "ab":
        for n, dataset in enumerate("uvwxyz"):
            made.record(
                model, dataset, values={"top1": 0.5 + n / 20 + (model == "b") * (0.001 if n < 2 else -0.001)}
            )
    table = {"name": "t", "rows": ["model"], "columns": ["dataset"], "values": ["top1"], "ranking": True}
    page = write_report(made.done(tables=[table]), None, tmp_path / "r.html").read_text()
    (ranks,) = harness.table("demo", store=made.store.path)
    tied = [
        e.tied for r in ranks.rows for c, e in zip(ranks.columns, r.entries, strict=True) if c.kind == "rank"
    ]
    assert any(tied)
    assert page.count('<td class="tied"') >= sum(tied)
    assert '<span class="number">' in page.partition('<td class="tied"')[2].partition("</td>")[0]
    assert "td.tied .number" in page
