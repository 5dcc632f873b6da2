"""Installed listeners that listen only when they are asked for, by a reference with options."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from harness.discovery import registry
from harness.errors import HarnessError, Unavailable
from harness.running.hooks import VARIABLE, Listeners, hookimpl

CODE = """
from harness import hookimpl

made = []

class Always:
    def __init__(self): made.append("always")

class Asked:
    on_request = True
    def __init__(self, folder: str = "runs", level: int = 1):
        self.heard = []
        made.append(("asked", folder, level))
    @hookimpl
    def run_finished(self, records): made.append(len(records))

class Away:
    on_request = True
    def unavailable(self): return "needs the package 'acme': pip install acme"

class Tomorrow:
    harness_api = 99
"""


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the listeners of a distribution installed for this test have done."""
    info = tmp_path / "site" / "asking-2.5.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: asking\nVersion: 2.5\n")
    names = {"always": "Always", "asked": "Asked", "away": "Away", "tomorrow": "Tomorrow"}
    lines = "\n".join(f"{name} = asking_code:{cls}" for name, cls in names.items())
    (info / "entry_points.txt").write_text(f"[harness.hooks]\n{lines}\n")
    (tmp_path / "site" / "asking_code.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.delenv(VARIABLE, raising=False)
    registry.refresh()
    import asking_code  # type: ignore[import-not-found]

    asking_code.made.clear()
    return asking_code.made  # type: ignore[no-any-return]


def test_nobody_asks(made: list[Any]) -> None:
    listeners = Listeners()
    listeners.call("run_finished", plan=None, records=[1])
    assert made == ["always"]


@pytest.mark.parametrize("how", ["argument", "variable", "both"])
def test_asked_for_once_whichever_way(made: list[Any], monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    reference = "asked?folder=there&level=3"
    if how != "argument":
        monkeypatch.setenv(VARIABLE, f" {reference} ")
    listeners = Listeners([reference] if how != "variable" else [])
    listeners.call("run_finished", plan=None, records=[1, 2])
    assert sorted(map(str, made)) == ["('asked', 'there', 3)", "2", "always"]


@pytest.mark.parametrize(
    ("reference", "text"),
    [
        ("aksed", "--listen: no listener plugin named 'aksed'; did you mean 'asked'?"),
        ("asked?levle=1", "--listen: listener 'asked': unknown option 'levle'; did you mean 'level'?"),
        ("asked?level=high", "--listen: listener 'asked': option 'level' must be int, found 'high'"),
        ("away", "--listen: listener 'away': needs the package 'acme': pip install acme"),
        ("tomorrow", "listener 'tomorrow' of asking 2.5 is written for plugin API 99"),
    ],
)
def test_one_that_can_not_listen_stops_the_run_at_its_start(
    made: list[Any], reference: str, text: str
) -> None:
    with pytest.raises(HarnessError) as caught:
        Listeners([reference])
    assert str(caught.value).startswith(text)


def test_the_variable_is_named_where_it_is_wrong(made: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "away")
    with pytest.raises(Unavailable, match=f"^{VARIABLE}: listener 'away'"):
        Listeners()
    assert Listeners(installed=False).problems == []


def test_an_installed_one_for_another_contract_is_a_problem_not_an_end(made: list[Any]) -> None:
    (problem,) = Listeners().problems
    assert "listener 'tomorrow' of asking 2.5 is written for plugin API 99" in problem


def cell(name: str) -> Any:
    return SimpleNamespace(
        id=name, shown=name, model=None, axes={}, coordinates={"experiment": "", "seed": 0}
    )


def test_the_live_display_counts_cells_that_run_at_once(store_like: Callable[..., Any]) -> None:
    from harness.running.live_display import LiveDisplay

    live = LiveDisplay(StringIO())
    live.run_started(**store_like())
    record = SimpleNamespace(
        remarks=[], status="ok", whole=True, cost={"seconds": 1.0}, metrics={}, units={}, provenance={}
    )

    def shown() -> tuple[str, float, float | None]:
        task = next(t for t in live.progress.tasks if t.id == live.cell_task)
        return task.description.strip(), task.completed, task.total

    live.cell_started(cell("a"))
    live.cell_progress(cell("a"), 3, 10)
    assert shown() == ("a", 3, 10)
    live.cell_started(cell("b"))
    live.cell_progress(cell("b"), 1, 20)
    assert shown() == ("2 cells", 4, 30)
    live.cell_finished(cell("a"), record)  # type: ignore[arg-type]
    live.cell_progress(cell("b"), 6, 20)
    assert shown()[1:] == (6, 20)
    live.run_finished()


@pytest.fixture
def store_like(tmp_path: Path) -> Callable[..., Any]:
    """The arguments of `run_started` for two cells."""

    class Plan:
        suite = SimpleNamespace(name="s")
        remarks: ClassVar[list[str]] = []

        def __iter__(self) -> Iterator[Any]:
            return iter([SimpleNamespace(state="run", cell=cell(name)) for name in "ab"])

    return lambda: {"plan": Plan(), "store": SimpleNamespace(path=tmp_path)}


def test_a_listener_marks_its_methods() -> None:
    class Plain:
        @hookimpl
        def run_finished(self, records: list[Any]) -> None:
            records.append("heard")

    heard: list[Any] = []
    Listeners([Plain()], installed=False).call("run_finished", plan=None, records=heard)
    assert heard == ["heard"]


def test_leaderboards_are_told_when_they_are_made(talks: dict[str, Any], tmp_path: Path) -> None:
    from harness.planning.suite import parse_suite
    from harness.records.store import Store
    from harness.running.runner import run

    class Shows:
        heard: list[Any] = []  # noqa: RUF012

        @hookimpl
        def leaderboard_made(self, suite: str, table: Any) -> None:
            self.heard.append((suite, table.name, len(table.rows)))

    tables = [{"name": "scores", "rows": ["seed"], "columns": ["metric"], "values": ["score"]}]
    outcome = run(
        parse_suite({**talks, "tables": tables}), Store(tmp_path / "store"), device="cpu", listeners=[Shows()],
        installed_listeners=False,
    )  # fmt: skip
    assert Shows.heard == []
    outcome.tables()
    assert Shows.heard == [("talk", "scores", 2)]
