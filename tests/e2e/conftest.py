"""Third-party distributions, built and installed for the tests, and the command line run with them."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SOURCES = Path(__file__).parent / "third_party"

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def install(source: Path, target: Path) -> None:
    """Builds a distribution and installs it into a folder, as its user would, without a network."""
    if importlib.util.find_spec("pip"):
        tool = [sys.executable, "-m", "pip", "install", "--no-index", "--disable-pip-version-check"]
    elif uv := shutil.which("uv"):
        tool = [uv, "pip", "install", "--offline", "--python", sys.executable]
    else:
        pytest.fail("neither pip nor uv is here to install a distribution with; install the dev extra")
    command = [*tool, "-q", "--no-build-isolation", "--no-deps", "--target", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def environment(*folders: Path, **more: str) -> dict[str, str]:
    """The environment of a command that finds what is installed in these folders."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    path = os.pathsep.join([*map(str, folders), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**kept, "OMP_NUM_THREADS": "1", "PYTHONPATH": path, **more}


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders into which the distributions are installed, each on its own."""
    root = tmp_path_factory.mktemp("third-party")
    for name in ("acme_vision", "acme_broken", "acme_scenes"):
        # built from a copy: a build may write beside its sources
        shutil.copytree(SOURCES / name, root / "source" / name)
        install(root / "source" / name, root / name)
    return {
        "good": root / "acme_vision",
        "broken": root / "acme_broken",
        "scenes": root / "acme_scenes",
    }


@pytest.fixture
def installed(built: dict[str, Path]) -> dict[str, str]:
    """The environment of a command with the good distribution installed."""
    return environment(built["good"])


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    """Runs `harness` in a process of its own: `cli("list", folders=[…], NAME="value")`."""

    def run(
        *arguments: object, folders: list[Path] | None = None, **more: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "harness", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            cwd=tmp_path,
            env=environment(*(folders or []), HARNESS_CACHE=str(tmp_path / "cache"), **more),
        )

    return run
