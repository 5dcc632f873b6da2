"""The cache of derived values: it changes no table, and nothing stale is ever shown."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import harness
from harness.cli import main
from harness.discovery import registry
from harness.leaderboard.build import build_tables
from harness.leaderboard.entries import Column, Row, TableValue
from harness.leaderboard.formats import FORMATS, render
from harness.leaderboard.frame import suite_frame
from harness.leaderboard.stored import stored_tables
from harness.leaderboard.table import Table
from harness.leaderboard.table_json import decode_table, encode_table
from harness.planning.suite import load_planned
from harness.records import derived
from harness.records.derived import DerivedCache
from harness.records.files import write_bytes
from harness.records.record import Record
from harness.records.store import Store
from harness.reporting import collect
from harness.reporting.collect import SuiteView, collect_views

texts = st.text(max_size=6)
numbers = st.none() | st.floats(allow_nan=True, allow_infinity=True)
columns = st.builds(
    Column,
    st.lists(texts, min_size=1, max_size=2).map(tuple),
    texts,
    st.sampled_from(["value", "delta", "cost", "rank"]),
    st.booleans(),
    st.integers(0, 5),
    st.none() | st.booleans(),
)
entries = st.builds(
    TableValue,
    numbers,
    numbers,
    numbers,
    numbers,
    texts,
    st.integers(0, 9),
    st.integers(0, 9),
    st.booleans(),
    st.booleans(),
    st.lists(st.integers(0, 3), max_size=2),
    st.lists(texts, max_size=2),
    st.none() | columns,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(columns, max_size=2), st.data())
def test_tables_survive_json(heads: list[Column], data: Any) -> None:
    rows = [
        Row((data.draw(texts),), [data.draw(entries) for _ in heads], data.draw(texts))
        for _ in range(data.draw(st.integers(0, 3)))
    ]
    table = Table("t", "T", ("model",), ("dataset",), heads, rows, ["a", "b", "c", "d"], "C", 0.9)
    table.titles, table.name_titles = {"x": "X"}, {"model": "Model"}
    again = decode_table(orjson.loads(orjson.dumps(encode_table(table))))
    # NaN equals nothing: compared as text
    assert repr(again) == repr(table)


def record(n: int, value: float, **more: Any) -> Record:
    at = {"model": f"m{n // 2}", "dataset": f"d{n % 2}", "seed": 0}
    made = Record(f"{n:020x}", "ok", "s", at, {}, {}, metrics={"top1": value}, **more)
    made.units, made.directions = {"top1": "fraction"}, {"top1": True}
    return made


def write(store: Store, n: int, right: list[int]) -> None:
    ids = [f"x{i}" for i in range(len(right))]
    store.write(
        record(n, float(np.mean(right)), count=len(right)),
        samples={"id": ids, "top1": np.array(right, float), "half": np.array(right, float) / 2},
    )


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Four records of a suite with one table, and an empty cache."""
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(registry, "_local", {})
    # as if no code had been edited lately, these tests included
    monkeypatch.setattr(derived, "STARTED", time.time_ns() + 3600 * 10**9)
    made = Store(tmp_path / "store")
    rng = np.random.default_rng(0)
    cells = []
    for n in range(4):
        write(made, n, [int(v) for v in rng.uniform(size=40) < 0.4 + n / 8])
        cells.append({"id": f"{n:020x}", "at": record(n, 0.0).coordinates, "tags": {}})
    tables = [{"name": "t", "values": ["top1"]}]
    made.write_manifest({"name": "s", "metrics": ["top1"], "tables": tables}, cells)
    return made


def shown(store: Store, capsys: Any, *options: str) -> str:
    assert main(["table", "s", "--store", str(store.path), *options]) == 0
    return str(capsys.readouterr().out)


def built(store: Store) -> str:
    """The suite's tables without any cache."""
    tables = build_tables(load_planned(store, "s"), suite_frame(store, "s"), store)
    return "\n".join(render(t, "terminal") + "\n" for t in tables)


