"""The two sides of a comparison: a store and a selection of its cells each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.contract.cells import canonical_json
from harness.discovery.reference import parse_value
from harness.errors import HarnessError, did_you_mean
from harness.planning.expansion import matches
from harness.records.record import Record
from harness.records.store import Store

PARTS = ("protocol", "model", "dataset", "method")


class CompareError(HarnessError):
    """Two sides can't be compared; the text says which selection to change."""


@dataclass(frozen=True)
class SideCell:
    """A cell of one side; `record` is None if it was planned and never run."""

    suite: str
    at: Mapping[str, Any]
    tags: Mapping[str, Any]
    id: str
    record: Record | None
    planned: tuple[str, ...] = ()
    """The plan's remarks."""

    @property
    def remarks(self) -> list[str]:
        """What was assumed, left out, cut or reordered for the cell."""
        return list(dict.fromkeys([*self.planned, *(self.record.remarks if self.record else ())]))

    @property
    def names(self) -> dict[str, Any]:
        """Everything a selection can name: the suite, coordinates, and tags as `tag.…`."""
        return {"suite": self.suite, **self.at, **{f"tag.{k}": v for k, v in self.tags.items()}}

    @property
    def status(self) -> str:
        """The record's status, `missing` without a record."""
        return self.record.status if self.record else "missing"


@dataclass(frozen=True)
class Side:
    """A store and a selection in it: coordinate, tag or `suite` to a pattern or a list of these."""

    name: str
    store: Store
    where: Mapping[str, Any] = field(default_factory=dict)

    @property
    def description(self) -> str:
        """The side's store and selection as text."""
        chosen = " ".join(f"{k}={v}" for k, v in self.where.items())
        return f"{self.store.path}" + (f" [{chosen}]" if chosen else "")

    def cells(self, suites: Sequence[str] = ()) -> list[SideCell]:
        """Return the selected cells in the order of the plan.

        Suites count as last planned in the store; without a plan all of a suite's records count. Raises
        CompareError if nothing is selected, or the selection names an unknown coordinate.
        """
        if not self.store.path.is_dir():
            raise CompareError(f"{self.name}: {self.store.path}: no such store")
        everything = _list_cells(self.store)
        found = [c for c in everything if not suites or c.suite in suites]
        if not found:
            known = sorted({c.suite for c in everything})
            wanted = f" of suite '{suites[0]}'{did_you_mean(suites[0], known)}" if suites else ""
            raise CompareError(f"{self.name}: {self.store.path}: no records{wanted}")
        for key, pattern in self.where.items():
            known = sorted({n for c in found for n in c.names})
            name = key if key in known else f"tag.{key}"
            if name not in known:
                raise CompareError(f"{self.name}: no coordinate or tag '{key}'{did_you_mean(key, known)}")
            kept = [c for c in found if matches(pattern, c.names.get(name))]
            if not kept:
                present = {str(c.names.get(name)) for c in found}
                raise CompareError(
                    f"{self.name}: {self.store.path}: nothing has {key}={pattern}"
                    f"{did_you_mean(str(pattern), present)}"
                )
            found = kept
        return found


def parse_selection(texts: Sequence[str], option: str) -> dict[str, Any]:
    """Parse selections `name=pattern`; a pattern may contain `*`, or be a list like `[0, 1]`."""
    where: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise CompareError(f"{option} {text}: expected name=pattern, like model=ViT")
        parsed = parse_value(value)
        where[key.strip()] = parsed if isinstance(parsed, list) else value
    return where


def differing_coordinates(a: Side, b: Side, known: Sequence[str]) -> set[str]:
    """Return the coordinates in which the two selections differ, and which are not matched.

    A tag counts as its part: `tag.model.family` as `model`.
    """
    keys = {k for k in {*a.where, *b.where} if a.where.get(k) != b.where.get(k)}
    parts = set()
    for key in keys:
        plain = key if key in known or key == "suite" else key.removeprefix("tag.").partition(".")[0]
        parts.add(plain)
    return parts


def cell_identity(found: SideCell, without: set[str]) -> dict[str, Any]:
    """Return what identifies a cell on both sides: suite and coordinates except the seed and `without`."""
    whole = {"suite": found.suite, **found.at}
    return {k: v for k, v in whole.items() if k != "seed" and k not in without}


def group_by_cell(side: Side, found: Sequence[SideCell], without: set[str]) -> dict[str, dict[Any, SideCell]]:
    """Group the side's cells by identity, and each group by seed.

    Raises CompareError if a selection leaves several records for one cell and seed.
    """
    grouped: dict[str, dict[Any, SideCell]] = {}
    for cell in found:
        seeds = grouped.setdefault(canonical_json(sorted(cell_identity(cell, without).items())), {})
        seed = cell.at.get("seed", 0)
        if seed in seeds:
            names = sorted(without)
            two = " and ".join(", ".join(f"{n}={c.names.get(n)}" for n in names) for c in (seeds[seed], cell))
            raise CompareError(
                f"{side.name}: the selection leaves several records for one cell ({two}): narrow it"
            )
        seeds[seed] = cell
    return grouped


def _list_cells(store: Store) -> list[SideCell]:
    cells = []
    plans = {suite: plan for suite in store.suites() if (plan := store.manifest(suite)) is not None}
    for suite, plan in plans.items():
        for cell in plan["cells"]:
            record = store.read(cell["id"])
            remarks = tuple(cell.get("remarks", ()))
            cells.append(SideCell(suite, cell["at"], cell.get("tags", {}), cell["id"], record, remarks))
    for record in store.records():
        if record.suite not in plans:
            cells.append(SideCell(record.suite, record.coordinates, record.tags, record.id, record))
    return cells
