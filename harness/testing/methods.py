"""Checks of a method's or protocol's runs: reproducible results, kills that cost nothing, an untouched model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.discovery.parts import Resolver
from harness.discovery.reference import parse_references
from harness.testing import grids
from harness.testing.cell_runs import (
    CellResult,
    Killed,
    find_difference,
    require_ok,
    run_cell,
    temporary_folder,
)
from harness.testing.verdicts import NotChecked, Violation, expect


class RunSubject:
    """A protocol or a method under test, in a small grid; `kind` is the plugin's."""

    def __init__(self, kind: str, given: grids.Given, cell: Mapping[str, Any] | None = None) -> None:
        self.kind, self.given, self.cell = kind, given, cell
        self._content: Mapping[str, Any] | None = None

    @cached_property
    def plugin(self) -> Any:
        """The plugin's light object."""
        if not isinstance(self.given, str | Mapping):
            return self.given
        where = "the plugin under test"
        reference = parse_references(self.given, where)[0]
        if not reference.options and reference.value is None:
            smallest = grids.smallest_options(grids.find_factory(self.kind, self.given))
            reference = parse_references({"plugin": reference.plugin, "options": smallest}, where)[0]
        part = Resolver().resolve(self.kind, reference, where)
        if part.problem:
            raise Violation("a plugin that can be built", part.problem, "All else needs it.")
        return part.object

    @contextmanager
    def trial(self) -> Iterator[grids.PlannedGrid]:
        """The grid with the plugin in it."""
        with grids.refer_to(self.kind, self.given) as reference:
            if self._content is None:
                find = grids.find_method_grid if self.kind == "methods" else grids.find_protocol_grid
                self._content = find(self.given, reference, self.cell)
            yield grids.PlannedGrid(self._content)

    def run(self, seed: int = 0) -> CellResult:
        """Run the cell in a new folder, and note its model before and after; it must end ok."""
        with self.trial() as trial, temporary_folder() as place:
            return require_ok(run_cell(trial, Path(place), seed=seed))

    @cached_property
    def _undisturbed(self) -> CellResult | Exception:
        try:
            return self.run()
        except Exception as error:  # kept, so that a cell that fails is not run again for each check
            return error

    @property
    def undisturbed(self) -> CellResult:
        """The result of a run without a kill, made once."""
        if isinstance(self._undisturbed, Exception):
            raise self._undisturbed
        return self._undisturbed

    @cached_property
    def stops(self) -> list[int]:
        """The events at which a cell is killed: half-way; for a protocol, which has the checkpoints, early and late."""
        shares = (1 / 2,) if self.kind == "methods" else (1 / 3, 2 / 3)
        return sorted({max(1, round(self.undisturbed.events * share)) for share in shares})

    @cached_property
    def continued(self) -> list[str | None]:
        """How the result of a cell that is killed at each stop and run again differs; None if it does not.

        Raises Violation if the plugin goes on after the kill, or its cell does not end ok.
        """
        found = []
        for stop in self.stops:
            with self.trial() as trial, temporary_folder() as place:
                try:
                    run_cell(trial, Path(place), stop)
                except Killed:
                    again = require_ok(run_cell(trial, Path(place)))
                else:
                    raise Violation(
                        "an interrupt to go through the plugin",
                        f"that the cell went on after being interrupted at step {stop}",
                        "Ctrl-C would not stop it: catch Exception, never BaseException.",
                    )
            found.append(find_difference(self.undisturbed, again))
        return found


def check_runs(subject: RunSubject) -> None:
    """A small cell ends ok, with finite numbers and progress that makes sense."""
    result = subject.undisturbed
    metrics = result.record.metrics
    bad = [name for name, value in metrics.items() if not math.isfinite(value)]
    expected = "the cell to return metrics, all of them finite"
    expect(
        bool(metrics) and not bad,
        expected,
        ", ".join(bad) or "none",
        "Tables show them; NaN can't be ranked.",
    )
    wrong = [p for p in result.progress if not 0 <= p[0] <= p[1]]
    expected = "job.advance(done, total) with done from 0 to total"
    expect(not wrong, expected, wrong[0] if wrong else "", "The progress display shows it.")
    ids = result.samples.get("id", [])
    expect(
        len(set(ids)) == len(ids),
        "one row per test sample, each with another id",
        f"{len(ids) - len(set(ids))} ids more than once",
        "Paired tests match two models' predictions by the ids.",
    )


def check_same_seed(subject: RunSubject) -> None:
    """Run twice from nothing, a cell has the same numbers."""
    if _continues_alike(subject):
        return  # a run killed and begun again drew everything a second time already
    found = find_difference(subject.undisturbed, subject.run())
    expect(
        found is None,
        "the same result from the same seed (draw from job.seed_for(…) or job.cell.seed)",
        found,
        "Records of one id would have other numbers in each run.",
    )


def check_continues_after_a_kill(subject: RunSubject) -> None:
    """Killed on the way and run again, a cell ends as if undisturbed."""
    whole = subject.undisturbed
    if not whole.events:
        raise NotChecked(
            "the cell reports no progress (job.advance, job.report), so there is no step to kill it at"
        )
    for stop, found in zip(subject.stops, subject.continued, strict=True):
        expect(
            found is None,
            f"the undisturbed result after a kill at step {stop} of {whole.events}",
            found,
            "What a checkpoint in job.workdir leaves out (the optimiser, the order of samples, random "
            "generators, the step) makes the result depend on when the machine was switched off.",
        )


def _continues_alike(subject: RunSubject) -> bool:
    """Return whether a cell can be killed, and then ends as if undisturbed."""
    try:
        return subject.undisturbed.events > 0 and not any(subject.continued)
    except (Violation, NotChecked):
        return False


def check_leaves_the_model(subject: RunSubject) -> None:
    """The shared model is afterwards what it was, and what is frozen stays frozen."""
    states = subject.undisturbed.model
    if states is None:
        raise NotChecked("the cell has no model that exposes its module, or may change its model")
    before, after = states
    changed = [what for what in before if before[what] != after[what]]
    expect(
        not changed,
        "the model's module as it was before the cell (work on a copy, take hooks off again)",
        f"other {', '.join(changed)}",
        "The next cells get the same loaded model: their numbers would depend on what ran before.",
    )
