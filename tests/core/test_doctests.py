"""The examples in docstrings give what they say."""

from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOPS = {"harness": ROOT, "plugins": ROOT / "plugins", "suites": ROOT / "suites"}
FILES = [
    (path, base)
    for top, base in TOPS.items()
    for path in sorted((ROOT / top).rglob("*.py"))
    if ">>> " in path.read_text("utf-8")
]


@pytest.mark.parametrize(("path", "base"), FILES, ids=[str(p.relative_to(ROOT)) for p, _ in FILES])
def test_examples_hold(path: Path, base: Path) -> None:
    name = ".".join(path.relative_to(base).with_suffix("").parts).removesuffix(".__init__")
    failed, tried = doctest.testmod(import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert tried or "doctest: +SKIP" in path.read_text("utf-8")
    assert not failed
