"""The index of a store: rebuilt when absent or damaged, refreshed when stale, never decisive."""

import math
import os
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.records import index
from harness.records.files import write_bytes
from harness.records.record import Record
from harness.records.store import Store


def record(n: int, **changes: Any) -> Record:
    return Record(
        **{
            "id": f"{n:020x}",
            "status": "ok",
            "suite": "s",
            "coordinates": {"model": f"m{n % 3}", "seed": n, "shots": None if n % 2 else n},
            "tags": {"model.size": [n, "x"]},
            "cell": {},
            "metrics": {"top1": n / 10, "odd": math.inf if n % 2 else math.nan},
            "directions": {"top1": True, "odd": False},
            "units": {"top1": "fraction"},
            "binary": ["top1"],
            "count": n,
            "cost": {"seconds": 1.5},
            **changes,
        }
    )


@pytest.fixture
def filled(store: Store) -> Store:
    for n in (3, 1, 2, 0):
        store.write(record(n))
    return store


def same(a: pd.DataFrame, b: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(a, b, check_like=True)


def test_the_frame_is_flat_typed_and_sorted(filled: Store) -> None:
    data = index.read_frame(filled)
    assert data["id"].tolist() == [f"{n:020x}" for n in range(4)]
    assert data["at.model"].tolist() == ["m0", "m1", "m2", "m0"]
    assert data["at.seed"].tolist() == [0, 1, 2, 3]
    assert data["at.shots"].tolist()[:2] == [0, None]
    assert data["tag.model.size"].tolist()[1] == [1, "x"]
    assert data["metric.top1"].tolist() == [0.0, 0.1, 0.2, 0.3]
    assert math.isnan(data["metric.odd"][0])
    assert data["metric.odd"][1] == math.inf
    assert data["better.odd"].tolist() == [0.0] * 4
    assert data["binary.top1"].tolist() == [1.0] * 4
    assert data["unit.top1"].tolist() == ["fraction"] * 4
    assert not [c for c in data if c.startswith("_")]


def test_a_deleted_index_gives_the_same_frame(filled: Store) -> None:
    before = index.read_frame(filled)
    (filled.path / "index.parquet").unlink()
    same(index.read_frame(filled), before)
    assert (filled.path / "index.parquet").is_file()


@pytest.mark.parametrize("damage", [b"", b"not parquet", b"PAR1" + b"\0" * 50 + b"PAR1"])
def test_a_damaged_index_is_made_again(filled: Store, damage: bytes) -> None:
    before = index.read_frame(filled)
    (filled.path / "index.parquet").write_bytes(damage)
    same(index.read_frame(filled), before)


def test_a_truncated_index_is_made_again(filled: Store) -> None:
    before = index.read_frame(filled)
    path = filled.path / "index.parquet"
    path.write_bytes(path.read_bytes()[:-20])
    same(index.read_frame(filled), before)


def test_a_parquet_file_of_something_else_is_no_index(filled: Store) -> None:
    before = index.read_frame(filled)
    pd.DataFrame({"id": ["x"]}).to_parquet(filled.path / "index.parquet")
    same(index.read_frame(filled), before)


def test_what_changed_is_read_anew_and_nothing_else(filled: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    index.read_frame(filled)
    filled.write(record(1, metrics={"top1": 0.9, "new": 1.0}))
    filled.write(record(7))
    filled.remove(f"{2:020x}")
    read: list[str] = []
    original = Store.read
    monkeypatch.setattr(Store, "read", lambda self, id: (read.append(id), original(self, id))[1])
    data = index.read_frame(filled)
    assert read == [f"{1:020x}", f"{7:020x}"]
    assert data["id"].tolist() == [f"{n:020x}" for n in (0, 1, 3, 7)]
    assert data["metric.top1"].tolist() == [0.0, 0.9, 0.3, 0.7]
    assert data["metric.new"].isna().tolist() == [True, False, True, True]
    read.clear()
    same(index.read_frame(filled), data)
    assert read == []


def test_a_rewrite_of_the_same_size_is_seen(filled: Store) -> None:
    index.read_frame(filled)
    path = filled.file("records", f"{3:020x}", ".json")
    write_bytes(path, path.read_bytes().replace(b"0.3", b"0.8"))
    assert index.read_frame(filled)["metric.top1"].tolist()[3] == 0.8


def test_a_record_under_another_name_is_not_counted(filled: Store) -> None:
    path = filled.file("records", f"{3:020x}", ".json")
    other = filled.file("records", "f" * 20, ".json")
    write_bytes(other, path.read_bytes())
    data = index.read_frame(filled)
    assert data["status"].to_list() == ["ok"] * 4 + ["damaged"]
    assert "f" * 20 not in filled.done()


def test_an_empty_store_has_an_empty_frame(store: Store) -> None:
    data = index.read_frame(store)
    assert len(data) == 0
    assert {"id", "status", "reason", "suite", "count"} <= set(data.columns)
    assert not store.path.exists()


def test_the_last_record_removed(filled: Store) -> None:
    index.read_frame(filled)
    for n in range(4):
        filled.remove(f"{n:020x}")
    assert len(index.read_frame(filled)) == 0


@pytest.mark.parametrize("errno_name", ["EACCES", "EROFS"])
def test_a_store_that_can_only_be_read_works(
    filled: Store, monkeypatch: pytest.MonkeyPatch, errno_name: str
) -> None:
    import errno

    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(getattr(errno, errno_name), os.strerror(getattr(errno, errno_name)))

    monkeypatch.setattr(index, "replacing", refuse)
    assert len(index.read_frame(filled)) == 4


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
)


@settings(max_examples=15, deadline=None)
@given(
    at=st.lists(st.dictionaries(st.sampled_from(["model", "a.b", "shots"]), SCALARS), min_size=1, max_size=4),
    numbers=st.lists(
        st.dictionaries(st.sampled_from(["m", "n/x", "é"]), st.floats()), min_size=4, max_size=4
    ),
)
def test_any_record_comes_back_through_the_index(
    tmp_path_factory: pytest.TempPathFactory, at: list[dict[str, Any]], numbers: list[dict[str, float]]
) -> None:
    store = Store(tmp_path_factory.mktemp("hypothesis"))
    for n, coordinates in enumerate(at):
        store.write(record(n, coordinates=coordinates, tags={}, metrics=numbers[n]))
    for _ in range(2):  # made, then read back
        data = index.read_frame(store)
        for n, coordinates in enumerate(at):
            assert all(data[f"at.{k}"][n] == v for k, v in coordinates.items() if v is not None)
            for name, value in numbers[n].items():
                assert repr(float(data[f"metric.{name}"][n])) == repr(value)