def count_made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    made: list[str] = []

    def counted(*given: Any) -> Any:
        made.append(given[0].name)
        return build_tables(*given)

    monkeypatch.setattr("harness.leaderboard.build.build_tables", counted)
    return made


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what a process looks up once."""
    derived._scan_root.cache_clear()
    derived._list_distributions.cache_clear()


def test_a_table_from_the_cache_equals_one_without(
    store: Store, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = count_made(monkeypatch)
    first = shown(store, capsys)
    assert first == built(store)
    assert made == ["s"]
    for format in FORMATS:
        fresh = build_tables(load_planned(store, "s"), suite_frame(store, "s"), store)
        if format != "json":
            assert shown(store, capsys, "--format", format).strip() == render(fresh[0], format).strip()
    assert made == ["s"]  # how it is written is no other table
    shown(store, capsys, "--level", "0.9")
    assert made == ["s", "s"]


def test_what_changes_a_table_is_noticed(store: Store, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = count_made(monkeypatch)
    before = shown(store, capsys)
    changes: list[Callable[[], object]] = [
        lambda: write(store, 3, [0] * 40),  # a record made again
        lambda: store.file("samples", f"{1:020x}", ".parquet").unlink(),  # ties can no longer be tested
        lambda: store.remove(f"{0:020x}"),
        lambda: store.write_manifest(
            {
                "name": "s",
                "metrics": ["top1"],
                "tables": [{"name": "t", "rows": ["dataset"], "columns": ["model"]}],
            },
            (store.manifest("s") or {})["cells"],
        ),
    ]
    for n, change in enumerate(changes):
        change()
        after = shown(store, capsys)
        assert after == built(store)
        assert after != before, n
        assert len(made) == n + 2
        assert shown(store, capsys) == after
        assert len(made) == n + 2
        before = after
    shutil.rmtree(Path(os.environ["HARNESS_CACHE"]))
    assert shown(store, capsys) == before
    assert len(made) == len(changes) + 2


@pytest.mark.parametrize("content", [b"", b"{}", b"[1]", b"\x00", b'{"state": 1, "code": 2, "value": 3}'])
def test_a_damaged_entry_counts_as_none(store: Store, capsys: Any, content: bytes) -> None:
    before = shown(store, capsys)
    (entry,) = Path(os.environ["HARNESS_CACHE"]).rglob("*.json")
    entry.write_bytes(content)
    assert shown(store, capsys) == before == built(store)


SUMMARY = '''
import pandas as pd

class Doubled:
    """Twice the number."""

    unit = None
    higher_is_better = True
    titles = {"twice": "Twice"}

    def __call__(self, records):
        made = records[["model", "dataset"]].copy()
        made["metric"], made["value"] = "twice", FACTOR * records["top1"]
        return made
'''


def test_changed_code_and_versions_of_plugins_are_noticed(
    store: Store, capsys: Any, install: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offer(factor: int, version: str) -> Path:
        text = SUMMARY.replace("FACTOR", str(factor))
        entry_points = {"harness.summaries": {"doubled": "doubling:Doubled"}}
        sys.modules.pop("doubling", None)
        site = install("doubling-package", entry_points, {"doubling": text}, version)
        forget(monkeypatch)
        return Path(site)

    plan = store.manifest("s") or {}
    table = {"name": "t", "summary": "doubled", "decimals": 3}
    store.write_manifest({"name": "s", "tables": [table]}, plan["cells"])
    value = (store.read(f"{0:020x}") or record(0, 0.0)).metrics["top1"]
    site = offer(2, "1.0")
    assert f"{2 * value:.3f}" in shown(store, capsys)
    assert "Twice ↑" in shown(store, capsys)
    file = site / "doubling.py"  # edited under development, without a new version
    file.write_text(SUMMARY.replace("FACTOR", "30"))
    sys.modules.pop("doubling")
    forget(monkeypatch)
    assert f"{30 * value:.3f}" in shown(store, capsys)
    shutil.rmtree(next(site.glob("*.dist-info")))
    offer(400, "2.0")
    assert f"{400 * value:.3f}" in shown(store, capsys)


def test_plugins_of_this_process_are_never_kept(
    store: Store, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = count_made(monkeypatch)
    harness.register("summaries", "mine", dict)
    for _ in range(2):
        assert shown(store, capsys) == built(store)
    assert made == ["s", "s"]


def test_a_warning_is_given_each_time(store: Store, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    made = count_made(monkeypatch)
    store.file("records", f"{2:020x}", ".json").write_text("{")
    for n in (1, 3):
        monkeypatch.setattr("harness.records.store._warned", Counter())
        shown(store, capsys)
        assert len(made) == n
        shown(store, capsys)  # in the same process, which has said it
        assert len(made) == n + 1


def test_a_cache_that_cant_be_written_changes_nothing(
    store: Store, capsys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "file"))
    assert shown(store, capsys) == built(store)


def test_old_entries_go(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(derived, "MOST_FILES", 3)
    kept = DerivedCache(store, ["s"], tmp_path / "kept")
    for n in range(6):
        assert kept.get("s", "number", n, partial(abs, n)) == n
    assert len(list((tmp_path / "kept").rglob("*.json"))) == 3
    assert kept.get("s", "number", 5, lambda: -1) == 5


def test_the_report_shows_the_same_from_the_cache(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    made = count_made(monkeypatch)
    (first,), (second,) = collect_views(store, None), collect_views(store, None)
    assert made == ["s"]
    assert repr(first.tables) == repr(second.tables)
    assert (first.plots, first.problems) == (second.plots, second.problems)
    assert render(second.tables[0], "terminal") + "\n" == built(store)


def shown_values(view: SuiteView) -> list[float | None]:
    return [entry.value for row in view.tables[0].rows for entry in row.entries]


def test_a_record_that_comes_while_tables_are_made_is_in_no_kept_plot(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = partial(write, store, 3, [1] * 40)

    def count_ok(view: SuiteView, store: Store) -> list[dict[str, str]]:
        text = str(int((view.data["status"] == "ok").sum()))
        return [{"name": "x", "title": "", "caption": "", "problem": "", "svg": text}]

    def make_late(view: SuiteView, store: Store) -> Any:
        tables = make_tables(view, store)
        made()
        return tables

    store.remove(f"{3:020x}")
    make_tables = collect._make_tables
    monkeypatch.setattr(collect, "_draw_plots", count_ok)
    monkeypatch.setattr(collect, "_make_tables", make_late)
    assert [p.svg for p in collect_views(store, None)[0].plots] == ["3"]
    monkeypatch.setattr(collect, "_make_tables", make_tables)
    (view,) = collect_views(store, None)
    assert [p.svg for p in view.plots] == ["4"]
    assert shown_values(view)[-1] == 1.0


def test_a_record_that_comes_after_the_frame_was_read_is_in_no_kept_table(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_early(store: Store, name: str) -> Any:
        data = suite_frame(store, name)
        write(store, 3, [1] * 40)
        return data

    store.remove(f"{3:020x}")
    monkeypatch.setattr("harness.leaderboard.frame.suite_frame", read_early)
    assert shown_values(collect.collect_tables(store, "s"))[-1] is None
    monkeypatch.setattr("harness.leaderboard.frame.suite_frame", suite_frame)
    assert shown_values(collect.collect_tables(store, "s"))[-1] == 1.0


@pytest.mark.parametrize("late", ["record", "plan"])
def test_what_changes_while_the_tables_of_another_suite_are_made_is_in_no_kept_one(
    store: Store, monkeypatch: pytest.MonkeyPatch, late: str
) -> None:
    plan = store.manifest("s") or {}
    store.write_manifest({**plan["suite"], "name": "a"}, plan["cells"][:1])
    changes = {"where": {"model": "*"}}  # of which the frames of all suites are read at first

    def build_late(suite: Any, *more: Any) -> Any:
        if suite.name == "a" and late == "record":
            write(store, 3, [1] * 40)
        elif suite.name == "a":
            store.write_manifest(plan["suite"], plan["cells"][:2])
        return build_tables(suite, *more)

    monkeypatch.setattr("harness.leaderboard.build.build_tables", build_late)
    before = stored_tables(store, None, changes)[1].to_dict()
    monkeypatch.setattr("harness.leaderboard.build.build_tables", build_tables)
    after = stored_tables(store, None, changes)[1].to_dict()
    assert after != before
    shutil.rmtree(Path(os.environ["HARNESS_CACHE"]))
    assert after == stored_tables(store, None, changes)[1].to_dict()


def test_a_record_replaced_within_one_tick_of_the_clock_is_noticed(
    store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = store.file("records", f"{3:020x}", ".json")
    old = file.stat()
    kept = DerivedCache(store, ["s"], tmp_path / "kept")

    def replace() -> int:
        write_bytes(file, file.read_bytes())
        os.utime(file, ns=(old.st_atime_ns, old.st_mtime_ns))
        return 1

    assert kept.get("s", "number", None, replace) == 1
    assert file.stat().st_size == old.st_size
    assert not DerivedCache(store, ["s"], tmp_path / "kept").has("s", "number", None)


def test_edited_code_of_a_namespace_package_is_noticed(
    store: Store, capsys: Any, install: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = store.manifest("s") or {}
    table = {"name": "t", "summary": "doubled", "decimals": 3}
    store.write_manifest({"name": "s", "tables": [table]}, plan["cells"])
    entry_points = {"harness.summaries": {"doubled": "bare_space.doubling:Doubled"}}
    folder = Path(install("bare-package", entry_points, {})) / "bare_space"
    folder.mkdir()
    value = (store.read(f"{0:020x}") or record(0, 0.0)).metrics["top1"]
    for factor in ("2", "30"):
        (folder / "doubling.py").write_text(SUMMARY.replace("FACTOR", factor))
        shutil.rmtree(folder / "__pycache__", ignore_errors=True)
        for name in ("bare_space", "bare_space.doubling"):
            sys.modules.pop(name, None)
        forget(monkeypatch)
        assert f"{int(factor) * value:.3f}" in shown(store, capsys)
        assert str(folder) in derived._developed_roots()


def test_removers_do_not_disturb_each_other(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(derived, "MOST_FILES", 1)
    folder = tmp_path / "kept"
    kept = DerivedCache(store, ["s"], folder)
    scan = derived._scan

    def scan_slowly(place: Path | str) -> Any:
        found = scan(place)
        for entry in found:
            if entry.name.endswith(".json") and str(folder) in entry.path:
                Path(entry.path).unlink()  # by another process
        return found

    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    kept.get("s", "number", 0, lambda: 0)
    with monkeypatch.context() as patched:
        patched.setattr(derived, "_scan", scan_slowly)
        assert kept.get("s", "number", 1, lambda: 1) == 1
    for n in range(2, 5):
        kept.get("s", "number", n, partial(abs, n))
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", refuse)
        derived._remove_oldest(folder)
