"""The shipped suites of retrieval: all tables of the embedded one, on a part of its data."""

from __future__ import annotations

import pytest

import harness
from harness.planning.suite import load_suite_file


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("retrieval")
    records = harness.run(
        "retrieval", store=folder / "store", cache=folder / "cache", device="cpu", limit=60
    ).records
    assert {r.status for r in records} == {"ok"}
    return harness.Store(folder / "store")


def test_every_table_is_full(store):
    tables = {t.name: t for t in harness.table("retrieval", store=store.path)}
    assert set(tables) == {t.name for t in load_suite_file("retrieval").tables}
    for name, table in tables.items():
        empty = [e for row in table.rows for e in row.entries if e.value is None]
        assert not empty, name
    assert len(tables["hubs"].rows) == 2 * 4
    assert len(tables["films"].rows) == 2 * 3


def test_training_and_remedies_show(store):
    frame = harness.load("retrieval", store=store.path)
    scenes = frame[(frame["dataset"] == "scenes") & (frame["direction"] == "image to text")]
    plain = scenes[scenes["method"] == ""].set_index("model")
    assert plain.loc["CLIP", "R@5"] > 2 * plain.loc["untrained", "R@5"]
    assert (plain["R@1"] <= plain["R@5"]).all()
    assert (plain["recall@10"] < plain["R@10"]).all()  # of five captions one is enough for the latter
    by_method = scenes[scenes["model"] == "CLIP"].set_index("method")["hubness-skew"]
    assert by_method["dual softmax"] < by_method[""]
    assert by_method["query bank"] < by_method[""]
