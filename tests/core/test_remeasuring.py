"""Metrics after the fact: computed from kept evidence to the last bit, without the model; else the cell runs."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import harness
from harness.contract.evidence import Predictions
from harness.contract.running import Job, Result
from harness.exchange.merging import merge
from harness.inference.evaluate import classification_result
from harness.planning.plan import Choice
from harness.planning.suite import parse_suite
from harness.records.record import Record
from harness.records.store import Store, _warned
from harness.running.runner import run

RUNS: list[str] = []
"""The seed of every cell that really ran."""


class Guessing:
    """A classifier whose logits depend on the cell's seed."""

    axes = ()
    provides = (Predictions,)
    needs_model = False

    def run(self, job: Job) -> Result:
        """Draw logits in Fortran order, which decides the last bits of sums."""
        RUNS.append(str(job.cell.seed))
        split = job.splits("test")
        rng = np.random.default_rng(job.cell.seed)
        logits = np.asfortranarray(rng.normal(size=(len(split), 7)).astype(np.float32))
        job.remark("the logits are drawn")
        names = [f"class {n}" for n in range(7)]
        more = {"curves": {"loss": {"step": [0], "loss": [0.5]}}, "cost": {"parameters": 3.0}}
        return classification_result(job, Predictions(logits, split.targets, split.ids, names), **more)


@dataclass
class Heights:
    """Evidence of a kind that the core does not know."""

    metres: np.ndarray[Any, Any]

    def pack(self) -> dict[str, Any]:
        return {"metres": self.metres}

    @classmethod
    def unpack(cls, parts: Mapping[str, Any]) -> Heights:
        return cls(**parts)


class Bare:
    """Evidence that can't be taken apart."""

    def __init__(self) -> None:
        self.metres = np.arange(3.0)


class Climbing:
    """Measures two hills, and the difference of their metrics."""

    axes = ()
    provides = (Heights, Bare)
    needs_model = False
    own_numbers = ("difference.*", "hours")

    def __init__(self, bare: bool = False) -> None:
        self.bare = bare

    def run(self, job: Job) -> Result:
        RUNS.append(str(job.cell.seed))
        hills = np.random.default_rng(job.cell.seed).normal(size=(2, 5))
        if self.bare:
            return Result({"mean": 1.0}, evidence={"": Bare()})
        evidence = {"east": Heights(hills[0]), "west": Heights(hills[1])}
        return Result({"hours": 2.5, **self.measure(job, evidence)}, count=5, evidence=evidence)

    def measure(self, job: Job, evidence: Mapping[str, Any]) -> dict[str, float]:
        values = {}
        for name, metric in job.metrics.items():
            east, west = (float(metric(evidence[side])) for side in ("east", "west"))  # type: ignore[arg-type]
            values |= {f"{name}.east": east, f"{name}.west": west, f"difference.{name}": east - west}
        return values


class Mean:
    higher_is_better = True
    reads = (Heights, Bare)

    def __call__(self, evidence: Any) -> float:
        return float(evidence.metres.mean())


class Highest(Mean):
    def __call__(self, evidence: Any) -> float:
        return float(evidence.metres.max())


class Moody:
    """A metric that fails while the environment says so, which its identity does not notice."""

    higher_is_better = True

    def __call__(self, predictions: Predictions) -> float:
        if os.environ.get("MOODY"):
            raise ZeroDivisionError("deliberate")
        return float(predictions.confidence.mean())


@pytest.fixture(autouse=True)
def plugins(toys: Any) -> None:
    RUNS.clear()
    _warned.clear()
    harness.register("protocols", "guessing", Guessing)
    harness.register("protocols", "climbing", Climbing)
    for name, metric in (("moody", Moody), ("mean", Mean), ("highest", Highest)):
        harness.register("metrics", name, metric)


def go(store: Store, *metrics: str, fresh: bool = False, **changes: Any) -> list[Record]:
    suite = {
        "name": "s",
        "protocol": "guessing",
        "datasets": ["toy"],
        "metrics": list(metrics),
        "seeds": [1, 2],
    }
    outcome = run(
        parse_suite({**suite, **changes}), store, device="cpu", fresh=fresh, installed_listeners=False
    )
    return [store.read(p.cell.id) for p in outcome.plan]  # type: ignore[misc]


