"""The documentation site builds without a warning, with every guide and every public name in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocstrings_handlers.python", reason="needs the extra docs")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "-f", ROOT / ".docs/mkdocs.yml", "-d", folder],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stderr, done.stderr
    return folder


def test_every_guide_is_a_page_in_the_navigation(site):
    home = (site / "index.html").read_text(encoding="utf-8")
    guides = [p.stem for room in ("harness", "plugins", "suites") for p in (ROOT / room).glob("guides/*.md")]
    assert guides
    for guide in guides:
        assert (site / "guides" / guide / "index.html").is_file()
        assert f"guides/{guide}/" in home, f"{guide} is not in the navigation"


@pytest.mark.parametrize("package", ["harness", "harness.testing"])
def test_every_public_name_is_in_the_reference(package, site):
    import importlib

    page = (site / "reference" / package / "index.html").read_text(encoding="utf-8")
    for name in importlib.import_module(package).__all__:
        assert f'.{name}"' in page, f"{package}.{name} is not in the reference"
