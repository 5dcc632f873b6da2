"""Runs and plans from Python: what they return, show and say, and that no command lacks its function."""

from __future__ import annotations

import argparse
import inspect
import io
import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import harness
from harness.cli import COMMANDS, main
from harness.cli.common import encode_json
from harness.errors import SuiteError
from harness.planning.plan import Choice
from harness.planning.suite import TableSpec
from harness.running.progress import is_watched

SUITE: dict[str, Any] = {
    "name": "mine",
    "protocol": "toy",
    "models": [{"plugin": "toy", "label": "good"}, {"plugin": "toy", "label": "bad", "mode": "fails"},
               {"plugin": "toy", "label": "<b>away</b>", "mode": "away"}],
    "datasets": ["toy"],
    "axes": {"shots": [1, 2]},
}  # fmt: skip
TOML = """name = "mine"
protocol = "toy"
models = [{ plugin = "toy", label = "good" }, { plugin = "toy", label = "bad", mode = "fails" },
          { plugin = "toy", label = "<b>away</b>", mode = "away" }]
datasets = ["toy"]
axes = { shots = [1, 2] }
"""

FUNCTIONS = {"import": "import_results", "list": "list_plugins"}
"""Functions that can't be called as their command: a word of Python's, and one of its built-in functions."""

WITHOUT = {
    "new": "writes a package, for a shell",
    "init": "writes a suite file, for a shell",
    "try": "a shell's short form of plan and run",
    "serve": "a process of its own, which a shell starts and stops",
    "schema": "harness.Suite.model_json_schema() is at hand",
    "cache": "a folder to look at and clear from a shell; harness.cache_dir() names it",
}
"""Commands that have no function, with the reason."""

NAMES = {
    "model": "models", "dataset": "datasets",
    "method": "methods", "metric": "metrics", "add_model": "add_models", "add_dataset": "add_datasets",
    "add_metric": "add_metrics", "experiment": "experiments", "suite": "suites", "listen": "listeners",
    "value": "values", "no_percent": "percent", "quiet": "progress",
}  # fmt: skip
"""Arguments by options that may be repeated, are negated, or are called otherwise."""

OF_THE_SHELL = {
    "json": "results are objects with to_dict()",
    "plan all": "Plan.frame()",
    "run format": "Table.render()",
    "table format": "Table.render()",
    "table out": "Table.render()",
    "compare format": "JudgedComparison.render()",
    "compare out": "JudgedComparison.render()",
    "compare significant": "JudgedComparison.render()",
    "doctor traceback": "each entry of ['broken'] has it",
    "plan suites": "one suite a call",
    "run suites": "one suite a call",
    "run report": "harness.report",
}
"""Options that only a shell needs, and what Python has in their place."""


def plain(data: Any) -> Any:
    return json.loads(encode_json(data))


def test_every_command_has_its_function() -> None:
    functions = {command: FUNCTIONS.get(command, command) for command in COMMANDS if command not in WITHOUT}
    assert [c for c, name in functions.items() if name not in harness.__all__] == []
    assert not set(WITHOUT) & set(harness.__all__)


@pytest.mark.parametrize("command", [c for c in COMMANDS if c not in WITHOUT])
def test_every_option_has_its_argument(command: str) -> None:
    parser = argparse.ArgumentParser(add_help=False)
    import_module(f"harness.cli.{command}_command").add_arguments(parser)
    options = {action.dest for action in parser._actions}
    taken = set(inspect.signature(getattr(harness, FUNCTIONS.get(command, command))).parameters)
    taken |= set(Choice.__dataclass_fields__) if "choices" in taken else set()
    taken |= set(TableSpec.model_fields) if "layout" in taken else set()
    lacking = {
        o for o in options if not {o, NAMES.get(o, o)} & taken and f"{command} {o}" not in OF_THE_SHELL
    }
    assert not lacking, f"harness.{command} lacks these options: give it arguments, or say here why not"


