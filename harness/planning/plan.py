"""The plan of a suite: all cells of its grids, in running order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.contract.cells import Cell, PlannedCell
from harness.contract.remarks import SAME, relabel_remarks
from harness.discovery import registry
from harness.discovery.parts import Resolver
from harness.errors import SuiteError, did_you_mean
from harness.leaderboard.checking import check_layouts
from harness.planning.defaults import check_defaults
from harness.planning.editions import MARK
from harness.planning.expansion import Choice, Expansion
from harness.planning.labels import Labels
from harness.planning.suite import Suite

__all__ = ["Cell", "Choice", "Plan", "PlannedCell", "make_plan"]


@dataclass
class Plan:
    """All cells of a suite in running order."""

    suite: Suite
    cells: list[PlannedCell] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    """Possible typos in its tables and plots."""

    def __iter__(self) -> Iterator[PlannedCell]:
        return iter(self.cells)

    def __len__(self) -> int:
        return len(self.cells)

    @property
    def remarks(self) -> list[str]:
        """What is assumed, left out, cut or reordered in any cell, as far as known before the run, and doubts."""
        return list(dict.fromkeys([*self.doubts, *(t for planned in self for t in planned.cell.remarks)]))

    def counts(self) -> dict[str, int]:
        """Return the number of cells in each state."""
        return dict(Counter(p.state for p in self.cells))


def make_plan(suite: Suite, choice: Choice | None = None, done: Iterable[str] = ()) -> Plan:
    """Expand a suite to cells, without loading a model or a sample.

    `done` holds the ids of cells that need not run again. Raises SuiteError, OptionError or
    PluginNotFound if there can be no plan at all; a cell that can't work is in the plan, skipped.
    """
    choice = choice or Choice()
    finished = set(done)
    plan = Plan(suite)
    resolver, seen, excluded = Resolver(choice.skip_unreadable), dict[str, list[PlannedCell]](), 0
    grids = suite.grids
    names = [g.name for g in grids]
    for name, count in Counter(names).items():
        if count > 1:
            raise SuiteError(
                f"suite {suite.name}: {count} experiments are called '{name}': give each a name of its own"
            )
    for name in choice.experiments:
        if name not in names:
            raise SuiteError(f"suite {suite.name}: no experiment '{name}'{did_you_mean(name, names)}")
    doubts = check_defaults(suite, choice.named_plugins)
    labels = Labels(suite)
    for grid in grids:
        if choice.experiments and grid.name not in choice.experiments:
            continue
        expansion = Expansion(suite, grid, choice, resolver, labels)
        for cell in expansion.cells():
            same = seen.setdefault(cell.id, [])
            if any(_place(p.cell) == _place(cell) for p in same):
                continue
            same.append(_plan_twin(cell, same[0]) if same else expansion.decide(cell, finished))
            plan.cells.append(same[-1])
        excluded += expansion.excluded
    for alike in seen.values():
        _say_alike([planned.cell for planned in alike])
    if not plan.cells and excluded:
        raise SuiteError(f"suite {suite.name}: no cells: `exclude` takes out all {excluded} of them")
    if not plan.cells:
        raise SuiteError(
            f"suite {suite.name}: no cells: name at least one data set, and a model if its protocol needs one"
        )
    edition = MARK in suite.name
    unsure = check_layouts(suite, plan.cells, choice.narrows or edition)
    # of what an edition leaves out, a table of the whole suite may still speak
    plan.doubts = doubts if edition else [*doubts, *unsure]
    return plan


def _place(cell: Cell) -> dict[str, Any]:
    """Return the cell's coordinates without its experiment."""
    return {name: value for name, value in cell.coordinates.items() if name != "experiment"}


def _plan_twin(cell: Cell, first: PlannedCell) -> PlannedCell:
    """Plan a cell that equals another except in labels: it is not run, and shows the other's record."""
    pairs = zip(cell.parts, first.cell.parts, strict=True)
    moved = {other.label: one.label for one, other in pairs if one.label != other.label}
    cell.remarks[:] = dict.fromkeys([*relabel_remarks(first.cell.remarks, moved), *cell.remarks])
    return PlannedCell(cell, "done" if first.state == "run" else first.state, first.reason)


def _say_alike(cells: Sequence[Cell]) -> None:
    """Remark which parts of equal cells are the same: all pairs at the first cell, each pair at its own."""
    first, *others = cells
    for cell in others:
        names = [
            f"{registry.singular(one.kind)} '{one.label}'{SAME}'{other.label}' in all that decides results"
            for one, other in zip(cell.parts, first.parts, strict=True)
            if one.label != other.label
        ]
        if names:
            said = f"{' and '.join(names)}: they share one record"
            cell.remarks.append(said)
            first.remarks.extend([said] if said not in first.remarks else [])
