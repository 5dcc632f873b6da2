"""One package of each kind, as `harness new` writes it: it installs, passes every check, and shows up."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.cli import main
from harness.discovery import registry
from harness.scaffold.names import GROUPS, LONGEST

pytestmark = pytest.mark.timeout(1800)  # a busy machine takes its time over reading torch's types

ROOT = Path(__file__).parents[2]
KINDS = tuple(GROUPS)

CHECKS = """
import contextlib, io, json, sys
from pathlib import Path
import pytest
from harness.cli import main

packages, kinds = Path(sys.argv[1]), json.loads(sys.argv[2])
told = {}

def call(name, *arguments):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        status = main(list(map(str, arguments)))
    told[name] = [int(status), out.getvalue() or err.getvalue()]

call("list", "list", "--json")
for kind in kinds:
    call(f"info {kind}", "info", f"my-{kind}", "--json")
    if kind not in ("suite", "importer", "published"):
        call(f"plan {kind}", "plan", packages / f"my-{kind}" / "try.toml", "--json")
call("plan suite", "plan", "my-suite", "--json")
call("import", "import", "my-importer", packages / "my-importer" / "example.csv", "--store", "store")
call("table", "table", "my-importer", "--store", "store", "--format", "csv")
for kind in kinds:
    call(f"check {kind}", "check", f"my-{kind}", "--json")
out = io.StringIO()
with contextlib.redirect_stdout(out):
    plugins = ["-p", "no:cacheprovider", "-p", "no:benchmark", "-q", "-rs", "--import-mode=importlib"]
    status = pytest.main([*plugins, f"--rootdir={packages}", *(str(packages / f"my-{k}" / "tests") for k in kinds)])
told["pytest"] = [int(status), out.getvalue()]
print("\\n" + json.dumps(told))
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package of each kind, named `my-<kind>`, nothing edited."""
    folder = tmp_path_factory.mktemp("new")
    for kind in KINDS:
        assert main(["new", kind, f"my-{kind}", "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def told(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    """Status and output of each command, run with all packages installed."""
    site, place = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("place")
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--disable-pip-version-check"]
    sources = [str(packages / f"my-{kind}") for kind in KINDS]
    done(*install, "--no-build-isolation", "--no-deps", "--target", str(site), *sources)
    environment = {**os.environ, "PYTHONPATH": str(site), "HARNESS_CACHE": str(place / "cache")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    answer = done(sys.executable, "-c", CHECKS, str(packages), json.dumps(KINDS), env=environment, cwd=place)
    return {k: (status, out) for k, (status, out) in json.loads(answer.splitlines()[-1]).items()}


def done(*command: str, **how: object) -> str:
    """The output of a command that must succeed."""
    ran = subprocess.run(command, capture_output=True, text=True, check=False, **how)  # type: ignore[call-overload]
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return str(ran.stdout)


def test_their_own_tests_pass_and_none_is_left_out(told: dict[str, tuple[int, str]]) -> None:
    status, text = told["pytest"]
    assert status == 0, text
    assert " passed" in text


@pytest.mark.parametrize("kind", KINDS)
def test_harness_check_finds_nothing(told: dict[str, tuple[int, str]], kind: str) -> None:
    status, text = told[f"check {kind}"]
    assert status == 0, text
    (verdict,) = json.loads(text)
    assert verdict["name"].endswith(f"my-{kind}")
    assert sum(f["status"] == "holds" for f in verdict["checks"]) >= 3


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_listed_described_and_can_be_planned(told: dict[str, tuple[int, str]], kind: str) -> None:
    listed = {p["name"] for p in json.loads(told["list"][1])[GROUPS[kind]]}
    assert f"my-{kind}" in listed
    (facts,) = json.loads(told[f"info {kind}"][1])
    assert facts["distribution"] == f"my-{kind}"
    assert facts["documentation"].strip()
    if kind == "importer":
        assert told["import"][0] == 0, told["import"][1]
        assert "2 records imported" in told["import"][1]
        assert "0.93" in told["table"][1] or "93" in told["table"][1]
        return
    if kind == "published":
        assert facts["title"] == "2 models on 2 data sets"
        return
    status, text = told[f"plan {kind}"]
    assert status == 0, text
    states = {cell["state"] for suite in json.loads(text) for cell in suite["cells"]}
    assert states == {"run"}


def test_every_kind_of_plugin_can_be_written() -> None:
    assert set(GROUPS.values()) == set(registry.KINDS)


def test_ruff_has_nothing_to_say(packages: Path) -> None:
    done(sys.executable, "-m", "ruff", "check", "--no-cache", str(packages))
    done(sys.executable, "-m", "ruff", "format", "--no-cache", "--check", str(packages))


@pytest.mark.parametrize("kind", KINDS)
def test_neither_for_the_longest_name(tmp_path: Path, kind: str) -> None:
    name = (f"{kind}-" + "abcdefg-" * 8)[: LONGEST - 1] + "z"
    assert main(["new", kind, name, "--out", str(tmp_path)]) == 0
    done(sys.executable, "-m", "ruff", "check", "--no-cache", str(tmp_path))
    done(sys.executable, "-m", "ruff", "format", "--no-cache", "--check", str(tmp_path))


def test_mypy_strict_has_nothing_to_say(packages: Path) -> None:
    """One run for all; torch's types are read once and kept beside those of the harness's own check."""
    modules = [str(packages / f"my-{kind}" / f"my_{kind}") for kind in KINDS]
    tests = [str(packages / f"my-{kind}" / "tests" / f"test_my_{kind}.py") for kind in KINDS]
    where = os.pathsep.join(str(packages / f"my-{kind}") for kind in KINDS)
    cache = ROOT / ".mypy_cache" / "new"
    done(
        sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(cache), *modules, *tests,
        cwd=packages / "my-model", env={**os.environ, "MYPYPATH": where},
    )  # fmt: skip