def test_plans(toys: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.toml").write_text(TOML)
    options = ["--set", "axes.shots=[1,3]", "--seeds", "0,1", "--store", str(tmp_path / "store")]
    assert main(["plan", str(tmp_path / "mine.toml"), *options, "--json"]) == 0
    plan = harness.plan(SUITE, store=tmp_path / "store", set={"axes.shots": [1, 3]}, seeds=[0, 1])
    assert [plain(plan.to_dict())] == json.loads(capsys.readouterr().out)
    assert SUITE["axes"] == {"shots": [1, 2]}
    again = harness.plan(plan.suite, store=tmp_path / "store", set={"axes.shots": [4]}, seeds=1)
    assert {(p.cell.axes["shots"], p.cell.seed) for p in again} == {(4, 1)}
    frame = plan.frame()
    assert list(frame["id"]) == [p.cell.id for p in plan]
    assert "12 cells: 8 to run, 4 skipped" in repr(plan)
    assert "fetch them" in repr(plan)
    assert len(repr(plan).splitlines()) < 12
    assert "<b>" not in plan._repr_html_()
    assert "&lt;b&gt;away" in plan._repr_html_()


def test_runs(toys: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.toml").write_text(TOML)
    assert main(["run", str(tmp_path / "mine.toml"), "--store", str(tmp_path / "a"), "--json"]) == 1
    said = capsys.readouterr()
    run = harness.run(SUITE, store=tmp_path / "b")
    assert capsys.readouterr().err == ""
    (printed,) = json.loads(said.out)
    assert plain(run.to_dict()) == printed
    assert [f"harness: {line}" for line in run.failure_lines()] == said.err.splitlines()
    assert "6 cells: 2 ok, 2 failed, 2 skipped" in repr(run) or "6 cells: 2 skipped, 2 ok, 2 failed" in repr(
        run
    )
    assert str(tmp_path / "b") in repr(run)
    assert "deliberate" in repr(run)
    assert len(repr(run).splitlines()) < 8
    page = run._repr_html_()
    assert "<table" in page
    assert "<b>away" not in page
    again = harness.run(SUITE, store=tmp_path / "b", models=["good"])
    assert "2 cells: 2 done before" in repr(again)
    fresh = harness.plan(SUITE, store=tmp_path / "b", models="good", fresh=True)
    assert fresh.counts() == {"run": 2}


def test_looking_at_a_run_tells_no_listener(toys: SimpleNamespace, tmp_path: Path) -> None:
    class Heard:
        made = 0

        @harness.hookimpl
        def leaderboard_made(self) -> None:
            self.made += 1

    heard = Heard()
    run = harness.run(SUITE, store=tmp_path / "store", listeners=[heard])
    run._repr_html_()
    assert heard.made == 0
    assert len(run.tables()) == heard.made > 0


def test_progress(toys: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    harness.run(SUITE, store=tmp_path / "store", progress=True)
    said = capsys.readouterr().err
    assert "mine: 4 cells to run, 2 skipped" in said
    assert said.count("[4/4]") == 1


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


def test_progress_is_for_those_who_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_watched(Screen())
    assert not is_watched(io.StringIO())
    python = ModuleType("IPython")
    monkeypatch.setitem(sys.modules, "IPython", python)
    for shell, watched in ((None, False), (SimpleNamespace(), False), (SimpleNamespace(kernel=1), True)):
        monkeypatch.setattr(python, "get_ipython", lambda shell=shell: shell, raising=False)
        assert is_watched(io.StringIO()) == watched


def test_an_interruption_keeps_finished_cells(toys: SimpleNamespace, tmp_path: Path) -> None:
    class Impatient:
        @harness.hookimpl
        def cell_finished(self, record: harness.Record) -> None:
            if record.status == "ok":
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="finished cells are kept, and the same call continues"):
        harness.run(SUITE, store=tmp_path / "store", listeners=[Impatient()])
    frame = harness.load("mine", store=tmp_path / "store")
    assert (frame["status"] == "ok").sum() == 1
    assert harness.plan(SUITE, store=tmp_path / "store").counts()["done"] == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"limit": 0}, "limit: expected at least 1, found 0"),
        ({"batch_size": 0}, "batch_size: expected at least 1, found 0"),
        ({"precision": "float8"}, "precision: expected one of float32, bfloat16, float16, found 'float8'"),
        ({"images": "slow"}, "images: expected one of exact, fast, found 'slow'"),
    ],
)
def test_values_that_make_no_sense(toys: SimpleNamespace, tmp_path: Path, options: Any, message: str) -> None:
    with pytest.raises(SuiteError, match=message):
        harness.run(SUITE, store=tmp_path / "store", **options)


def test_a_data_root_holds_for_the_call(
    toys: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    seen = []

    class Look:
        @harness.hookimpl
        def run_started(self) -> None:
            seen.append(os.environ.get("HARNESS_DATA_ROOT"))

    for before in (None, "/before"):
        monkeypatch.delenv("HARNESS_DATA_ROOT", raising=False)
        if before:
            monkeypatch.setenv("HARNESS_DATA_ROOT", before)
        harness.run(SUITE, store=tmp_path / "store", data_root=tmp_path, listeners=[Look()])
        assert os.environ.get("HARNESS_DATA_ROOT") == before
    assert seen == [str(tmp_path.resolve())] * 2


def test_importing_the_functions_loads_nothing_heavy() -> None:
    code = (
        "import sys, harness; [getattr(harness, n) for n in "
        "('run', 'plan', 'compare', 'report', 'plots', 'table', 'load', 'export', 'merge', 'check', 'info')]; "
        "print(sorted({'torch', 'pandas', 'matplotlib', 'pyarrow', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
