"""Events of a run for listeners: specifications, and a caller that survives bad listeners."""

from __future__ import annotations

import logging
import os
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from harness.contract.declared import ask
from harness.discovery import registry, versions
from harness.discovery.decorated import make_instance
from harness.errors import PluginBroken, Unavailable, interrupts, reason_of
from harness.records.redaction import redact

if TYPE_CHECKING:
    from harness.contract.cells import Cell
    from harness.planning.plan import Plan
    from harness.records.record import Record
    from harness.records.store import Store

log = logging.getLogger("harness")

VARIABLE = "HARNESS_LISTEN"
"""The environment variable that requests installed listeners: references separated by blanks."""

hookspec = pluggy.HookspecMarker("harness")
hookimpl = pluggy.HookimplMarker("harness")
"""Marks a listener's methods; each takes any subset of its event's arguments."""


class Events:
    """The events; a listener implements those it needs."""

    @hookspec
    def run_started(self, plan: Plan, store: Store) -> None:
        """A plan is about to run."""

    @hookspec
    def cell_started(self, cell: Cell, position: int, total: int) -> None:
        """A cell is about to run, as number `position` of `total` (from 1)."""

    @hookspec
    def cell_progress(self, cell: Cell, done: int, total: int) -> None:
        """The running cell has done `done` of `total` samples or steps."""

    @hookspec
    def cell_work(self, cell: Cell, what: str) -> None:
        """The running cell begins work that is done once and may take long; an empty text ends it."""

    @hookspec
    def cell_lost(self, cell: Cell, reason: str) -> None:
        """The worker that ran a cell is gone; the cell is tried once more, or gets a record that says so."""

    @hookspec
    def cell_elsewhere(self, cell: Cell, holder: str) -> None:
        """Another run is at a cell; its record will count for this run, too."""

    @hookspec
    def cell_curve(self, cell: Cell, name: str, step: int, values: dict[str, float]) -> None:
        """A running training reports named values at a step."""

    @hookspec
    def cell_image(self, cell: Cell, name: str, step: int, path: Path) -> None:
        """A running training shows a picture; the next of that name replaces the PNG file at `path`."""

    @hookspec
    def cell_finished(self, cell: Cell, record: Record, workdir: Path | None) -> None:
        """A cell has its record on disk, whatever its status."""

    @hookspec
    def run_finished(self, plan: Plan, records: list[Record]) -> None:
        """All cells of the plan have been dealt with, or the run was interrupted."""

    @hookspec
    def leaderboard_made(self, suite: str, table: Any) -> None:
        """A leaderboard table was made from records."""


class Listeners:
    """The listeners of a run, called one by one; one that fails is reported once and then left out.

    An installed listener with `on_request = True` is called only if requested by name: as a text in `extra`
    (`tensorboard?folder=runs`), or in the environment variable HARNESS_LISTEN. Raises HarnessError for a
    requested one that can't listen.
    """

    def __init__(self, extra: Sequence[object] = (), installed: bool = True) -> None:
        self.manager = pluggy.PluginManager("harness")
        self.manager.add_hookspecs(Events)
        self.problems: list[str] = []
        named = [text for text in extra if isinstance(text, str)]
        given = [make_instance(listener) for listener in extra if not isinstance(listener, str)]
        wanted = [_load_requested(text, "--listen") for text in dict.fromkeys(named)]
        if installed:
            texts = os.environ.get(VARIABLE, "").split()
            wanted += [_load_requested(text, VARIABLE) for text in dict.fromkeys(texts) if text not in named]
        for plugin in registry.installed("hooks") if installed else []:
            try:
                loaded = registry.load(plugin)
                if misfit := versions.explain_misfit(plugin, loaded):
                    self._problem(misfit)
                elif not ask(loaded, "on_request"):
                    made = loaded() if isinstance(loaded, type) else loaded
                    self._add(made, f"{plugin.distribution}/{plugin.name}")
            except PluginBroken as error:
                self._problem(str(error))
            except (Exception, SystemExit) as error:  # a listener may raise anything; the run must continue
                self._problem(f"listener '{plugin.name}' of {plugin.distribution}: {reason_of(error)}")
        for listener in [*wanted, *given]:
            name = type(listener).__name__
            try:
                self._add(listener, name)
            except pluggy.PluginValidationError as error:
                self._problem(f"listener '{name}': {_one_line(error)}")

    def _add(self, listener: object, name: str) -> None:
        self.manager.register(listener, name=self.manager.get_name(listener) or f"{name}#{id(listener)}")
        try:
            self.manager.check_pending()
        except pluggy.PluginValidationError:  # it has an unknown event: it must not stay half registered
            self.manager.unregister(listener)
            raise

    def call(self, event: str, **arguments: Any) -> None:
        """Call every listener of an event."""
        for implementation in reversed(getattr(self.manager.hook, event).get_hookimpls()):
            try:
                implementation.function(*(arguments[name] for name in implementation.argnames))
            except BaseException as error:  # see above
                if interrupts(error):
                    raise
                name = implementation.plugin_name.partition("#")[0]
                log.debug("listener %s failed:\n%s", name, traceback.format_exc())
                self._problem(f"listener '{name}' failed at {event} and is left out: {reason_of(error)}")
                self.manager.unregister(implementation.plugin)

    def _problem(self, text: str) -> None:
        text = redact(text)
        self.problems.append(text)
        log.warning("%s", text)


def _load_requested(text: str, where: str) -> object:
    """Return the installed listener that a reference names, with its options."""
    from harness.discovery.parts import Resolver
    from harness.discovery.reference import parse_short

    part = Resolver().resolve("hooks", parse_short(text), where)
    if part.problem:
        raise PluginBroken(part.problem)
    if part.missing:
        raise Unavailable(f"{where}: listener '{part.plugin}': {part.missing}")
    listener: object = part.object
    return listener


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
