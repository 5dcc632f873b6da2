"""What is expected of a listener: it names events that there are, and survives every run."""

from __future__ import annotations

import contextlib
from functools import cached_property, wraps
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy

from harness.contract.declared import ask
from harness.running.hooks import Events, Listeners
from harness.testing import general, runs
from harness.testing.outcome import Check, NotChecked, Violation, described, expect
from harness.testing.toys import toy_suite


class ListenerSubject:
    """A listener to be checked."""

    def __init__(self, plugin: Any) -> None:
        self.plugin = plugin

    def needed(self) -> None:
        """Raises NotChecked when the listener says that it can't be used here."""
        reason = self.plugin.unavailable() if ask(self.plugin, "unavailable") is not None else None
        if reason:
            raise NotChecked(reason)

    @cached_property
    def problems(self) -> list[str]:
        """What went wrong in two runs in which cells end in every way; they are made once."""
        self.needed()
        return _runs_of(self.plugin)


def _runs_of(listener: Any) -> list[str]:
    """Two runs, in a folder of their own as working folder, and a leaderboard."""
    from harness.planning.suite import from_dict
    from harness.records.store import Store
    from harness.running.runner import run

    problems: list[str] = []
    with toy_suite() as content, runs.folder() as place, contextlib.chdir(place):
        suite = from_dict(content, "kit")
        for number in range(2):
            done = run(
                suite,
                Store(Path(place) / f"store-{number}"),
                device="cpu",
                executor="inline",
                cache=Path(place) / "cache",
                listeners=[listener],
                installed_listeners=False,
            )
            problems += done.problems
        events = Listeners([listener], installed=False)
        for table in done.tables():
            events.call("leaderboard_made", suite="kit", table=table)
        problems += events.problems
    return problems


def check_events(subject: ListenerSubject) -> None:
    """It listens to events that there are, with arguments that they have, and to at least one."""
    subject.needed()
    manager = pluggy.PluginManager("harness")
    manager.add_hookspecs(Events)
    known = ", ".join(name for name in vars(Events) if not name.startswith("_"))
    why = "Such a listener is left out of every run, with a warning."
    try:
        manager.register(subject.plugin)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise Violation(f"events and arguments that there are ({known})", described(error), why) from None
    heard = manager.get_hookcallers(subject.plugin) or []
    expect(
        bool(heard),
        f"at least one method marked with @harness.hookimpl, named after an event ({known})",
        "none",
        "It would never be called.",
    )


def check_runs(subject: ListenerSubject) -> None:
    """It survives runs in which cells end ok, fail, diverge, are skipped, run out of memory or give NaN."""
    problems = subject.problems
    expect(
        not problems,
        "a listener that raises nothing, whatever becomes of the cells, in the first run and the next",
        "; ".join(problems),
        "After its first exception a listener is left out of the rest of the run.",
    )


def _unless_module(check: Check) -> Check:
    @wraps(check)
    def wrapped(subject: ListenerSubject) -> None:
        if isinstance(subject.plugin, ModuleType):
            raise NotChecked("the listener is a module")
        check(subject)

    return wrapped


CHECKS: tuple[Check, ...] = (*map(_unless_module, general.CHECKS), check_events, check_runs)