def facts(record: Record) -> tuple[Any, ...]:
    """All that a record says besides time and place."""
    return (
        record.id, record.status, record.metrics, record.directions, record.units, record.binary, record.count,
        record.cell, record.coordinates, sorted(record.files), record.remarks, record.failures,
        {k: v for k, v in record.cost.items() if "second" not in k and "memory" not in k},
    )  # fmt: skip


ADDED = ("top1", "ece", "nll", "ece_after_temperature", "brier", "macro_f1", "top5")


def test_added_metrics_equal_those_of_a_fresh_run_to_the_last_bit(store: Store, tmp_path: Path) -> None:
    first = go(store, "top1")
    later = go(store, *ADDED)
    assert RUNS == ["1", "2"]
    elsewhere = Store(tmp_path / "elsewhere")
    fresh = go(elsewhere, *ADDED)
    assert RUNS == ["1", "2"] * 2
    assert {*ADDED} <= later[0].metrics.keys()
    for one, other in zip(later, fresh, strict=True):
        assert facts(one) == facts(other)
        here, there = (s.samples(one.id) for s in (store, elsewhere))
        assert list(here) == list(there) or {*here} == {*there}
        assert here[sorted(here)].equals(there[sorted(there)])
        assert here.dtypes.to_dict() == there.dtypes.to_dict()
        assert store.curves(one.id).equals(elsewhere.curves(one.id))
    assert [r.provenance["measured"]["from"] for r in later] == [r.id for r in first]
    assert later[0].provenance["started"] == first[0].provenance["started"]
    assert go(store, *ADDED)[0].provenance == later[0].provenance  # done, and left alone


def test_fewer_metrics_and_other_labels_are_measured_too(store: Store) -> None:
    go(store, "top1", "ece", "nll")
    (record, _) = go(store, "nll")
    assert [*record.metrics] == ["nll"]
    assert "ece" not in store.samples(record.id)
    renamed = go(store, {"plugin": "topk", "k": 2, "label": "top1"})[0]  # type: ignore[arg-type]
    assert renamed.metrics["top1"] != go(store, "top1")[0].metrics["top1"]
    assert RUNS == ["1", "2"]


def test_fresh_runs_again(store: Store) -> None:
    go(store, "top1")
    go(store, "top1", "ece", fresh=True)
    assert RUNS == ["1", "2"] * 2


