"""Whatever the core asks of a plugin stands in one table, which the guide for plugin authors shows.

After a change of the table: `python tests/core/test_declared.py --write`.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.contract.declared import QUESTIONS, ask

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "plugins" / "guides" / "contract.md"
HEAD = "| of | asked for | default | what it means |\n|---|---|---|---|\n"

OF_OTHERS = {
    "discovery/abilities.py": {"harness_impl"},
    "cli/common.py": {"quiet"},  # of the command line's arguments
    "discovery/content_reading.py": {"O_BINARY", "O_NONBLOCK"},
    "inference/evaluate.py": {"detach"},
    "running/executors/channel.py": {"item"},
    "inference/images.py": {"data", "tile"},
    "leaderboard/summary_table.py": {"columns"},
    "learning/pipeline.py": {"many"},
    "testing/conformance.py": {"callspec"},
    "testing/displays.py": {"columns"},
    "inference/trees.py": {"to"},
    "running/progress.py": {"get_ipython", "kernel"},
}
"""Attributes by file that the core asks of things that are no plugins, with getattr or hasattr."""


def calls() -> list[tuple[str, int, str, str]]:
    """Every `getattr`, `hasattr` and `ask` with a name written out: file, line, function, name."""
    found = []
    for file in sorted((ROOT / "harness").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in ("getattr", "hasattr", "ask")
                and isinstance(name := node.args[1], ast.Constant)
            ):
                where = file.relative_to(ROOT / "harness").as_posix()
                found.append((where, node.lineno, node.func.id, str(name.value)))
    return found


def test_what_the_core_asks_of_plugins_is_declared() -> None:
    declared = {question.name for question in QUESTIONS}
    wrong = [
        f"{file}:{line}: {function}(…, '{name}'): declare it in harness/contract/declared.py and ask with `ask`"
        for file, line, function, name in calls()
        if (name not in declared)
        if function == "ask" or not (name.startswith("_") or name in OF_OTHERS.get(file, ()))
    ]
    assert not wrong, "\n".join(wrong)


def test_declared_names_are_asked_in_one_way_and_all_are_asked() -> None:
    declared = {question.name for question in QUESTIONS}
    past = [f"{f}:{line}" for f, line, function, name in calls() if function != "ask" and name in declared]
    assert not past, past
    text = "\n".join(
        p.read_text("utf-8") for p in (ROOT / "harness").rglob("*.py") if p.name != "declared.py"
    )
    assert not [name for name in declared if f'"{name}"' not in text]


def test_a_name_has_one_default() -> None:
    defaults: dict[str, list[Any]] = {}
    for question in QUESTIONS:
        defaults.setdefault(question.name, []).append(question.default)
    assert all(all(d == found[0] for d in found) for found in defaults.values())
    with pytest.raises(KeyError):
        ask(object(), "colour")


def table() -> str:
    """The table as the guide shows it."""
    rows = []
    for of, name, default, meaning in QUESTIONS:
        shown = "absent" if default is None else f"`{default!r}`".replace("'", '"')
        rows.append(f"| {of} | `{name}` | {shown} | {meaning.replace('|', '/')} |\n")
    return HEAD + "".join(rows)


def test_the_guide_shows_the_table() -> None:
    assert table() in GUIDE.read_text("utf-8"), "run `python tests/core/test_declared.py --write`"


if __name__ == "__main__" and "--write" in sys.argv:
    before, _, rest = GUIDE.read_text("utf-8").partition(HEAD)
    _, _, after = rest.partition("\n\n")
    GUIDE.write_text(before + table() + (f"\n{after}" if after else ""), "utf-8")
