"""Ties and intervals of leaderboards, from per-sample files in a store."""

from typing import Any

import numpy as np
import pytest

from harness.leaderboard.build import build_table
from harness.leaderboard.entries import TableValue
from harness.leaderboard.table import Table
from harness.planning.suite import TableSpec
from harness.records.index import read_frame
from harness.records.record import Record
from harness.records.store import Store

N = 400
RNG = np.random.default_rng(0)
BASE = (RNG.random(N) < 0.7).astype(np.float32)


def flipped(count: int, seed: int = 1) -> Any:
    """The base with so many of its right answers made wrong."""
    out = BASE.copy()
    out[np.random.default_rng(seed).choice(np.flatnonzero(BASE), count, replace=False)] = 0
    return out


def add(store: Store, model: str, right: Any, seed: int = 0, ids: list[str] | None = None) -> None:
    number = len(store.listing())
    record = Record(
        f"{number:020x}", "ok", "s", {"model": model, "dataset": "d", "seed": seed}, {}, {},
        metrics={"top1": float(right.mean())}, directions={"top1": True}, units={"top1": "fraction"},
        binary=["top1"], count=len(right),
    )  # fmt: skip
    store.write(record, {"id": ids or [f"s{n}" for n in range(len(right))], "top1": right})


def table(store: Store, **fields: Any) -> Table:
    return build_table(TableSpec(name="t", **fields), read_frame(store), store)


def entries(made: Table) -> dict[str, TableValue]:
    return {r.header[0]: r.entries[0] for r in made.rows}


def marks(store: Store, **fields: Any) -> dict[str, str]:
    return {
        m: "best" if e.best else "tied" if e.tied else "" for m, e in entries(table(store, **fields)).items()
    }


def test_near_is_tied_and_far_is_not(store: Store) -> None:
    add(store, "top", BASE)
    add(store, "near", flipped(2))
    add(store, "far", flipped(80))
    assert marks(store) == {"top": "best", "near": "tied", "far": ""}


def test_identical_models_are_all_best(store: Store) -> None:
    for name in ("a", "b"):
        add(store, name, BASE)
    add(store, "c", flipped(90))
    assert marks(store) == {"a": "best", "b": "best", "c": ""}


def test_the_order_in_which_samples_were_written_is_of_no_account(store: Store) -> None:
    order = RNG.permutation(N)
    add(store, "top", BASE)
    add(store, "near", flipped(2)[order], ids=[f"s{n}" for n in order])
    assert marks(store)["near"] == "tied"


def test_seeds_are_paired(store: Store) -> None:
    for seed in range(3):
        add(store, "top", flipped(seed, seed), seed)
        add(store, "far", flipped(80 + seed, seed), seed)
    assert marks(store) == {"top": "best", "far": ""}


def test_other_samples_can_not_be_paired_and_a_footnote_says_so(store: Store) -> None:
    add(store, "top", BASE)
    add(store, "other", flipped(2), ids=[f"other{n}" for n in range(N)])
    made = table(store)
    entry = entries(made)["other"]
    assert not entry.tied
    assert ["not compared with the best" in made.footnotes[n] for n in entry.notes] == [True]


def test_a_model_without_samples_leaves_the_others_tested(store: Store) -> None:
    add(store, "top", BASE)
    add(store, "near", flipped(2))
    add(store, "bare", flipped(3))
    store.file("samples", f"{2:020x}", ".parquet").unlink()
    made = table(store)
    assert entries(made)["near"].tied
    assert not entries(made)["bare"].tied
    assert any("not compared with the best" in made.footnotes[n] for n in entries(made)["bare"].notes)


def test_a_proportion_has_wilsons_interval(store: Store) -> None:
    from statsmodels.stats.proportion import proportion_confint

    add(store, "top", BASE)
    entry = entries(table(store))["top"]
    low, high = proportion_confint(int(BASE.sum()), N, method="wilson")
    assert (entry.low, entry.high) == (pytest.approx(low), pytest.approx(high))
    assert entries(table(store, intervals="none"))["top"].low is None


def test_another_model_never_changes_an_interval(store: Store) -> None:
    for seed in range(3):
        add(store, "a", flipped(seed, seed), seed)
    add(store, "b", flipped(5))
    before = {m: (e.low, e.value, e.high) for m, e in entries(table(store)).items()}
    for n in range(4):
        add(store, f"new{n}", flipped(10 * n, n))
    after = {m: (e.low, e.value, e.high) for m, e in entries(table(store)).items()}
    assert {m: after[m] for m in before} == before
    assert all(low < value < high for low, value, high in after.values())


def test_a_record_made_again_in_the_same_process_is_read_again(store: Store) -> None:
    add(store, "top", BASE)
    add(store, "other", flipped(80))
    assert marks(store)["other"] == ""
    record = store.read(f"{1:020x}")
    assert record is not None
    record.metrics = {"top1": float(flipped(1).mean())}
    store.write(record, {"id": [f"s{n}" for n in range(N)], "top1": flipped(1)})
    assert marks(store)["other"] == "tied"


def test_what_is_as_good_as_the_best_but_for_rounding_is_marked(store: Store) -> None:
    # 20 and 22 of 400 are on average 21 and 21, but as fractions not to the last digit
    right = [np.repeat([1.0, 0.0], [n, N - n]) for n in (21, 21, 20, 22)]
    for model, seed, hits in zip("aabb", (0, 1, 0, 1), right, strict=True):
        add(store, model, hits, seed)
    made = entries(table(store))
    assert made["a"].value != made["b"].value, "these numbers do not differ in rounding: the test is void"
    assert sorted(marks(store).values()) == ["best", "tied"]


def test_a_best_that_can_not_be_paired_is_said(store: Store) -> None:
    add(store, "top", BASE)
    add(store, "near", flipped(2))
    store.file("samples", f"{0:020x}", ".parquet").unlink()
    made = table(store)
    assert {m: (e.best, e.tied, e.notes) for m, e in entries(made).items()} == {
        "top": (True, False, []),
        "near": (False, False, []),
    }
    assert "Ties are not tested: one seed, and no values by sample are known." in made.caption


def test_a_proportion_of_an_unknown_number_of_samples_is_judged_by_its_samples(store: Store) -> None:
    add(store, "top", BASE)
    whole = entries(table(store))["top"]
    record = store.read(f"{0:020x}")
    assert record is not None
    record.count = None
    store.write(record, {"id": [f"s{n}" for n in range(N)], "top1": BASE})
    entry = entries(table(store))["top"]
    assert (entry.low, entry.high) == (pytest.approx(whole.low), pytest.approx(whole.high))


def test_values_by_sample_of_another_statistic_make_no_interval(store: Store) -> None:
    add(store, "top", BASE)
    record = store.read(f"{0:020x}")
    assert record is not None
    record.binary, record.metrics = [], {"top1": float(BASE.mean()) ** 0.5}
    store.write(record, {"id": [f"s{n}" for n in range(N)], "top1": BASE})
    assert entries(table(store))["top"].low is None


@pytest.mark.parametrize("values", [["right"] * N, [[1.0, 0.0]] * N, [None, *BASE[1:]]])
def test_values_by_sample_that_are_no_numbers_leave_the_table(store: Store, values: Any) -> None:
    add(store, "top", BASE)
    add(store, "near", flipped(2))
    record = store.read(f"{1:020x}")
    assert record is not None
    record.binary = []
    store.write(record, {"id": [f"s{n}" for n in range(N)], "top1": values})
    made = table(store)
    near = entries(made)["near"]
    assert (near.low, near.tied) == (None, False)
    assert "not compared with the best" in made.footnotes[near.notes[0]]
