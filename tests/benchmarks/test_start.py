"""How long the command line takes to answer, beside an interpreter that does nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

NOTHING = [sys.executable, "-c", "pass"]


def command(*arguments: str) -> list[str]:
    """`harness ARGUMENTS`, as its script starts it."""
    return [sys.executable, "-c", "import sys; from harness.cli import main; sys.exit(main())", *arguments]


def timed(least: Callable[..., float], arguments: list[str], folder: str = "", rounds: int = 9) -> float:
    """Least wall time of a command with compiled modules."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | {"PYTHONPATH": folder}

    def work() -> None:
        done = subprocess.run(
            arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False, env=env
        )
        assert done.returncode == 0, done.stderr.decode()

    work()  # compiles
    return least(work, rounds)


@pytest.mark.parametrize("arguments", [["--help"], ["list"]], ids=["help", "list"])
def test_answers_at_once(
    benchmark: Any, measuring: bool, least: Callable[..., float], arguments: list[str]
) -> None:
    rounds = 9 if measuring else 1
    took = timed(least, command(*arguments), rounds=rounds)
    nothing = timed(least, NOTHING, rounds=rounds)
    benchmark.extra_info["seconds over python -c pass"] = took - nothing
    benchmark.pedantic(lambda: subprocess.run(command(*arguments), capture_output=True, check=True), rounds=3)
    if measuring:
        assert took - nothing < 0.15


def test_many_plugins(benchmark: Any, measuring: bool, least: Callable[..., float], tmp_path: Path) -> None:
    count = 500 if measuring else 50
    for n in range(count):  # each from a distribution of its own: the most files to look into
        info = tmp_path / f"plugin_{n}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: plugin-{n}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[harness.models]\nmodel-{n} = nowhere.{n}:Model\n")
    listing = command("list", "models")
    rounds = 9 if measuring else 1
    few, many = timed(least, listing, rounds=rounds), timed(least, listing, str(tmp_path), rounds)
    env = os.environ | {"PYTHONPATH": str(tmp_path)}
    shown = benchmark.pedantic(
        lambda: subprocess.run(listing, capture_output=True, text=True, check=True, env=env).stdout, rounds=3
    )
    assert all(f"  model-{n} " in shown for n in range(count))
    benchmark.extra_info["seconds for the plugins"] = many - few
    if measuring:
        assert many - few < 0.3
