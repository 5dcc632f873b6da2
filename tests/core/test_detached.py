"""Commands that end while their cells go on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.cli import main
from harness.discovery import registry
from harness.errors import Detached

SUITE = 'name = "{name}"\nprotocol = "classification"\nmodels = ["tiny-vit"]\ndatasets = ["scenes"]\nmetrics = ["top1"]\n'


class Leaves:
    """An executor that leaves all cells to others."""

    def __init__(self, interrupted: bool = False) -> None:
        self.interrupted = interrupted

    def execute(self, cells: Any, settings: Any, tell: Any) -> Iterator[Any]:
        raise Detached("2 jobs go on; the same command attaches", self.interrupted)
        yield


@pytest.fixture
def suites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setattr(registry, "_local", {})
    harness.register("executors", "leaves", Leaves)
    for name in ("one", "two"):
        (tmp_path / f"{name}.toml").write_text(SUITE.format(name=name))
    return [str(tmp_path / f"{name}.toml") for name in ("one", "two")]


def test_the_command_ends_well_after_it_has_left_every_suite(
    suites: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["run", *suites, "--store", str(tmp_path / "store"), "--device", "cpu", "--executor"]
    assert main([*command, "leaves"]) == 0
    shown = capsys.readouterr()
    assert shown.err.splitlines()[-2:] == [
        "harness: one: 2 jobs go on; the same command attaches",
        "harness: two: 2 jobs go on; the same command attaches",
    ]
    assert shown.out == ""
    assert main([*command, "leaves", "--json"]) == 0
    answers = json.loads(capsys.readouterr().out)
    assert answers == [
        {"suite": name, "detached": "2 jobs go on; the same command attaches"} for name in ("one", "two")
    ]


def test_an_interrupted_command_begins_no_other_suite(
    suites: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["run", *suites, "--store", str(tmp_path / "store"), "--device", "cpu", "--executor"]
    assert main([*command, "leaves?interrupted=true"]) == 0
    shown = capsys.readouterr()
    assert shown.err.splitlines()[-1] == "harness: 2 jobs go on; the same command attaches"
    assert "two" not in shown.err
    assert main([*command, "leaves?interrupted=true", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"detached": "2 jobs go on; the same command attaches"}
