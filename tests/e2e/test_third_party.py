"""Plugins from outside: a distribution built and installed by its own pyproject, and a broken one beside it."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

SUITE = """
name = "theirs"
protocol = "classification"
metrics = ["top1", "acme-margin"]
models = [
  { plugin = "acme-vision/acme-linear", label = "linear" },
  { plugin = "acme-vision/acme-linear", label = "sharp", scale = 4.0 },
]
datasets = [{ plugin = "acme-stripes", label = "stripes", count = 12 }]

[[tables]]
name = "theirs"
rows = ["model"]
columns = ["metric"]
values = ["top1", "acme-margin"]
"""

MIXED = """
name = "mixed"
protocol = "classification"

[[experiments]]
name = "models"
metrics = ["top1"]
models = [
  { plugin = "acme-vision/acme-linear", label = "good" },
  { plugin = "broken-import", label = "import" },
  { plugin = "broken-attribute", label = "attribute" },
  { plugin = "broken-signature", label = "signature" },
  { plugin = "broken-classify", label = "classify" },
]
datasets = [{ plugin = "acme-stripes", label = "stripes" }, { plugin = "broken-callable", label = "callable" }]

[[experiments]]
name = "metric without a call"
metrics = ["broken-metric"]
models = [{ plugin = "acme-vision/acme-linear", label = "good" }]
datasets = [{ plugin = "acme-stripes", label = "stripes" }]

