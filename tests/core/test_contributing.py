"""What CONTRIBUTING.md tells to do can be done: its paths, its make targets, its hooks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text("utf-8")


def test_what_it_names_is_there() -> None:
    paths = {p.rstrip("/") for p in re.findall(r"`((?:[\w.-]+/)+[\w.-]*|[A-Z]\w+\.md|\w+\.toml)`", TEXT)}
    assert len(paths) > 6
    assert [p for p in sorted(paths) if not (ROOT / p).exists()] == []


def test_its_make_targets_are_there() -> None:
    named = {t for line in re.findall(r"^make ([a-z ]+?)(?:  |$)", TEXT, re.MULTILINE) for t in line.split()}
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    assert {"setup", "test", "lint", "types", "quickstart"} <= named <= targets


def test_its_hooks_make_the_checks_of_make() -> None:
    yaml = pytest.importorskip("yaml")
    (repo,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
    assert repo["repo"] == "local"
    entries = [hook["entry"].replace(".venv/bin/python -m ", "") for hook in repo["hooks"]]
    assert all(hook["entry"].startswith(".venv/bin/python -m ") for hook in repo["hooks"])
    assert [" ".join(e.split()[:2]) for e in entries] == ["ruff check", "ruff format", "mypy"]
