"""The store: whole files, refused ids, what lies beside a record."""

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.errors import StoreError
from harness.records.record import Record
from harness.records.store import Store

ID = "0123456789abcdef0123"


def record(id: str = ID, status: str = "ok", **changes: Any) -> Record:
    return Record(
        **{
            "id": id,
            "status": status,
            "suite": "s",
            "coordinates": {"model": "m"},
            "tags": {},
            "cell": {},
            **changes,
        }
    )


def test_a_record_with_all_that_belongs_to_it(store: Store) -> None:
    samples = {"id": ["a", "b"], "score": np.array([1, 0], np.float32), "label": np.array([3, 4])}
    curves = {"loss": {"step": [0, 1, 2], "value": [1.0, float("nan"), 0.5]}, "other": {"x": [1]}}
    images = {"grid": np.zeros((2, 3, 3), np.uint8), "../../evil/<name>": np.ones((2, 2), np.uint8)}
    store.write(record(metrics={"m": 0.5}), samples, curves, images)
    read = store.read(ID)
    assert read is not None
    assert (read.metrics, read.files) == ({"m": 0.5}, ["samples", "curves", "images"])
    assert store.samples(ID)["score"].tolist() == [1.0, 0.0]
    assert store.samples(ID)["label"].dtype == np.int64
    table = store.curves(ID)
    loss = table[(table.curve == "loss") & (table.column == "value")].sort_values("position")["value"]
    np.testing.assert_array_equal(loss, [1.0, np.nan, 0.5])
    assert [p.name for p in store.images(ID)] == ["evil-name.png", "grid.png"]
    assert all(p.is_relative_to(store.path) for p in store.images(ID))
    assert not list(store.path.rglob(".partial-*"))
    assert store.size() == sum(p.stat().st_size for p in store.path.rglob("*") if p.is_file())


def test_writing_a_record_again_replaces_it(store: Store) -> None:
    again = record()
    store.write(again, {"id": ["a"]})
    store.write(again, {"id": ["b"]})
    read = store.read(ID)
    assert read is not None
    assert read.files == ["samples"]
    assert store.samples(ID)["id"].tolist() == ["b"]


def test_what_is_not_there_is_none(store: Store) -> None:
    assert store.read(ID) is None
    assert store.samples(ID) is None
    assert store.curves(ID) is None
    assert store.images(ID) == []
    assert store.listing() == {}
    assert store.done() == set()
    assert list(store.records()) == []
    assert store.size() == 0


@pytest.mark.parametrize(
    "id",
    [
        "../../etc/passwd",
        "",
        "abc",
        "a" * 65,
        "ABCDEF0123",
        "0123456789/../../x",
        "01234567\n",
        "..",
        "é" * 20,
    ],
)
def test_ids_that_could_leave_the_store_are_refused(store: Store, id: str) -> None:
    for act in (
        store.read,
        store.samples,
        store.curves,
        store.images,
        store.remove,
        lambda i: store.write(record(i)),
    ):
        with pytest.raises(StoreError, match="is not a record id"):
            act(id)
    assert not store.path.exists()


def test_only_ok_records_are_done(store: Store) -> None:
    for n, status in enumerate(("ok", "failed", "skipped", "diverged", "oom")):
        store.write(record(f"{n:020x}", status))
    assert store.done() == {f"{0:020x}"}
    assert [r.status for r in store.records()] == ["ok", "failed", "skipped", "diverged", "oom"]


def test_removing_takes_everything(store: Store) -> None:
    store.write(record(), {"id": ["a"]}, {"c": {"x": [1]}}, {"i": np.zeros((2, 2, 3), np.uint8)})
    store.remove(ID)
    assert [p for p in store.path.rglob("*") if p.is_file()] == []


def test_a_damaged_record_is_named_and_counts_as_none(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    store.write(record())
    path = store.file("records", ID, ".json")
    path.write_bytes(path.read_bytes()[:40])
    assert store.read(ID) is None
    assert store.done() == set()
    assert list(store.records()) == []
    (line,) = caplog.messages  # once, however often it is met
    assert f"{path}: not a record" in line
    assert "run its suite again" in line
    with pytest.raises(StoreError, match="not a record"):
        store.open_record(ID)


def test_files_that_are_no_records_are_left_alone(store: Store) -> None:
    store.write(record())
    folder = store.file("records", ID, ".json").parent
    (folder / "notes.json").write_text("{}")
    (folder / ".partial-abc.json").write_text("{")
    (folder / "README.md").write_text("x")
    assert set(store.listing()) == {ID}
    assert store.done() == {ID}


def test_a_file_where_the_store_should_be(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(StoreError, match="x: not a folder, so no store"):
        Store(tmp_path / "x")


def test_manifests(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    cells = [{"id": ID, "at": {"model": "m", "seed": 0}, "tags": {}}]
    store.write_manifest({"name": "mine", "title": "<&é"}, cells)
    assert store.manifest("mine") == {"suite": {"name": "mine", "title": "<&é"}, "cells": cells}
    assert store.suites() == ["mine"]
    assert store.manifest("other") is None
    assert store.manifest("../suites/mine") is None
    (store.path / "suites" / "mine.json").write_text("{")
    assert store.manifest("mine") is None
    assert "mine.json: not a plan" in caplog.text
    with pytest.raises(StoreError, match=r"mine.json"):
        store.open_manifest("mine")


def test_leftovers_of_killed_writers_go(store: Store) -> None:
    store.write(record())
    leftover = store.file("records", ID, ".json").parent / ".partial-x.json"
    leftover.write_text("{")
    os.utime(leftover, (time.time() - 7200,) * 2)
    store.clear_partial()
    assert not leftover.exists()
    assert store.read(ID) is not None


@pytest.mark.parametrize("name", ["../evil", "a/b", "", ".hidden", "x\n"])
def test_names_of_suites_that_could_leave_the_store_are_refused(store: Store, name: str) -> None:
    with pytest.raises(StoreError, match="is not a suite's name"):
        store.write_manifest({"name": name}, [])
    assert not list(store.path.parent.rglob("*.json"))


def test_a_store_below_a_file_is_empty(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert Store(tmp_path / "file" / "store").listing() == {}


def test_a_plan_with_a_seed_beyond_64_bits_is_written(store: Store) -> None:
    cells = [{"id": "a" * 20, "at": {"seed": 10**30}, "tags": {}}]
    store.write_manifest({"name": "mine", "seeds": [10**30]}, cells)
    found = store.manifest("mine")
    assert found is not None
    assert found["cells"][0]["at"] == {"seed": str(10**30)}
