"""Weights & Biases: against a stand-in, and offline with the library itself where it is installed."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from harness.planning.suite import parse_suite
from harness.records.store import Store
from harness.running.runner import run


class Run:
    """Keeps what a run is told."""

    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        self.summary: dict[str, Any] = {}
        self.steps: dict[str, str | None] = {}
        self.logged: list[dict[str, Any]] = []
        self.exit_code: int | None = None

    def define_metric(self, name: str, step_metric: str | None = None) -> None:
        assert name not in self.steps
        self.steps[name] = step_metric

    def log(self, values: dict[str, Any]) -> None:
        assert self.exit_code is None
        self.logged.append(values)

    def finish(self, exit_code: int) -> None:
        self.exit_code = exit_code


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """The runs that a stand-in in the place of the module has started."""
    started: list[Run] = []

    def init(**settings: Any) -> Run:
        started.append(Run(**settings))
        return started[-1]

    module = ModuleType("wandb")
    module.__spec__ = importlib.util.spec_from_loader("wandb", None)
    module.init = init  # type: ignore[attr-defined]
    module.Settings = dict  # type: ignore[attr-defined]
    module.Image = lambda picture: ("image", picture.size)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "wandb", module)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    return started


def test_runs_side_by_side_offline_unless_told_otherwise(
    runs: list[Run], talks: dict[str, Any], tmp_path: Path
) -> None:
    suite = {**talks, "protocol": "talks?fails=1&steps=4&token=hush"}
    outcome = run(
        parse_suite(suite),
        Store(tmp_path / "store"),
        device="cpu",
        listeners=["wandb?project=mine&folder=kept"],
    )
    assert outcome.problems == []
    good, bad = runs
    assert {r.settings["mode"] for r in runs} == {"offline"}
    assert {r.settings["project"] for r in runs} == {"mine"}
    assert {r.settings["reinit"] for r in runs} == {"create_new"}
    assert (tmp_path / "kept").is_dir()
    assert (good.exit_code, bad.exit_code) == (0, 1)
    assert bad.summary == {"status": "failed", "reason": "ValueError: deliberate"}
    losses = [(v["training/step"], v["training/loss"]) for v in good.logged if "training/loss" in v]
    assert losses == [(s, pytest.approx(1 / (1 + s))) for s in range(4)]
    assert {"samples/image": ("image", (6, 4)), "samples/step": 7} in good.logged
    assert {"metrics/score": 0.25, "metrics/step": 0} in good.logged
    assert good.steps["training/*"] == "training/step"
    assert good.settings["config"]["protocol_plugin.options.token"] == "***"
    assert "hush" not in str([vars(r) for r in runs])


def test_the_library_collects_nothing_by_itself(
    runs: list[Run], talks: dict[str, Any], tmp_path: Path
) -> None:
    run(parse_suite(talks), Store(tmp_path / "store"), device="cpu", listeners=["wandb"])
    settings = runs[0].settings["settings"]
    assert settings["console"] == "off"
    assert settings["save_code"] is False
    for fact in (
        "disable_git",
        "disable_code",
        "x_disable_meta",
        "x_disable_machine_info",
        "x_disable_stats",
    ):
        assert settings[fact] is True


@pytest.mark.parametrize(
    ("reference", "variable", "mode"),
    [
        ("wandb", "disabled", "disabled"),
        ("wandb?mode=online", "disabled", "online"),
        ("wandb", None, "offline"),
    ],
)
def test_modes(
    runs: list[Run], talks: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    reference: str, variable: str | None, mode: str,
) -> None:  # fmt: skip
    if variable:
        monkeypatch.setenv("WANDB_MODE", variable)
    run(parse_suite(talks), Store(tmp_path / "store"), device="cpu", listeners=[reference])
    assert runs[0].settings["mode"] == mode


def test_a_failing_tracker_does_not_stop_the_run(
    runs: list[Run], talks: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(**settings: Any) -> Run:
        raise ConnectionError("no answer from https://someone:hush@tracking.example")

    monkeypatch.setattr(sys.modules["wandb"], "init", broken)
    outcome = run(parse_suite(talks), Store(tmp_path / "store"), device="cpu", listeners=["wandb"])
    assert [r.status for r in outcome.records] == ["ok", "ok"]
    (problem,) = outcome.problems
    assert problem == (
        "listener 'WandB' failed at cell_started and is left out: "
        "ConnectionError: no answer from https://***@tracking.example"
    )


@pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="the extra wandb is not installed")
def test_with_the_library_itself(
    talks: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import wandb  # type: ignore[import-not-found,import-untyped,unused-ignore]

    monkeypatch.delenv("WANDB_MODE", raising=False)
    suite = parse_suite({**talks, "seeds": [0], "protocol": "talks?token=hush-hush"})
    outcome = run(suite, Store(tmp_path / "store"), device="cpu", listeners=["wandb?folder=kept"])
    assert outcome.problems == []
    wandb.teardown()  # its own process has written everything when this returns
    (file,) = (tmp_path / "kept").glob("wandb/offline-run-*/*.wandb")
    content = file.read_bytes()
    assert b"training/loss" in content
    assert b"hush-hush" not in content