[[experiments]]
name = "metric that takes nothing"
metrics = ["top1", "broken-number"]
models = [{ plugin = "acme-vision/acme-linear", label = "good" }]
datasets = [{ plugin = "acme-stripes", label = "stripes", count = 6 }]
"""


@pytest.fixture
def good(built: dict[str, Path]) -> list[Path]:
    return [built["good"]]


@pytest.fixture
def both(built: dict[str, Path]) -> list[Path]:
    return [built["broken"], built["good"]]


def written(folder: Path, text: str) -> Path:
    path = folder / "suite.toml"
    path.write_text(text)
    return path


def events(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_suite_with_their_model_data_metric_and_listener(cli: Any, good: list[Path], tmp_path: Path) -> None:
    suite, log = written(tmp_path, SUITE), tmp_path / "events.jsonl"
    done = cli("run", suite, "--store", "store", "--json", folders=good, ACME_EVENTS=str(log))
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)[0]
    assert answer["ran"] == {"ok": 2}
    rows = {r["header"][0]: [e["value"] for e in r["entries"]] for r in answer["tables"][0]["rows"]}
    # the factor on the logits sharpens the probabilities and leaves the order of the classes alone
    assert rows["linear"][0] == rows["sharp"][0]
    assert 0 < rows["linear"][1] < rows["sharp"][1] <= 1

    got = events(log)
    counts = Counter(e["event"] for e in got)
    assert counts == {
        "run_started": 1,
        "cell_started": 2,
        "cell_progress": 2,
        "cell_finished": 2,
        "run_finished": 1,
    }
    assert got[0] == {"event": "run_started", "cells": 2}
    assert got[-1] == {"event": "run_finished", "records": 2}
    assert [(e["position"], e["total"]) for e in got if e["event"] == "cell_started"] == [(1, 2), (2, 2)]
    started = [e["id"] for e in got if e["event"] == "cell_started"]
    assert [e["id"] for e in got if e["event"] == "cell_finished"] == started
    assert all(e["done"] == e["total"] == 12 for e in got if e["event"] == "cell_progress")

    record = json.loads(next((tmp_path / "store").rglob(f"{started[0]}.json")).read_text())
    assert record["provenance"]["plugins"]["acme-vision"] == "1.2.3"
    assert record["cell"]["model"]["distribution"] == "acme-vision"

    again = cli("run", suite, "--store", "store", "--json", folders=good)
    assert json.loads(again.stdout)[0]["ran"] == {}
    assert json.loads(again.stdout)[0]["tables"] == answer["tables"]


@pytest.mark.parametrize("event", ["run_started", "cell_progress", "cell_finished"])
def test_listener_that_raises_is_survived(cli: Any, good: list[Path], tmp_path: Path, event: str) -> None:
    suite, log = written(tmp_path, SUITE), tmp_path / "events.jsonl"
    done = cli(
        "run", suite, "--store", "store", "--json", folders=good, ACME_EVENTS=str(log), ACME_RAISE=event
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)[0]["ran"] == {"ok": 2}
    told = [line for line in done.stderr.splitlines() if "acme-vision/acme-log" in line]
    assert told == [
        f"listener 'acme-vision/acme-log' failed at {event} and is left out: RuntimeError: acme does not like {event}"
    ]
    assert "Traceback" not in done.stderr
    heard = [e["event"] for e in events(log)] if log.exists() else []
    assert event not in heard
    assert "run_finished" not in heard  # left out from the failure on


def test_only_cells_that_need_broken_plugins_fail(cli: Any, both: list[Path], tmp_path: Path) -> None:
    suite = written(tmp_path, MIXED)
    done = cli("run", suite, "--store", "store", "--json", folders=both)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    records = [json.loads(p.read_text()) for p in (tmp_path / "store" / "records").rglob("*.json")]
    where = {
        (r["coordinates"]["experiment"], r["coordinates"]["model"], r["coordinates"]["dataset"]): r
        for r in records
    }
    assert len(where) == 12
    ok = [key for key, r in where.items() if r["status"] == "ok"]
    unmeasured = ("metric that takes nothing", "good", "stripes")
    assert sorted(ok) == [unmeasured, ("models", "good", "stripes")]
    assert "metric 'broken-number' failed: TypeError" in where[unmeasured]["failures"]["broken-number"]
    assert all(r["status"] == "failed" for key, r in where.items() if key not in ok)

    def reason(experiment: str, model: str, dataset: str = "stripes") -> str:
        return where[experiment, model, dataset]["reason"]

    assert "'broken-import' of acme-broken 0.0.1 can't be imported" in reason("models", "import")
    assert "a_package_that_nobody_has" in reason("models", "import")
    assert "no attribute 'NoSuchName'" in reason("models", "attribute")
    assert "'broken-signature' of acme-broken can't be constructed: TypeError" in reason(
        "models", "signature"
    )
    assert "TypeError" in reason("models", "classify")
    assert "ClassifiesNothing" in where["models", "classify", "stripes"]["traceback"]
    assert "neither a class nor a function" in reason("models", "good", "callable")
    assert "has no method '__call__'" in reason("metric without a call", "good")


def test_plan_tells_what_is_broken_without_running(cli: Any, both: list[Path], tmp_path: Path) -> None:
    suite = written(tmp_path, MIXED)
    done = cli("plan", suite, "--store", "store", "--json", folders=both)
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)[0]
    # a wrong signature of a method shows only when it is called
    assert plan["counts"] == {"run": 3, "broken": 9}
    to_run = [(c["model"], c["dataset"]) for c in plan["cells"] if c["state"] == "run"]
    assert to_run == [("good", "stripes"), ("classify", "stripes"), ("good", "stripes")]
    shown = cli("plan", suite, "--store", "store", folders=both).stdout
    assert "12 cells: 3 to run, 9 can't run" in shown
    assert "a_package_that_nobody_has" in shown


def test_name_claimed_twice(cli: Any, both: list[Path], tmp_path: Path) -> None:
    suite = written(tmp_path, SUITE.replace("acme-vision/acme-linear", "acme-linear"))
    done = cli("run", suite, "--store", "store", folders=both)
    assert done.returncode == 2
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("harness: ")]
    assert "'acme-broken/acme-linear'" in line
    assert "'acme-vision/acme-linear'" in line
    chosen = cli("run", written(tmp_path, SUITE), "--store", "store", "--json", folders=both)
    assert json.loads(chosen.stdout)[0]["ran"] == {"ok": 2}


def test_list_shows_both_and_imports_neither(cli: Any, both: list[Path]) -> None:
    done = cli("list", "--json", folders=both)
    assert done.returncode == 0
    assert not done.stderr  # a broken listener is no matter of `list`
    found = {
        kind: [
            (p["name"], p["distribution"], p["version"])
            for p in plugins
            if p["distribution"] != "vision-harness"
        ]
        for kind, plugins in json.loads(done.stdout).items()
    }
    assert ("acme-linear", "acme-broken", "0.0.1") in found["models"]
    assert ("acme-linear", "acme-vision", "1.2.3") in found["models"]
    assert found["hooks"] == [
        ("acme-log", "acme-vision", "1.2.3"),
        ("broken-listener", "acme-broken", "0.0.1"),
    ]
    shown = cli("list", "datasets", folders=both).stdout
    assert "acme-stripes" in shown
    assert "acme-linear" not in shown


def test_info(cli: Any, both: list[Path]) -> None:
    (facts,) = json.loads(cli("info", "acme-vision/acme-linear", "--json", folders=both).stdout)
    assert facts["distribution"] == "acme-vision"
    assert [(o["name"], o["type"], o["default"]) for o in facts["options"]] == [
        ("scale", "float", 1.0),
        ("seed", "int", 0),
    ]
    assert "classifies images" in facts["capabilities"]
    assert math.isclose(facts["options"][0]["default"], 1.0)
    text = cli("info", "acme-margin", folders=both).stdout
    assert text.startswith("acme-margin (metric) from acme-vision 1.2.3")
    broken = cli("info", "broken-import", folders=both)
    assert broken.returncode == 2
    (line,) = broken.stderr.splitlines()
    assert "a_package_that_nobody_has" in line
    twice = cli("info", "acme-linear", folders=both)
    assert twice.returncode == 2
    assert "claimed twice" in twice.stderr


def test_doctor(cli: Any, good: list[Path], both: list[Path]) -> None:
    done = cli("doctor", "--json", "--store", "store", folders=both)
    assert done.returncode == 1
    facts = json.loads(done.stdout)
    told = " ".join(b["reason"] for b in facts["broken"] if "acme-broken" in b["reason"])
    for name in (
        "broken-import",
        "broken-attribute",
        "broken-callable",
        "broken-metric",
        "broken-listener",
        "broken-suite",
    ):
        assert f"{name}'" in told
    assert not [b for b in facts["broken"] if "acme-vision" in b["reason"]]
    assert len(facts["conflicts"]) == 1
    assert "acme-vision/acme-linear" in facts["conflicts"][0]
    traceback = next(b["traceback"] for b in facts["broken"] if "broken-import'" in b["reason"])
    assert "needs_what_is_missing.py" in traceback
    text = cli("doctor", "--traceback", "--store", "store", folders=both).stdout
    assert "CONFLICT   model 'acme-linear'" in text
    assert "    ModuleNotFoundError" in text
    healthy = json.loads(cli("doctor", "--json", "--store", "store", folders=good).stdout)
    assert not [b for b in healthy["broken"] if "acme" in b["reason"]]
    assert not healthy["conflicts"]
