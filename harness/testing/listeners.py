"""Checks of a listener: it names existing events, and survives every run."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pluggy

from harness.running.hooks import Events, Listeners
from harness.testing.cell_runs import temporary_folder
from harness.testing.toys import run_toys, toy_suite
from harness.testing.verdicts import Violation, describe_error, expect, require_available


@dataclass
class ListenerSubject:
    """A listener under test: an instance, or a module."""

    plugin: Any


def check_events(subject: ListenerSubject) -> None:
    """It listens to at least one event, and only to existing ones with arguments that they have."""
    require_available(subject.plugin)
    manager = pluggy.PluginManager("harness")
    manager.add_hookspecs(Events)
    known = ", ".join(name for name in vars(Events) if not name.startswith("_"))
    try:
        manager.register(subject.plugin)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        expected, why = (
            f"existing events and arguments ({known})",
            "Runs leave such a listener out, with a warning.",
        )
        raise Violation(expected, describe_error(error), why) from None
    expected = f"at least one method marked with @harness.hookimpl, named after an event ({known})"
    expect(bool(manager.get_hookcallers(subject.plugin)), expected, "none", "It would never be called.")


def check_runs(subject: ListenerSubject) -> None:
    """It survives runs in which cells end ok, fail, diverge, are skipped, run out of memory or return NaN."""
    require_available(subject.plugin)
    problems: list[str] = []
    with toy_suite() as content, temporary_folder() as place, contextlib.chdir(place):
        for name in ("store-0", "store-1"):
            done = run_toys(content, Path(place), name, [subject.plugin])
            problems += done.problems
        events = Listeners([subject.plugin], installed=False)
        for table in done.tables():
            events.call("leaderboard_made", suite="kit", table=table)
        problems += events.problems
    expect(
        not problems,
        "a listener that raises nothing, whatever becomes of the cells, in the first run and the next",
        "; ".join(problems),
        "After its first exception a listener is left out of the rest of the run.",
    )
