"""Merging stores: nothing lost, nothing that is ok overwritten, contradictions named."""

import json
import shutil

import numpy as np
import pytest

from harness.cli import main
from harness.errors import StoreError
from harness.exchange.merging import merge
from harness.leaderboard.frame import suite_frame
from harness.records.files import TEMPORARY_PREFIX
from harness.records.store import Store


def test_two_machines_merge_into_one_table(maker):
    a, b, into = maker("a"), maker("b"), maker("into").store
    first = a.record("m", "x", np.ones(10), images={"grid": np.zeros((2, 2, 3), np.uint8)})
    second = b.record("m", "y", np.zeros(10), curves={"loss": {"step": [0, 1], "value": [2.0, 1.0]}})
    outcome = merge(into, [a.done(), b.done()])
    assert (outcome.copied, outcome.conflicts, outcome.unreadable) == (2, [], [])
    assert into.read(first) == a.store.read(first)
    assert into.samples(first).equals(a.store.samples(first))
    assert into.curves(second).equals(b.store.curves(second))
    assert [p.name for p in into.images(first)] == ["grid.png"]
    data = suite_frame(into, "demo")
    assert dict(zip(data["at.dataset"], data["metric.top1"], strict=True)) == {"x": 1.0, "y": 0.0}
    assert not list(into.path.rglob(f"{TEMPORARY_PREFIX}*"))


def test_merging_again_changes_nothing(maker):
    a, into = maker("a"), maker("into").store
    a.record("m", "x", np.ones(10))
    merge(into, [a.done()])
    before = {p: p.read_bytes() for p in into.path.rglob("*") if p.is_file()}
    outcome = merge(into, [a.store])
    assert (outcome.copied, outcome.same) == (0, 1)
    assert {p: p.read_bytes() for p in into.path.rglob("*") if p.is_file()} == before


def test_equal_numbers_from_another_machine_are_the_same_record(maker):
    a, b = maker("a"), maker("b")
    id = a.record("m", "x", np.ones(10), device="H200")
    b.record("m", "x", np.ones(10), device="A100", torch="2.5.1")
    outcome = merge(a.done(), [b.done()])
    assert (outcome.same, outcome.conflicts) == (1, [])
    assert a.store.read(id).provenance["device"]["name"] == "H200"


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ({"right": [1, 1, 1, 0]}, "top1 0.5 and 0.75"),
        ({"right": [1, 1, 0, 0, 1, 0]}, "4 samples and 6"),
        ({"right": [1, 0, 1, 0]}, "prediction of sample"),
        ({"right": [1, 1, 0, 0], "values": {"ece": 0.1}}, "only one has ece"),
        ({"right": [1, 1, 0, 0], "ids": list("abcd")}, "their samples are not the same"),
    ],
)
def test_a_record_made_twice_with_different_numbers_is_named_and_kept(maker, capsys, other, what):
    a, b = maker("a"), maker("b")
    id = a.record("m", "x", [1, 1, 0, 0])
    b.record("m", "x", **other)
    b.record("m", "y", [1, 1])
    files = [m.done().file("records", id, ".json") for m in (a, b)]
    before = [f.read_bytes() for f in files]
    kept = a.store.read(id)
    assert main(["merge", str(a.store.path), str(b.store.path)]) == 1
    told = capsys.readouterr().err
    assert f"{files[0]} and {files[1]}" in told
    assert what in told
    assert files[1].read_bytes() == before[1]
    now = a.store.read(id)
    (said,) = now.remarks
    assert said.startswith("the store 'b' has other numbers for it (")
    assert what in said
    now.notes = kept.notes
    assert now == kept
    assert len(a.store.samples(id)) == 4
    once = files[0].read_bytes()
    assert main(["merge", str(a.store.path), str(b.store.path)]) == 1
    assert files[0].read_bytes() == once
    capsys.readouterr()
    for format in ("terminal", "markdown", "csv", "json", "latex", "html"):
        assert main(["table", "demo", "--store", str(a.store.path), "--format", format]) == 0
        assert "other numbers for it" in capsys.readouterr().out
    assert len(a.store.listing()) == 2  # the rest is merged all the same


def test_tolerance_lets_rounding_pass(maker):
    a, b = maker("a"), maker("b")
    a.record("m", "x", values={"nll": 0.5})
    b.record("m", "x", values={"nll": 0.5 * (1 + 1e-9)})
    assert len(merge(a.done(), [b.done()]).conflicts) == 1
    assert merge(a.store, [b.store], tolerance=1e-6).conflicts == []


def test_nan_is_equal_to_nan(maker):
    a, b = maker("a"), maker("b")
    for made in (a, b):
        made.record("m", "x", values={"acc5": float("nan")})
    assert merge(a.done(), [b.done()]).same == 1


def test_ok_wins_over_failed_in_either_direction(maker):
    good, bad = maker("good"), maker("bad")
    id = good.record("m", "x", np.ones(10))
    bad.record("m", "x", status="failed", reason="no memory")
    good.done(), bad.done()
    shutil.copytree(bad.store.path, bad.store.path.parent / "copy")
    assert merge(bad.store, [good.store]).replaced == 1
    assert bad.store.read(id).status == "ok"
    assert len(bad.store.samples(id)) == 10
    assert merge(good.store, [Store(bad.store.path.parent / "copy")]).same == 1
    assert good.store.read(id).status == "ok"


