"""What plugins write never ends up in an answer, and one for which the user waits is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.cli import main
from harness.discovery import registry, waiting

NOISE = '''
import atexit, ctypes, os, subprocess, sys, time


def speak(when):
    print("noise: print", when)
    sys.__stdout__.write(f"noise: __stdout__ {when}\\n")
    os.write(1, f"noise: descriptor {when}\\n".encode())
    subprocess.run([sys.executable, "-c", f"print('noise: child {when}')"], check=True)
    if sys.platform != "win32":
        ctypes.CDLL(None).printf(f"noise: C {when}\\n".encode())


speak("import")
if "pytest" not in sys.modules:
    atexit.register(speak, "exit")


class Noisy:
    """A metric that writes to stdout at every opportunity."""

    higher_is_better = True

    def __init__(self):
        speak("construction")

    def fingerprint(self):
        speak("fingerprint")
        return "1"

    def __call__(self, predictions):
        speak("call")
        return 0.5


class NoisySummary:
    """A summary that does the same."""

    unit, higher_is_better = None, None

    def __call__(self, records):
        speak("summary")
        return records[["model"]].assign(metric="one", value=1.0)
'''
SLOW = '''
import time
time.sleep(0.7)


class Slow:
    """A metric of a module that takes its time."""

    higher_is_better = True

    def __init__(self):
        time.sleep(0.7)

    def __call__(self, predictions):
        return 0.5
'''
SUITE = """
name = "noise"
protocol = "classification"
models = [{ plugin = "tiny-vit", trained_on = "digits", steps = 2 }]
datasets = ["digits"]
metrics = ["noisy"]
[[tables]]
name = "noise"
summary = "noisy"
columns = ["metric"]
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A distribution with a noisy and a slow plugin."""
    site = tmp_path_factory.mktemp("site")
    (site / "noisy_plugins.py").write_text(NOISE)
    (site / "slow_plugins.py").write_text(SLOW)
    info = site / "acme-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text(
        "[harness.metrics]\nnoisy = noisy_plugins:Noisy\nslow = slow_plugins:Slow\n"
        "[harness.summaries]\nnoisy = noisy_plugins:NoisySummary\n"
    )
    (site / "noise.toml").write_text(SUITE)
    return site


@pytest.fixture
def slow(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The slow plugin, not imported yet, and little patience."""
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr(waiting, "PATIENCE", 0.2)
    registry.refresh()
    yield
    sys.modules.pop("slow_plugins", None)
    registry.refresh()


def noise_in(text: str) -> set[str]:
    return {line for line in text.splitlines() if line.startswith("noise: ") and "cells" not in line}


def test_an_answer_holds_nothing_else_up_to_the_end_of_the_process(site: Path) -> None:
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from harness.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, str(site), "info", "noisy", "--kind", "metric", "--json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    (facts,) = json.loads(done.stdout)
    assert facts["name"] == "noisy"
    ways = ("print", "__stdout__", "descriptor", "child", "C")
    assert noise_in(done.stderr) == {f"noise: {way} {when}" for way in ways for when in ("import", "exit")}


def test_tables_and_plans_hold_nothing_else(
    site: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.syspath_prepend(str(site))
    registry.refresh()
    suite, store = str(site / "noise.toml"), ["--store", str(tmp_path)]
    answers = {}
    for command in (
        ["plan", suite],
        ["run", suite, "--quiet", "--device", "cpu", "--limit", "20", "--format", "csv"],
        ["table", "noise", "--format", "csv"],
    ):
        assert main([*command, *store]) == 0
        answers[command[0]] = capfd.readouterr()
    registry.refresh()
    for out, _ in answers.values():
        assert noise_in(out) == set()
    for command, when in {"plan": "fingerprint", "run": "call", "table": "summary"}.items():
        heard = noise_in(answers[command].err)
        assert {f"noise: descriptor {when}", f"noise: child {when}", f"noise: print {when}"} <= heard
    assert "tiny-vit" in answers["table"].out
    assert answers["run"].out.strip() == answers["table"].out.strip()


def test_the_output_is_given_back(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "top1", "--json"]) == 0
    os.write(1, b"after\n")
    assert json.loads(capfd.readouterr().out.removesuffix("after\n"))[0]["name"] == "top1"


def test_a_slow_plugin_is_named_while_one_waits(slow: None, capsys: pytest.CaptureFixture[str]) -> None:
    before = threading.active_count()
    assert main(["check", "slow", "--json"]) in (0, 1)
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert any(
        line.startswith("harness: still importing slow_plugins (metric 'slow' of acme 2.0), ")
        for line in lines
    )
    assert any(line.startswith("harness: still constructing metric 'slow' of acme 2.0, ") for line in lines)
    assert json.loads(out)[0]["name"] == "slow"
    assert threading.active_count() == before


def test_a_quick_one_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "top1"]) == 0
    assert "still" not in capsys.readouterr().err


def test_the_outer_work_is_timed_from_when_the_inner_one_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(waiting.time, "monotonic", lambda: now[0])
    with waiting.doing("outer"):
        now[0] = 4.0
        with waiting.doing("inner"):
            now[0] = 8.0
        (task,) = waiting._tasks
        assert task.began == 8.0
    assert waiting._tasks == []
