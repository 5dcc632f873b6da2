"""The plan of a suite: all cells of its grids, in running order."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

from harness.contract.cells import Cell, PlannedCell
from harness.contract.remarks import SAME, relabel_remarks
from harness.discovery import registry
from harness.discovery.parts import Resolver
from harness.errors import SuiteError, did_you_mean
from harness.leaderboard.checking import check_layouts
from harness.planning.defaults import check_defaults
from harness.planning.editions import MARK
from harness.planning.expansion import Choice, Expansion
from harness.planning.given_labels import read_given_labels
from harness.planning.labels import Labels
from harness.planning.suite import Suite
from harness.planning.time_estimate import TimeEstimate, estimate_time

if TYPE_CHECKING:
    import pandas as pd

    from harness.records.store import Store

__all__ = ["Cell", "Choice", "Plan", "PlannedCell", "make_plan"]


WORDS = {"run": "to run", "done": "done", "skipped": "skipped", "broken": "can't run"}
"""The states of planned cells as users read them."""

LISTED, REASONS = 40, 8
"""Cells, and reasons why cells do not run, that are listed unless all are asked for."""


@dataclass
class Plan:
    """All cells of a suite in running order."""

    suite: Suite
    cells: list[PlannedCell] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    """Possible typos in its tables and plots."""
    evidence: dict[str, str] = field(default_factory=dict)
    """Cells to run that ran with other metrics: why no evidence was kept, or an empty text if it was."""
    time: TimeEstimate | None = None
    """How long the cells to run will take; None if there are none, or if it was not estimated."""

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

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as JSON-able data: what `harness plan --json` prints."""
        cells = [
            {"id": p.cell.id, "state": p.state, "reason": p.reason, **p.cell.coordinates}
            | ({"from_evidence": True} if self.evidence.get(p.cell.id) == "" else {})
            for p in self
        ]
        return {
            "suite": self.suite.name,
            "counts": self.counts(),
            "remarks": self.remarks,
            **({"time": self.time.to_dict()} if self.time else {}),
            "cells": cells,
        }

    def frame(self) -> pd.DataFrame:
        """Return the plan as a DataFrame: a row per cell with id, state, reason and coordinates."""
        import pandas as pd

        return pd.DataFrame(self.to_dict()["cells"])

    def lines(self, everything: bool = False) -> list[str]:
        """Return the plan as text: counts, cells to run, remarks, and why others do not run.

        Long lists are cut unless `everything` is asked for, with all cells.
        """
        shown = [p for p in self if p.state == "run" or everything]
        limit = len(shown) if everything else LISTED
        lines = [self._headline(), *(f"  {line}" for line in [*self._describe_evidence(), *self._say_time()])]
        lines += [f"  {WORDS[p.state]:<9} {p.cell.id[:8]}  {p.cell.shown}" for p in shown[:limit]]
        if len(shown) > limit:
            lines.append(f"  … and {len(shown) - limit} more (--all shows them)")
        lines += [f"  note      {text}" for text in self.remarks]
        reasons = self._reasons()
        most = len(reasons) if everything else REASONS
        lines += [f"  {text}" for text in reasons[:most]]
        if len(reasons) > most:
            idle = sum(p.state in ("skipped", "broken") for p in self)
            lines.append(
                f"  … and {idle} that do not run in all, for {len(reasons)} reasons (--all shows them)"
            )
        return lines

    def __repr__(self) -> str:
        next_step = "; harness.run runs what is to run" if self.counts().get("run") else ""
        following = f".frame() has all cells as a DataFrame{next_step}"
        return "\n".join([self._headline(), *(f"  {line}" for line in [*self._notes(), following])])

    def _repr_html_(self) -> str:
        """Return what a notebook shows: counts, remarks, reasons, and the cells."""
        said = "".join(f"<li>{escape(line)}</li>" for line in self._notes())
        below = f"<ul>{said}</ul>" if said else ""
        data = self.frame()
        varied = [c for c in data.columns if c in ("id", "state") or data[c].astype(str).nunique() > 1]
        cells = data[varied].to_html(index=False, max_rows=LISTED)
        return f"<p>{escape(self._headline())}</p>{below}{cells}"

    def _reasons(self) -> list[str]:
        """Return why cells do not run, the most frequent reason first."""
        counts = Counter((p.state, p.reason) for p in self if p.state in ("skipped", "broken"))
        return [f"{WORDS[state]:<9} {count} × {reason}" for (state, reason), count in counts.most_common()]

    def _notes(self) -> list[str]:
        """Return the first reasons and remarks, for a form of a few lines."""
        found = [*self._say_time(), *self._reasons(), *(f"note      {text}" for text in self.remarks)]
        more = [f"… and {len(found) - REASONS} more reasons and remarks"] if len(found) > REASONS else []
        return [*found[:REASONS], *more]

    def _describe_evidence(self) -> list[str]:
        counts = Counter(self.evidence.values())
        lines = (
            [f"of these, {counts.pop('')} are measured from kept evidence: no model is run"]
            if "" in counts
            else []
        )
        return lines + [
            f"of these, {count} ran with other metrics and run again: no evidence was kept: {why}"
            for why, count in counts.items()
        ]

    def _say_time(self) -> list[str]:
        return [f"time      {self.time}"] if self.time else []

    def _headline(self) -> str:
        counts = self.counts()
        states = ", ".join(f"{counts[s]} {w}" for s, w in WORDS.items() if s in counts)
        return f"{self.suite.name}: {len(self)} cells: {states}"


def note_evidence(plan: Plan, store: Store) -> None:
    """Note in a plan which cells to run have a record with other metrics, and whether its evidence was kept."""
    for cell in (p.cell for p in plan if p.state == "run"):
        if (kept := store.find_evidence(cell.evidence_id)) is not None:
            plan.evidence[cell.id] = kept[0].missing or ""


def note_time(plan: Plan, store: Store) -> None:
    """Note in a plan how long its cells to run will take, from finished cells in the store; after `note_evidence`."""
    from harness.planning.finished_cells import FinishedCells

    if todo := [p.cell for p in plan if p.state == "run"]:
        measured = [id for id, missing in plan.evidence.items() if not missing]
        plan.time = estimate_time(todo, FinishedCells(store), measured)


def make_plan(
    suite: Suite,
    choice: Choice | None = None,
    done: Iterable[str] = (),
    labelled: Mapping[str, Any] | None = None,
) -> Plan:
    """Expand a suite to cells, without loading a model or a sample.

    `done` holds the ids of cells that need not run again. `labelled` is the store's plan of the suite
    (`Store.manifest`): what the choice adds keeps the label that it had there, and gets none that stands for
    something else. Raises SuiteError, OptionError or PluginNotFound if there can be no plan at all; a cell that
    can't work is in the plan, skipped.
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
    labels = Labels(suite, read_given_labels(labelled))
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
