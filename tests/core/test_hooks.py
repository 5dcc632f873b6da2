"""Listeners: those that fail are left out, the others go on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.running.hooks import Events, Listeners, hookimpl, hookspec


class Good:
    def __init__(self) -> None:
        self.heard: list[Any] = []

    @hookimpl
    def cell_started(self, position: int) -> None:
        self.heard.append(position)

    @hookimpl
    def run_finished(self) -> None:
        self.heard.append("end")

    @hookimpl
    def cell_progress(self, total: int, done: int) -> None:
        self.heard.append((done, total))


class Raises:
    def __init__(self) -> None:
        self.called = 0

    @hookimpl
    def cell_started(self) -> None:
        self.called += 1
        raise KeyError("deliberate")


def started(listeners: Listeners, position: int) -> None:
    listeners.call("cell_started", cell=None, position=position, total=9)


def test_listeners_take_any_subset_of_arguments_in_any_order() -> None:
    good = Good()
    listeners = Listeners([good], installed=False)
    started(listeners, 1)
    listeners.call("cell_progress", cell=None, done=3, total=8)
    listeners.call("run_finished", plan=None, records=[])
    listeners.call("run_started", plan=None, store=None)
    assert good.heard == [1, (3, 8), "end"]
    assert listeners.problems == []


@pytest.mark.parametrize("first", [True, False])
def test_one_that_raises_is_left_out_and_reported_once(first: bool) -> None:
    bad, good = Raises(), Good()
    listeners = Listeners([bad, good] if first else [good, bad], installed=False)
    started(listeners, 1)
    started(listeners, 2)
    assert (bad.called, good.heard) == (1, [1, 2])
    assert listeners.problems == [
        "listener 'Raises' failed at cell_started and is left out: KeyError: 'deliberate'"
    ]


class UnknownEvent:
    @hookimpl
    def cell_exploded(self) -> None: ...


class UnknownArgument:
    @hookimpl
    def cell_started(self, colour: str) -> None: ...


@pytest.mark.parametrize("bad", [UnknownEvent, UnknownArgument])
def test_one_written_for_another_version_does_not_shut_out_the_others(bad: type) -> None:
    first, last = Good(), Good()
    listeners = Listeners([first, bad(), last], installed=False)
    started(listeners, 1)
    assert first.heard == last.heard == [1]
    (problem,) = listeners.problems
    assert bad.__name__ in problem


def test_installed_ones_that_can_not_be_made_are_problems(install: Callable[..., Path]) -> None:
    code = (
        "from harness import hookimpl\nheard = []\n"
        "class Fine:\n    @hookimpl\n    def cell_started(self, position): heard.append(position)\n"
        "class Needs:\n    def __init__(self, token): ...\n"
        "class Later:\n    @hookimpl\n    def not_an_event(self): ...\n"
    )
    points = {
        "fine": "hook_code:Fine",
        "needs": "hook_code:Needs",
        "later": "hook_code:Later",
        "absent": "no_module:X",
    }
    install("tracker", {"harness.hooks": points}, {"hook_code": code})
    listeners = Listeners()
    started(listeners, 4)
    import hook_code  # type: ignore[import-not-found]

    assert hook_code.heard == [4]
    assert len(listeners.problems) == 3
    assert any("'absent' of tracker 1.0 can't be imported" in p for p in listeners.problems)
    assert any("'needs' of tracker: TypeError" in p for p in listeners.problems)
    assert Listeners(installed=False).problems == []


def test_every_event_is_documented() -> None:
    events = [f for n, f in vars(Events).items() if not n.startswith("_")]
    assert len(events) == 11
    assert all(f.__doc__ and hasattr(f, f"{hookspec.project_name}_spec") for f in events)
