"""A tracker whose package is missing says what to install, before anything runs."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from harness.errors import Unavailable
from harness.planning.suite import parse_suite
from harness.records.store import Store
from harness.running.runner import run


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
def test_one_line_says_what_to_install(
    talks: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda wanted, *rest: None if wanted == name else find(wanted, *rest)
    )
    with pytest.raises(Unavailable) as caught:
        run(parse_suite(talks), Store(tmp_path / "store"), device="cpu", listeners=[name])
    assert str(caught.value) == (
        f"--listen: listener '{name}': needs the package '{name}': pip install 'vision-harness[{name}]'"
    )
    assert not (tmp_path / "store").exists()


def test_nothing_happens_unless_it_is_asked_for(talks: dict[str, Any], tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    outcome = run(parse_suite(talks), Store(tmp_path / "store"), device="cpu")
    assert outcome.problems == []
    assert {p.name for p in set(tmp_path.iterdir()) - before} <= {"store", "cache"}
