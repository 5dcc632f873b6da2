"""One bad thing stops nothing else: broken records and plans, metrics that raise, a disk that is full."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import harness
from harness.cli import main
from harness.contract.evidence import Predictions
from harness.contract.running import Job, Result
from harness.exchange.merging import merge
from harness.inference.evaluate import classification_result
from harness.inference.features import FeatureCache
from harness.records.record import Record
from harness.records.store import Store

CELLS = {"name": "s", "protocol": "toy", "models": ["toy"], "datasets": ["toy:a", "toy:b"]}


def run(store: Store, **more: Any) -> Any:
    return harness.run({**CELLS, **more}, store=store.path, device="cpu")


def files(store: Store) -> list[Path]:
    return sorted((store.path / "records").rglob("[!.]*.json"))


@pytest.mark.parametrize(
    "damage",
    [
        b"", b"{", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"id": 1, "status": "ok", "coordinates": {}}',
        b'{"schema": "x", "id": "a", "status": "ok", "coordinates": {}}', b"[" * 5000, b"\0" * 700,
    ],
)  # fmt: skip
def test_a_broken_record_runs_again_and_the_others_stand(
    toys: SimpleNamespace, store: Store, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    first = {r.id: r.metrics for r in run(store).records}
    file = files(store)[0]
    file.write_bytes(damage)
    assert harness.plan(CELLS, store=store.path).counts() == {"run": 1, "done": 1}
    (shown,) = harness.table("s", store=store.path)
    assert "damaged: its record can't be read: run the cell again" in " ".join(shown.footnotes)
    assert len([e for row in shown.rows for e in row.entries if e.value is not None]) == 1
    assert [m for m in caplog.messages if str(file) in m and "run its suite again" in m]
    assert len(caplog.messages) == len(set(caplog.messages))
    again = run(store)
    assert {r.id: r.metrics for r in again.records} == {file.stem: first[file.stem]}
    assert harness.plan(CELLS, store=store.path).counts() == {"done": 2}


def test_a_record_of_the_future_is_left_alone(
    toys: SimpleNamespace, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    run(store)
    file = files(store)[0]
    file.write_bytes(orjson.dumps({**orjson.loads(file.read_bytes()), "schema": 99}))
    content = file.read_bytes()
    assert run(store).records == []
    assert run(store, models=[{"plugin": "toy", "mode": "away"}]).plan.counts() == {"skipped": 2}
    (shown,) = harness.table("s", store=store.path)
    run(store)
    (shown,) = harness.table("s", store=store.path)
    assert "newer: its record was written by a newer harness" in " ".join(shown.footnotes)
    assert file.read_bytes() == content
    assert "upgrade vision-harness" in caplog.text


def test_every_command_goes_on(
    toys: SimpleNamespace, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(store)
    files(store)[0].write_bytes(b"")
    sample = sorted((store.path / "samples").rglob("*.parquet"))[1]
    sample.write_bytes(sample.read_bytes()[:100])
    place = str(store.path)
    for command in (
        ["table", "--store", place],
        ["report", "--store", place, "--out", str(tmp_path / "page.html")],
        ["export", "--store", place],
        ["compare", place, place],
        ["merge", str(tmp_path / "other"), place],
    ):
        (tmp_path / "other").mkdir(exist_ok=True)
        status = main(command)
        assert status in (0, 1), command
        assert (status == 1) == (command[0] == "merge")  # which says that a record was not brought over
    other = Store(tmp_path / "other")
    assert len(files(other)) == 1
    assert merge(store, [other]).copied == 0
    whole = Store(tmp_path / "whole")
    run(whole)
    assert merge(store, [whole]).replaced == 1  # a sound record takes the place of a broken one
    assert len(store.done()) == 2


def test_a_broken_plan_is_made_again(toys: SimpleNamespace, store: Store) -> None:
    run(store)
    plan = store.path / "suites" / "s.json"
    for damage in (
        "",
        "{",
        "[]",
        '{"suite": {"name": "s"}, "cells": [3]}',
        '{"suite": {}, "cells": [{"id": "x"}]}',
    ):
        plan.write_text(damage)
        assert store.manifest("s") is None
        assert main(["table", "s", "--store", str(store.path)]) == 0
        assert main(["report", "--store", str(store.path), "--out", str(store.path / "p.html")]) == 0
        run(store)
        assert len(store.manifest("s")["cells"]) == 2  # type: ignore[index]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


FIELDS = (
    "status", "coordinates", "tags", "cell", "directions", "units", "binary", "count", "cost", "notes", "files",
    "failures", "reason", "traceback", "provenance", "schema",
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=st.sampled_from(FIELDS), value=JSON, share=st.just(1.0) | st.floats(0, 1))
def test_whatever_a_record_holds_the_table_has_its_number_or_none(
    toys: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory, key: str, value: Any, share: float
) -> None:
    store = Store(tmp_path_factory.mktemp("store"))
    numbers = {r.id: r.metrics["score"] for r in run(store).records}
    file = files(store)[0]
    content = {**orjson.loads(file.read_bytes()), key: value}
    text = json.dumps(content).encode()
    file.write_bytes(text[: round(share * len(text))])
    (shown,) = harness.table("s", store=store.path)
    entries = [e for row in shown.rows for e in row.entries]
    assert {e.records[0] for e in entries} == set(numbers)
    for entry in entries:
        assert entry.value == numbers[entry.records[0]] or (entry.value is None and entry.notes)
    harness.load("s", store=store.path)
    assert sum(harness.plan(CELLS, store=store.path).counts().values()) == 2


# ---------------------------------------------------------------- metrics


class Half:
    """Half of what is right; its values by sample may be missing or too few."""

    higher_is_better = True
    unit = "fraction"

    def __init__(self, samples: str = "good") -> None:
        self.samples = samples

    def __call__(self, evidence: Predictions) -> float:
        return float(np.mean(evidence.predicted == evidence.targets)) / 2

    def per_sample(self, evidence: Predictions) -> Any:
        if self.samples == "raises":
            raise ValueError("no values")
        right = (evidence.predicted == evidence.targets) / 2
        return right[:-1] if self.samples == "short" else right


class Bad:
    """Raises as long as the file is there."""

    higher_is_better = True

    def __init__(self, file: str, gives: str = "raises") -> None:
        # a text: the content of a Path's file would decide which cell it is
        self.file, self.gives = Path(file), gives

    def __call__(self, evidence: Predictions) -> Any:
        if not self.file.exists():
            return 7.0
        if self.gives == "raises":
            raise KeyError("deliberate")
        return {"none": None, "text": "0.5", "array": np.zeros(2)}[self.gives]


class Predicting:
    """Four predictions, three of them right."""

    axes = ()
    runs = 0

    def run(self, job: Job) -> Result:
        type(self).runs += 1
        logits = np.eye(2)[[0, 1, 0, 1]]
        return classification_result(job, Predictions(logits, np.array([0, 1, 0, 0]), list("abcd")))


def measuring(store: Store, *metrics: Any) -> Any:
    for name, kind in (("half", Half), ("bad", Bad)):
        harness.register("metrics", name, kind)
    harness.register("protocols", "predicting", Predicting)
    suite = {**CELLS, "datasets": ["toy:a"], "protocol": "predicting", "metrics": list(metrics)}
    suite["tables"] = [{"name": "t", "values": ["half", "bad"]}]
    return suite, harness.run(suite, store=store.path, device="cpu")


@pytest.mark.parametrize("gives", ["raises", "none", "text", "array"])
def test_a_metric_that_fails_leaves_the_others_their_numbers(
    toys: SimpleNamespace, store: Store, tmp_path: Path, gives: str
) -> None:
    (file := tmp_path / "bad").touch()
    suite, outcome = measuring(store, "half", {"plugin": "bad", "file": str(file), "gives": gives})
    (record,) = outcome.records
    assert record.status == "ok"
    assert record.metrics == {"half": 0.375}
    assert record.failures["bad"].startswith("metric 'bad' failed: ")
    assert outcome.failed == [record]
    assert (record.traceback or "").count("Traceback") >= 1
    for shown in (outcome.tables()[0], harness.table("s", store=store.path)[0]):
        half, bad = shown.rows[0].entries
        assert (half.value, half.notes) == (0.375, [])
        assert bad.value is None
        assert shown.footnotes == [record.failures["bad"]]
    assert harness.plan(suite, store=store.path).counts() == {"run": 1}
    file.unlink()  # it is mended
    _, outcome = measuring(store, "half", {"plugin": "bad", "file": str(file), "gives": gives})
    assert [r.metrics for r in outcome.records] == [{"half": 0.375, "bad": 7.0}]
    assert harness.plan(suite, store=store.path).counts() == {"done": 1}


def test_where_all_metrics_fail_the_cell_has_failed(
    toys: SimpleNamespace, store: Store, tmp_path: Path
) -> None:
    (file := tmp_path / "bad").touch()
    _, outcome = measuring(store, {"plugin": "bad", "file": str(file)})
    (record,) = outcome.records
    assert (record.status, record.reason) == ("failed", "metric 'bad' failed: KeyError: 'deliberate'")


@pytest.mark.parametrize("samples", ["raises", "short"])
def test_values_by_sample_that_fail_leave_the_number(
    toys: SimpleNamespace, store: Store, samples: str
) -> None:
    _, outcome = measuring(store, {"plugin": "half", "samples": samples})
    (record,) = outcome.records
    assert record.metrics == {"half": 0.375}
    assert "half by sample" in record.failures
    assert list(store.samples(record.id).columns) == ["id", "target", "prediction", "confidence"]
    assert Record.from_json(record.to_json(), "here").failures == record.failures


def test_a_record_with_all_its_numbers_takes_the_place_of_one_without(
    toys: SimpleNamespace, store: Store, tmp_path: Path
) -> None:
    (file := tmp_path / "bad").touch()
    whole = Store(tmp_path / "whole")
    measuring(store, "half", {"plugin": "bad", "file": str(file)})
    file.unlink()
    measuring(whole, "half", {"plugin": "bad", "file": str(file)})
    assert merge(whole, [store]).same == 1
    assert merge(store, [whole]).replaced == 1
    assert len(store.done()) == 1


# ---------------------------------------------------------------- disks


@pytest.mark.parametrize(
    ("number", "cure"),
    [(errno.ENOSPC, "free space"), (errno.EDQUOT, "free space"), (errno.EROFS, "make it writable")],
)
@pytest.mark.parametrize("what", ["_write_table", "write_bytes"])
def test_a_full_disk_names_the_store_and_what_to_do(
    toys: SimpleNamespace, store: Store, monkeypatch: pytest.MonkeyPatch, number: int, cure: str, what: str
) -> None:
    done = run(store, datasets=["toy:a"]).records[0]

    def full(path: Path, *_: Any) -> None:
        if "suites" not in path.parts:
            raise OSError(number, "it is as it is", str(path))

    monkeypatch.setattr(f"harness.records.store.{what}", full)
    with pytest.raises(harness.HarnessError) as caught:
        run(store)
    monkeypatch.undo()
    assert str(caught.value).startswith(f"{store.path}: the store can't be written: it is as it is; {cure}")
    assert "\n" not in str(caught.value)
    assert store.done() == {done.id}
    assert len(run(store).records) == 1  # goes on where it stopped


def test_a_full_disk_stops_the_command_with_one_line(
    toys: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = tmp_path / "s.toml"
    suite.write_text('name = "s"\nprotocol = "toy"\nmodels = ["toy"]\ndatasets = ["toy:a"]\n')

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("harness.records.store._write_table", full)
    assert main(["run", str(suite), "--store", str(tmp_path / "x"), "--quiet"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"harness: {tmp_path / 'x'}: the store can't be written: No space left on device; free space"
    )


def test_a_table_is_shown_where_the_index_does_not_fit(
    toys: SimpleNamespace, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(store)
    (store.path / "index.parquet").unlink(missing_ok=True)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("pyarrow.parquet.write_table", full)
    assert len(harness.load("s", store=store.path)) == 2


def test_a_full_cache_keeps_no_number_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("numpy.save", full)
    assert FeatureCache(tmp_path).get({"a": 1}, lambda: np.ones(2)).tolist() == [1, 1]


# ---------------------------------------------------------------- results that are none


class Panic(BaseException):
    """What libraries in Rust raise: no Exception."""


def give_result(gives: str) -> Any:
    if gives == "panic":
        raise Panic("index out of bounds")
    return {
        "none": None,
        "text": Result({"x": "abc"}),  # type: ignore[dict-item]
        "array": Result({"x": np.zeros(2)}),  # type: ignore[dict-item]
        "cost": Result({"x": 1}, cost={"y": "many"}),  # type: ignore[dict-item]
        "count": Result({"x": 1}, count="ten"),  # type: ignore[arg-type]
        "pixels": Result({"x": 1}, images={"a": np.zeros((2, 2))}),
        "samples": Result({"x": 1}, samples={"id": ["a", "b"], "x": [1]}),
    }[gives]


class Giving:
    """Gives what its option says."""

    axes = ()

    def __init__(self, gives: str) -> None:
        self.gives = gives

    def run(self, job: Job) -> Any:
        return give_result(self.gives)


@pytest.mark.parametrize(
    ("gives", "says"),
    [
        ("none", "protocol 'giving' of (this process) returned None: expected a Result"),
        ("text", "the protocol's metric 'x' is 'abc', not a number"),
        ("array", "the protocol's metric 'x' is array([0., 0.]), not a number"),
        ("cost", "the protocol's cost 'y' is 'many', not a number"),
        ("count", "the result can't be kept: the result: not a record: 'count' is 'ten'"),
        ("pixels", "the result can't be kept: TypeError: image 'a': cannot write mode F as PNG"),
        ("samples", "the result can't be kept: ArrowInvalid: "),
        ("panic", "Panic: index out of bounds"),
    ],
)
def test_a_result_that_is_none_fails_its_cell_alone(
    toys: SimpleNamespace, store: Store, gives: str, says: str
) -> None:
    harness.register("protocols", "giving", Giving)
    outcome = run(store, protocol={"plugin": "giving", "gives": gives})
    assert [r.status for r in outcome.records] == ["failed", "failed"]
    assert all((r.reason or "").startswith(says) for r in outcome.records)
    assert all(r.reason == (store.read(r.id) or r).reason for r in outcome.records)


class Several:
    """Its number and its values by sample are what its options say."""

    higher_is_better = True
    bounds = (0.0, 1.0)

    def __init__(self, number: float = 0.75) -> None:
        self.number = number

    def __call__(self, evidence: Predictions) -> float:
        return self.number

    def per_sample(self, evidence: Predictions) -> Any:
        return np.array([1.0, 1.0, 1.0, 0.0])


@pytest.mark.parametrize(("number", "binary"), [(0.75, True), (0.5, False), (0.6, False)])
def test_a_number_that_is_not_the_share_of_its_samples_gets_no_wilson_interval(
    toys: SimpleNamespace, store: Store, number: float, binary: bool
) -> None:
    harness.register("protocols", "predicting", Predicting)
    harness.register("metrics", "several", Several)
    outcome = run(store, protocol="predicting", metrics=[{"plugin": "several", "number": number}])
    assert [bool(r.binary) for r in outcome.records] == [binary, binary]
    (shown,) = outcome.tables()
    assert [(e.value, e.low is not None) for e in shown.entries] == [(number, binary)] * 2


def test_a_record_whose_share_is_none_gets_no_interval(toys: SimpleNamespace, store: Store) -> None:
    run(store)
    for file in files(store):
        changed = {"metrics": {"score": 1.7}, "binary": ["score"], "count": 18}
        file.write_bytes(orjson.dumps({**orjson.loads(file.read_bytes()), **changed}))
    (shown,) = harness.table("s", store=store.path)
    assert [(e.value, e.low) for e in shown.entries] == [(1.7, None)] * 2


class Fails:
    """Raises, exits or panics."""

    higher_is_better = True

    def __init__(self, how: str) -> None:
        self.how = how

    def __call__(self, evidence: Predictions) -> float:
        if self.how == "assertion":
            raise AssertionError
        raise Panic("lost") if self.how == "panic" else ValueError("bad\nluck")


def test_a_footnote_stands_at_the_metric_that_failed(toys: SimpleNamespace, store: Store) -> None:
    harness.register("protocols", "predicting", Predicting)
    harness.register("metrics", "fails", Fails)
    harness.register("metrics", "half", Half)
    metrics = [{"plugin": "fails", "how": how, "label": how} for how in ("assertion", "panic", "error")]
    metrics += ["half", {"plugin": "half", "samples": "short", "label": "short"}]
    suite = {"datasets": ["toy:a"], "protocol": "predicting", "metrics": metrics}
    values = ["assertion", "panic", "error", "half", "short"]
    outcome = run(store, **suite, tables=[{"name": "t", "values": values}])
    for shown in (outcome.tables()[0], harness.table("s", store=store.path)[0]):
        said = [[shown.footnotes[n] for n in e.notes] for e in shown.rows[0].entries]
        assert said == [
            ["metric 'assertion' failed: AssertionError"],
            ["metric 'panic' failed: Panic: lost"],
            ["metric 'error' failed: ValueError: bad luck"],
            [],
            [
                "metric 'short by sample' failed: it returned values of shape (3,) for 4 samples: expected one each"
            ],
        ]


class Summing:
    """A summary that gives what its option says."""

    def __init__(self, gives: str = "good") -> None:
        self.gives = gives

    def __call__(self, data: Any) -> Any:
        if self.gives == "panic":
            raise Panic("lost")
        if self.gives == "list":
            return [1, 2]
        long = data[["model", "dataset"]].assign(metric="half", value=data["half"])
        return long.drop(columns="metric") if self.gives == "columns" else long


@pytest.mark.parametrize(
    ("gives", "says"),
    [
        ("panic", "not available: summing of (this process) failed: Panic: lost"),
        ("list", "not available: summary 'summing' of (this process) gives a list: expected a DataFrame"),
        ("columns", "not available: summary 'summing' of (this process) gives no column 'metric'"),
        ("good", "in 1 of 1 records metric 'fails' failed: ValueError: bad luck"),
    ],
)
def test_a_summary_that_fails_leaves_the_other_tables(
    toys: SimpleNamespace, store: Store, gives: str, says: str
) -> None:
    for kind, name, plugin in (
        ("protocols", "predicting", Predicting), ("metrics", "half", Half), ("metrics", "fails", Fails),
        ("summaries", "summing", Summing),
    ):  # fmt: skip
        harness.register(kind, name, plugin)
    summary = {"name": "sum", "rows": ["model"], "columns": ["metric"], "summary": f"summing?gives={gives}"}
    suite = {"datasets": ["toy:a"], "protocol": "predicting"}
    metrics = ["half", {"plugin": "fails", "how": "error"}]
    outcome = run(store, **suite, metrics=metrics, tables=[{"name": "t", "values": ["half"]}, summary])
    plain, summed = outcome.tables()
    assert [e.value for e in plain.entries] == [0.375]
    assert says in summed.footnotes


def test_remarks_may_be_a_lone_text(toys: SimpleNamespace, store: Store) -> None:
    class Noting(Predicting):
        def run(self, job: Job) -> Result:
            job.remark("seen\nwhile running")
            return Result({"x": 1.0}, notes={"remarks": "a text, no list"})

        def assumes(self, *_: object) -> Any:
            return "assumed"

    harness.register("protocols", "noting", Noting)
    outcome = run(store, protocol="noting", datasets=["toy:a"])
    assert outcome.records[0].remarks == [
        "a text, no list",
        "assumed (here: model 'toy')",
        "seen while running",
    ]