def test_manifests_are_united_by_coordinates(maker):
    a, b = maker("a"), maker("b")
    a.record("m", "x", np.ones(10), version="1")
    a.record("m", "z", status="failed", version="1")
    b.record("m", "x", np.zeros(10), version="2")
    newer = b.record("m", "z", np.ones(10), version="2")
    b.record("m", "y", np.ones(10))
    outcome = merge(a.done(), [b.done()])
    cells = {c["at"]["dataset"]: c["id"] for c in a.store.manifest("demo")["cells"]}
    assert list(cells) == ["x", "z", "y"]
    assert cells["x"] == a.cells[0]["id"]  # the plan here stands
    assert cells["z"] == newer  # unless only the other has a result
    assert "2 cells have other versions" in outcome.notes[0]
    (said,) = a.store.read(cells["x"]).remarks
    assert said == (
        "another version of this cell has other numbers (top1 1.0 and 0.0); model: plugin version: 1 here, 2 there; "
        "the one planned first is shown"
    )
    assert a.store.read(newer).remarks == []


def test_a_damaged_record_keeps_no_other_back(maker, capsys):
    a, b = maker("a"), maker("b")
    id = b.record("m", "x", np.ones(10))
    b.record("m", "y", np.ones(10))
    b.done().file("records", id, ".json").write_bytes(b'{"half":')
    assert main(["merge", str(a.store.path), str(b.store.path), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["copied"] == 1
    assert f"{id}.json: not a record" in told["unreadable"][0]


def test_a_record_under_another_name_is_refused(maker):
    a, b = maker("a"), maker("b")
    id = b.record("m", "x", np.ones(10))
    file = b.done().file("records", id, ".json")
    other = b.store.file("records", "0" * 20, ".json")
    other.parent.mkdir(exist_ok=True)
    shutil.copy(file, other)
    outcome = merge(a.store, [b.store])
    assert "holds the record of another id" in outcome.unreadable[0]
    assert list(a.store.listing()) == [id]


def test_sources_must_be_other_stores(maker, tmp_path):
    a = maker("a")
    a.record("m", "x", np.ones(10))
    with pytest.raises(StoreError, match="no such store"):
        merge(a.store, [Store(tmp_path / "no")])
    with pytest.raises(StoreError, match="into itself"):
        merge(a.store, [Store(tmp_path / "." / "a")])


def test_labels_that_are_lists_or_missing_are_compared(maker):
    def filled(made, last):
        ids = []
        for model, target in (("many", [[1, 0], [0, last]]), ("gap", [1, None])):
            ids.append(made.record(model, "x", values={"map": 0.5}))
            samples = {"id": ["a", "b"], "target": target, "map": [0.5, 0.5], "seconds": [last, last]}
            made.store.write(made.store.read(ids[-1]), samples)
        return ids, made.done()

    ids, into = filled(maker("a"), 1)
    outcome = merge(into, [filled(maker("b"), 0)[1]])
    assert [(c.id, c.what) for c in outcome.conflicts] == [
        (ids[0], "target of sample 'b': [0, 1] and [0, 0]")
    ]
    assert outcome.same == 1


@pytest.mark.parametrize("plan", ["{}", "[]", '{"suite": {"name": "demo"}, "cells": null}'])
def test_a_damaged_plan_keeps_no_record_back(maker, capsys, plan):
    a, b = maker("a"), maker("b")
    a.record("m", "x", np.ones(10))
    b.record("m", "y", np.ones(10))
    path = b.done().path / "suites" / "demo.json"
    path.write_text(plan)
    assert main(["merge", str(a.done().path), str(b.store.path)]) == 1
    assert f"{path}: not a plan" in capsys.readouterr().err
    assert len(a.store.listing()) == 2


def test_a_place_where_nothing_can_be_written_is_one_line(maker, tmp_path, capsys):
    b = maker("b")
    b.record("m", "y", np.ones(10))
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "samples").write_text("")
    assert main(["merge", str(tmp_path / "a"), str(b.done().path)]) == 2
    assert "can't be merged" in capsys.readouterr().err


def test_parts_of_one_name_that_are_not_the_same_are_told(maker):
    a, b, c = maker("a"), maker("b"), maker("c")
    a.record("m", "x", np.ones(10), fingerprint="one")
    b.record("n", "x", np.ones(10), fingerprint="two")
    c.record("o", "x", np.ones(10), fingerprint="one")
    into = a.done()
    merge(into, [c.done()])
    assert not any(into.read(id).remarks for id in into.listing())  # the same data: nothing to tell
    merge(into, [b.done()])
    said = {r.coordinates["model"]: list(r.remarks) for r in map(into.read, into.listing())}
    told = "x: not the same as in other records of this suite (data fingerprint: dataset-two here, dataset-one there)"
    assert said == {"m": [], "o": [], "n": [told]}
    merge(into, [b.store])
    assert list(into.read(b.cells[0]["id"]).remarks) == [told]