def test_a_mended_metric_is_computed_without_a_run(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOODY", "yes")
    broken = go(store, "top1", "moody")
    assert all(r.failures for r in broken)
    monkeypatch.delenv("MOODY")
    mended = go(store, "top1", "moody")
    assert [r.id for r in mended] == [r.id for r in broken]
    assert not any(r.failures or r.traceback for r in mended)
    assert RUNS == ["1", "2"]
    go(store, "top1", "nll")
    assert RUNS == ["1", "2"]


def test_a_metric_of_another_version_is_computed_again(store: Store, install: Any) -> None:
    code = "class M:\n    higher_is_better = True\n    def __call__(self, evidence):\n        return {}\n"
    metric = {"harness.metrics": {"versioned": "versioned_metric:M"}}
    install("acme", metric, {"versioned_metric": code.format("1.0")})
    (one, _) = go(store, "top1", "versioned")
    sys.modules.pop("versioned_metric")
    install("acme", metric, {"versioned_metric": code.format("2.0")}, folder="newer")
    (other, _) = go(store, "top1", "versioned")
    assert (one.metrics["versioned"], other.metrics["versioned"]) == (1.0, 2.0)
    assert one.id != other.id
    assert RUNS == ["1", "2"]


@pytest.mark.parametrize("how", ["limit", "damaged", "gone", "rerun", "foreign"])
def test_without_sound_evidence_the_cell_runs_and_says_so(
    how: str, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if how == "limit":
        monkeypatch.setenv("HARNESS_MAX_EVIDENCE", "0")
    caplog.set_level(logging.WARNING)
    first = go(store, "top1")
    paths = [store.file("evidence", r.provenance["evidence"], ".npz") for r in first]
    for record, path in zip(first, paths, strict=True):
        if how == "damaged":
            whole = bytearray(path.read_bytes())
            whole[len(whole) // 3] ^= 255
            path.write_bytes(whole)
        elif how == "gone":
            store.remove(record.id)
        elif how == "rerun":  # a record that the evidence is not of
            record.provenance["started"] = "2001-01-01"
            store.write(record)
        elif how == "foreign":  # a class that this protocol does not provide is not imported
            content = dict(np.load(path))
            header = bytes(content["header"]).replace(b"harness.contract.evidence:Predictions", b"os:system")
            np.savez(path, **{**content, "header": np.frombuffer(header, np.uint8)})
    second = go(store, "top1", "ece")
    assert RUNS == ["1", "2"] * 2
    assert all("measured" not in r.provenance for r in second)
    assert [r.metrics["top1"] for r in second] == [r.metrics["top1"] for r in first]
    said = [r.message for r in caplog.records]
    if how == "limit":
        assert any("run again for other metrics" in s and "HARNESS_MAX_EVIDENCE" in s for s in said)
    if how in ("damaged", "foreign"):
        assert any("can't be read" in s and "run again" in s for s in said)


def test_other_evidence_is_kept_by_its_own_methods(store: Store, tmp_path: Path) -> None:
    go(store, "mean", protocol="climbing")
    later = go(store, "mean", "highest", protocol="climbing")
    assert RUNS == ["1", "2"]
    fresh = go(Store(tmp_path / "elsewhere"), "mean", "highest", protocol="climbing")
    assert [facts(r) for r in later] == [facts(r) for r in fresh]
    assert {"hours", "highest.east", "difference.highest"} <= later[0].metrics.keys()


def test_evidence_without_the_methods_runs_again(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    go(store, "mean", protocol="climbing?bare=true")
    go(store, "highest", protocol="climbing?bare=true")
    assert RUNS == ["1", "2"] * 2
    assert any("Bare has no methods `pack` and `unpack`" in r.message for r in caplog.records)


def test_evidence_follows_its_record_into_another_store(store: Store, tmp_path: Path) -> None:
    go(store, "top1")
    merged = Store(tmp_path / "merged")
    merge(merged, [store])
    assert len(go(merged, "top1", "nll")) == 2
    assert RUNS == ["1", "2"]


def test_predictions_are_the_same_after_packing() -> None:
    rng = np.random.default_rng(0)
    whole = rng.normal(size=(9, 8)).astype(np.float32)
    for logits in (whole, whole.T[:, :5], whole[::2, ::-1], np.asfortranarray(whole)):
        one = Predictions(
            logits, np.zeros(len(logits), int), [f"ä{n}\udcff" for n in range(len(logits))], ("a",)
        )
        other = Predictions.unpack(one.pack())
        assert np.array_equal(one.probabilities, other.probabilities)
        assert list(other.ids) == list(one.ids)
        assert other.logits.dtype == one.logits.dtype


def suites() -> dict[str, dict[str, Any]]:
    """A small suite of each protocol that keeps evidence."""
    clip = {"plugin": "tiny-clip", "tower": "vit", "steps": 0}
    few = {"models": [clip], "methods": ["linear-probe"], "axes": {"shots": [1]}, "datasets": ["digits"]}
    return {
        "zero-shot": {"protocol": "classification", "models": [clip], "datasets": ["digits"]},
        "halves": {
            **few, "protocol": {"plugin": "few-shot", "classes": "base-to-new"}, "methods": ["template"], "axes": {},
        },
        "elsewhere": {
            **few, "protocol": {"plugin": "few-shot", "evaluate_on": ["printed-digits"]},
        },
        "fusion": {
            "protocol": {"plugin": "fusion", "epochs": 2, "batch": 8}, "models": [clip],
            "datasets": [{"plugin": "scene-pairs", "count": 40}], "methods": ["early-features"], "limit": None,
        },
        "finetuning": {
            "protocol": {"plugin": "finetuning", "steps": 2, "shifts": ["printed-digits"], "shift_names": ["printed"]},
            "models": [{"plugin": "tiny-vit", "trained_on": "digits", "width": 32, "steps": 0}],
            "datasets": ["digits"], "methods": ["bitfit"],
        },
    }  # fmt: skip


@pytest.mark.parametrize("name", suites())
def test_every_protocol_measures_what_it_would_have_run(name: str, store: Store, tmp_path: Path) -> None:
    suite = {"limit": 48, **suites()[name], "seeds": [0]}
    (first,) = go(store, "top1", **suite)
    assert first.status == "ok", first.reason
    (later,) = go(store, "nll", "top1", **suite)
    (fresh,) = go(Store(tmp_path / "elsewhere"), "nll", "top1", **suite)
    assert "measured" in later.provenance
    measured, ran = ({k: v for k, v in r.metrics.items() if "second" not in k} for r in (later, fresh))
    assert measured == ran
    assert {*later.directions.items()} == {*fresh.directions.items()}
    assert sorted(later.binary) == sorted(fresh.binary)
    assert {*store.samples(later.id)} == {*Store(tmp_path / "elsewhere").samples(fresh.id)}
    assert later.remarks == fresh.remarks


def test_worker_processes_measure_as_well(store: Store) -> None:
    suite = {**suites()["zero-shot"], "limit": 24, "seeds": [0, 1], "metrics": ["top1"], "name": "s"}
    run(parse_suite(suite), store, device="cpu", installed_listeners=False)
    choice = Choice(add_metrics=["ece"])
    outcome = run(
        parse_suite(suite),
        store,
        choice=choice,
        device="cpu",
        installed_listeners=False,
        executor="processes:2",
    )
    assert [r.status for r in outcome.records] == ["ok", "ok"]
    assert all("measured" in r.provenance for r in outcome.records)


class Greedy:
    """A metric that writes into the evidence."""

    higher_is_better = True

    def __call__(self, predictions: Predictions) -> float:
        predictions.targets[:] = 0
        return 0.5


class Thief(Greedy):
    def __call__(self, predictions: Predictions) -> float:
        predictions.probabilities[:] = 1.0
        return 0.5


class Boastful(Greedy):
    bounds = (0.0, 1.0)

    def __call__(self, predictions: Predictions) -> float:
        return 7.0


class Dicing(Greedy):
    """Draws from the global generators."""

    def __call__(self, predictions: Predictions) -> float:
        import random

        import torch

        return float(np.random.rand() + random.random() + torch.rand(1).item())  # noqa: NPY002


@pytest.mark.parametrize("culprit", [Greedy, Thief, Boastful])
def test_a_metric_that_does_wrong_fails_alone(store: Store, tmp_path: Path, culprit: type) -> None:
    harness.register("metrics", "culprit", culprit)
    alone = go(Store(tmp_path / "alone"), "top1", "nll")[0]
    first = go(store, "culprit", "top1", "nll")[0]
    assert [*first.failures] == ["culprit"]
    assert {name: first.metrics[name] for name in ("top1", "nll")} == alone.metrics
    later = go(store, "top1", "nll")[0]
    assert later.metrics == alone.metrics


def test_a_metric_that_draws_draws_the_same_from_evidence(store: Store, tmp_path: Path) -> None:
    harness.register("metrics", "dicing", Dicing)
    go(store, "top1")
    later = go(store, "top1", "dicing")
    fresh = go(Store(tmp_path / "elsewhere"), "dicing", "top1")
    assert [r.metrics["dicing"] for r in later] == [r.metrics["dicing"] for r in fresh]
    assert later[0].metrics["dicing"] != later[1].metrics["dicing"]


class Replacing(Guessing):
    """Names and computes a number in a way of its own, of which its evidence knows nothing."""

    def run(self, job: Job) -> Result:
        from dataclasses import replace

        result = super().run(job)
        return replace(result, metrics={**result.metrics, "top1": 0.125, "top1.shift": 0.625})


def test_numbers_that_evidence_does_not_give_again_let_the_cell_run(store: Store) -> None:
    harness.register("protocols", "replacing", Replacing)
    go(store, "top1", protocol="replacing")
    later = go(store, "top1", "brier", protocol="replacing")
    assert RUNS == ["1", "2"] * 2
    assert later[0].metrics["top1"] == 0.125
    assert later[0].metrics["top1.shift"] == 0.625


@dataclass(frozen=True, eq=False)
class Grouped(Predictions):
    """Predictions with a field that the inherited `pack` does not know."""

    groups: Any = None


class Grouping(Guessing):
    def run(self, job: Job) -> Result:
        result = super().run(job)
        (plain,) = result.evidence.values()
        groups = np.arange(len(plain)) % 2
        grouped = Grouped(plain.logits, plain.targets, plain.ids, plain.class_names, groups)
        return classification_result(job, grouped)


def test_evidence_with_fields_that_would_be_lost_is_not_kept(store: Store) -> None:
    harness.register("protocols", "grouping", Grouping)
    (record, _) = go(store, "top1", protocol="grouping")
    go(store, "top1", "nll", protocol="grouping")
    assert RUNS == ["1", "2"] * 2
    assert record.status == "ok"
