"""The two sides of a comparison: a store and a selection of its cells each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from harness.contract.cells import canonical_json
from harness.discovery.reference import parse_value
from harness.errors import HarnessError, did_you_mean
from harness.planning.labels import SHORTENED, shorten_old_labels
from harness.planning.patterns import find_meant, matches
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
    written: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """What was written for its model and data set, by which a selection finds it if no label matches."""

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
            kept = _select(found, name, pattern)
            if not kept:
                present = {str(c.names.get(name)) for c in found}
                raise CompareError(
                    f"{self.name}: {self.store.path}: nothing has {key}={pattern}"
                    f"{did_you_mean(str(pattern), present)}"
                )
            found = kept
        return found


def _select(cells: Sequence[SideCell], name: str, pattern: Any) -> list[SideCell]:
    """Return the cells whose coordinate or tag matches a pattern: by label, else by exactly what was written."""
    values = [c.names.get(name) for c in cells]
    written: dict[str, set[str]] = {}
    for value, cell in zip(values, cells, strict=True):
        written.setdefault(str(value), set()).update(cell.written.get(name, ()))
    meant = find_meant(pattern, dict.fromkeys(v for v in values if isinstance(v, str)), written)
    return [
        c
        for v, c in zip(values, cells, strict=True)
        if (v in meant if isinstance(v, str) else matches(pattern, v))
    ]


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


def match_renamed(
    a: Mapping[str, dict[Any, SideCell]], b: Mapping[str, dict[Any, SideCell]], without: set[str]
) -> dict[str, dict[Any, SideCell]]:
    """Return B's groups with those renamed that A holds under another label of the model or data set.

    They hold the same cells, or their labels have the same short form: an older harness kept whole paths.
    """
    only_a = {key: seeds for key, seeds in a.items() if key not in b}
    only_b = {key: seeds for key, seeds in b.items() if key not in a}
    renamed: dict[str, str] = {}
    for name_a, name_b in (
        (_cell_ids, _cell_ids),
        (_short_names(only_a, without), _short_names(only_b, without)),
    ):
        places = {name_a(seeds): key for key, seeds in only_a.items() if key not in renamed.values()}
        free = {key: seeds for key, seeds in only_b.items() if key not in renamed}
        renamed |= {key: places[name] for key, seeds in free.items() if (name := name_b(seeds)) in places}
    return {renamed.get(key, key): seeds for key, seeds in b.items()}


def _cell_ids(seeds: Mapping[Any, SideCell]) -> str:
    return " ".join(sorted(cell.id for cell in seeds.values()))


def _short_names(
    groups: Mapping[str, Mapping[Any, SideCell]], without: set[str]
) -> Callable[[Mapping[Any, SideCell]], str]:
    """Return a function that names a group by its cell's identity with short labels."""
    cells = [cell for seeds in groups.values() for cell in seeds.values()]
    short = {
        name: shorten_old_labels(str(c.at[name]) for c in cells if name in c.at)
        for name in SHORTENED.values()
    }

    def name_group(seeds: Mapping[Any, SideCell]) -> str:
        identity = cell_identity(next(iter(seeds.values())), without)
        return canonical_json({k: short.get(k, {}).get(v, v) for k, v in identity.items()})

    return name_group


def _list_cells(store: Store) -> list[SideCell]:
    cells = []
    plans = {suite: plan for suite in store.suites() if (plan := store.manifest(suite)) is not None}
    for suite, plan in plans.items():
        found = []
        for cell in plan["cells"]:
            record = store.read(cell["id"])
            remarks = tuple(cell.get("remarks", ()))
            found.append(SideCell(suite, cell["at"], cell.get("tags", {}), cell["id"], record, remarks))
        cells += _name_as_planned(found, plan["references"]) if "references" in plan else _name_as_now(found)
    unplanned = [
        SideCell(record.suite, record.coordinates, record.tags, record.id, record)
        for record in store.records()
        if record.suite not in plans
    ]
    return [*cells, *_name_as_now(unplanned)]


def _name_as_planned(cells: Sequence[SideCell], references: Mapping[str, Any]) -> list[SideCell]:
    """Return the cells with what was written for their labels."""
    return [
        replace(c, written={name: texts.get(c.at.get(name), ()) for name, texts in references.items()})
        for c in cells
    ]


def _name_as_now(cells: Sequence[SideCell]) -> list[SideCell]:
    """Return cells that an older harness planned with the short forms of their labels, for patterns."""
    short = {
        name: shorten_old_labels(str(c.at[name]) for c in cells if name in c.at)
        for name in SHORTENED.values()
    }
    return [
        replace(c, written={k: (known[c.at[k]],) for k, known in short.items() if c.at.get(k) in known})
        for c in cells
    ]
