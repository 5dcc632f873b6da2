"""Check a suite's tables and plots against its plan, so that a typo is reported before anything runs.

A certain mistake raises SuiteError. A name or pattern that no cell of this plan meets, but another plan may,
is a doubt: a line for the plan's remarks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from harness.contract.cells import Part, PlannedCell
from harness.contract.declared import ask
from harness.discovery import registry
from harness.discovery.parts import Resolver
from harness.discovery.reference import parse_references
from harness.errors import SuiteError, did_you_mean
from harness.leaderboard.entries import METRIC
from harness.leaderboard.frame import find_coordinate
from harness.planning.labels import Labels
from harness.planning.patterns import matches
from harness.planning.suite import Entry, Experiment, PlotSpec, Suite, TableSpec

if TYPE_CHECKING:
    import pandas as pd

KINDS = {"protocols": "protocol", "models": "model", "datasets": "dataset", "methods": "method"}
COSTS = (
    "seconds",
    "parameters",
    "trainable_parameters",
    "samples_per_second",
    "peak_memory",
    "peak_memory_reserved",
    "peak_process_memory",
)
"""What the core measures for every cell; protocols add to it."""

RANKING = ("average rank", "win rate", "mean")
VERY_NEAR = 0.75
"""Similarity from which on a summary's column is taken for a misspelt coordinate."""

OF_RECORDS = ("id", "status", "reason", "suite", "count")
"""Columns by which plots may choose records, besides coordinates and tags."""


def check_layouts(suite: Suite, cells: Sequence[PlannedCell], narrowed: bool) -> list[str]:
    """Return the doubts about a suite's tables and plots. Raises SuiteError for a certain mistake.

    A plan narrowed to a part of the suite is checked against all that the suite names.
    """
    if not suite.tables and not suite.plots:
        return []
    checker = LayoutChecker(suite, cells, narrowed)
    for spec in suite.tables:
        checker.check_table(spec)
    for plot in suite.plots:
        checker.check_plot(plot)
    return list(dict.fromkeys(checker.doubts))


def check_where(
    where: Mapping[str, Any], shown: str, frames: Mapping[str, tuple[Suite, pd.DataFrame]]
) -> None:
    """Raise SuiteError for a selection of records that no cell of any suite meets.

    What a suite names and nobody has run yet is no typo. `shown` is the option's name: `--where`.
    """
    for name, pattern in where.items():
        known: dict[str, Any] = {}
        names: set[str] = set()
        written: set[str] = set()
        found = False
        for suite, data in frames.values():
            labels = coordinate_labels(suite)
            names |= {c.removeprefix("at.") for c in data.columns if c.startswith(("at.", "tag."))}
            names |= {*labels}
            given = data.attrs.get("references", {}).get(name, {})
            written |= {text for texts in given.values() for text in texts}
            column = find_coordinate(data, name)
            found |= column is not None or name in labels
            values = [] if column is None else [v for v in data[column].unique() if v is not None and v == v]
            known |= {str(v): v for v in values} | labels.get(name, {})
        if not found:
            raise SuiteError(f"{shown} {name}: no coordinate or tag is called so{did_you_mean(name, names)}")
        for one in pattern if isinstance(pattern, list) else [pattern]:
            if one not in written and not any(matches(one, value) for value in known.values()):
                raise SuiteError(
                    f"{shown} {name}={one}: no cell of suite {' or '.join(map(repr, frames))} has it"
                    f"{did_you_mean(str(one), known)}"
                )


def coordinate_labels(suite: Suite) -> dict[str, dict[str, Any]]:
    """Return the values of each coordinate that a suite's grids name, by their text."""
    found: dict[str, dict[str, Any]] = {name: {} for name in ("experiment", *KINDS.values(), "seed")}
    short = Labels(suite)
    for grid in suite.grids:
        where = f"suite {suite.name}"
        found["experiment"][grid.name] = grid.name
        for name, entries in _part_entries(grid):
            for entry in entries:
                references = parse_references(entry, f"{where}, {name}")
                labels = [short.label(f"{name}s", reference) for reference in references]
                found[name].update(zip(labels, labels, strict=True))
        found["seed"].update({str(s): s for s in grid.seeds or [0]})
        for axes in (grid.axes, *({k: [v] for k, v in e.axes.items()} for e in grid.include)):
            for axis, values in axes.items():
                found.setdefault(axis, {}).update({str(v): v for v in values})
        for extra in grid.include:
            found["seed"].update({str(s): s for s in extra.seeds or ()})
    return found


def _part_entries(grid: Experiment) -> Iterable[tuple[str, Sequence[Entry]]]:
    """Return the entries that name a grid's parts, by coordinate."""
    yield "protocol", [grid.protocol] if grid.protocol else []
    for name, key in (("model", "models"), ("dataset", "datasets"), ("method", "methods")):
        extra = [getattr(e, name) for e in grid.include]
        yield name, [*getattr(grid, key), *(entry for entry in extra if entry is not None)]


class LayoutChecker:
    """Checks what tables and plots of one plan name, and collects doubts."""

    def __init__(self, suite: Suite, cells: Sequence[PlannedCell], narrowed: bool) -> None:
        self.suite, self.doubts = suite, list[str]()
        self.values = coordinate_labels(suite)
        self.written: dict[str, list[str]] = {}
        parts = {id(p): p for planned in cells for p in planned.cell.parts}
        for planned in cells:
            self.values["seed"].setdefault(str(planned.cell.seed), planned.cell.seed)
        for part in parts.values():
            if part.kind in KINDS:
                self.values[KINDS[part.kind]].setdefault(part.label, part.label)
                self.written.setdefault(KINDS[part.kind], []).extend(part.written)
        self.values["method"].setdefault("", "")
        self.values["model"].setdefault("", "")
        # unresolved parts have unknown tags
        self.whole = not narrowed and not any(p.problem or p.missing for p in parts.values())
        self.tags = _collect_tags(parts.values())
        self.protocols = [p for p in parts.values() if p.kind == "protocols"]
        named = [
            r.shown
            for g in suite.grids
            for e in g.metrics
            for r in parse_references(e, f"suite {suite.name}")
        ]
        known = {p.label for p in self.protocols}
        self.every_protocol = set(self.values["protocol"]) <= known
        self.metrics = list(
            dict.fromkeys([*named, *(p.label for p in parts.values() if p.kind == "metrics")])
        )

    def check_table(self, spec: TableSpec) -> None:
        """Check one table."""
        where = f"table '{spec.name}'"
        self.check_selection(spec.where, where, ())
        if spec.summary:
            self.check_summary(spec, where)
            return
        for key, names in (("rows", spec.rows), ("columns", spec.columns)):
            for name in names:
                self.check_name(name, f"{where}, {key}", (METRIC,))
        if spec.group:
            self.check_name(spec.group, f"{where}, group", ())
        for value in spec.values:
            self.check_value(value, f"{where}, values")
        if spec.baseline is not None:
            self.check_baseline(spec, where)
        if spec.sort:
            self.check_sort(spec, where)

    def check_plot(self, spec: PlotSpec) -> None:
        """Check one plot: its plugin and selection; its options are the plugin's business."""
        where = f"plot '{spec.name}'"
        known = [p.name for p in registry.installed("plots")]
        if spec.kind.rpartition("/")[2] not in known:
            raise SuiteError(f"{where}: no plot plugin named '{spec.kind}'{did_you_mean(spec.kind, known)}")
        self.check_selection(spec.where, where, OF_RECORDS)

    def check_summary(self, spec: TableSpec, where: str) -> None:
        """Check a table of a summary, which itself decides on rows, columns and values."""
        assert spec.summary is not None
        Resolver().resolve(
            "summaries", parse_references(spec.summary, f"{where}, summary")[0], f"{where}, summary"
        )
        for key in ("baseline", "group", "ranking"):
            if getattr(spec, key):
                self.doubts.append(f"{where}: '{key}' has no effect in a table of a summary")
        known = [n for n in self.values if self.values[n]]
        for key, names in (("rows", spec.rows), ("columns", spec.columns)):
            for name in names:
                near = get_close_matches(name, [*known, METRIC], 1, VERY_NEAR)
                if near and name not in (*known, METRIC):
                    self.doubts.append(f"{where}, {key}: '{name}' may be a typo; did you mean '{near[0]}'?")

    def check_name(self, name: str, where: str, also: Sequence[str]) -> None:
        """Check the name of a coordinate or tag."""
        bare = name.removeprefix("tag.")
        if name in self.values or name in also or bare in self.tags:
            return
        if "." in name and not self.whole:
            return
        known = [*self.values, *(f"tag.{t}" for t in self.tags), *also]
        raise SuiteError(f"{where}: no coordinate or tag is called '{name}'{did_you_mean(name, known)}")

    def check_selection(self, where: Mapping[str, Any], place: str, also: Sequence[str]) -> None:
        """Check a selection of records: each name is known, and each pattern meets something."""
        for name, pattern in where.items():
            if name.startswith("tag.") and name.removeprefix("tag.") not in self.tags:
                if self.whole:  # tags are free: an empty selection may be meant
                    near = did_you_mean(name, [f"tag.{t}" for t in self.tags])
                    self.doubts.append(f"{place}, where: no cell has the tag '{name}'{near}")
                continue
            self.check_name(name, f"{place}, where", also)
            tag = self.tags.get(name.removeprefix("tag."))
            known = self.values.get(name) or (tag if self.whole else None)
            for one in pattern if isinstance(pattern, list) and known else [pattern] if known else []:
                if one in self.written.get(name, ()):
                    continue
                if known and not any(matches(one, value) for value in known.values()):
                    near = did_you_mean(str(one), known)
                    self.doubts.append(f"{place}, where: no cell has {name} = {one!r}{near}")

    def check_value(self, value: str, where: str) -> None:
        """Check the name of a metric or cost; a protocol may declare its own numbers."""
        own: list[str] = list(COSTS)
        for part in self.protocols:
            for attribute in ("directions", "units", "own_numbers"):
                own += map(str, ask(part.object, attribute) or ())
        begun = [name for name in self.metrics if value.startswith(name)]
        if any(not value[len(name) : len(name) + 1].isalnum() for name in begun):
            return
        if any(matches(name, value) for name in own):
            return
        if not self.every_protocol:
            return  # a protocol that this plan leaves out may produce it
        # a metric of several numbers names them after itself, and a protocol may produce any
        known = [*self.metrics, *(n for n in own if "*" not in n)]
        text = f"{where}: nothing is known to be called '{value}'{did_you_mean(value, known)}"
        silent = [p for p in self.protocols if ask(p.object, "own_numbers") != ()]
        if self.protocols and not silent and not begun:
            raise SuiteError(text)
        self.doubts.append(f"{text} (unless the protocol or a metric gives it)")

    def check_baseline(self, spec: TableSpec, where: str) -> None:
        """Check the coordinate and the label of the baseline."""
        from harness.leaderboard.baseline import parse_baseline

        name, label = parse_baseline(spec)
        laid_out = [*spec.rows, *spec.columns]
        if name not in laid_out:
            raise SuiteError(
                f"{where}: baseline '{name}' is neither in rows nor in columns{did_you_mean(name, laid_out)}"
            )
        known = self.values.get(name, {})
        if known and label not in known:
            self.doubts.append(
                f"{where}, baseline: no {name} is called '{label}'{did_you_mean(label, known)}"
            )

    def check_sort(self, spec: TableSpec, where: str) -> None:
        """Check the column that rows are sorted by: a header, a value, or headers joined by `/`."""
        name = str(spec.sort).removeprefix("-")
        known = [*(spec.values or self.metrics), *RANKING]
        for column in spec.columns:
            if column not in self.values and column != METRIC:
                return  # not all tags are known before the run
            known += self.values.get(column, {})
        if spec.baseline is not None or name.startswith(tuple(self.metrics)):
            return
        if name not in known and not all(part in known for part in name.split("/")):
            raise SuiteError(f"{where}: can't sort by '{name}'{did_you_mean(name, known)}")


def _collect_tags(parts: Iterable[Part]) -> dict[str, dict[str, Any]]:
    """Return the tags of the parts, as `model.<key>` and so on, with their values by text."""
    found: dict[str, dict[str, Any]] = {}
    for part in parts:
        if part.kind in ("models", "datasets", "methods"):
            for key, value in part.tags.items():
                found.setdefault(f"{KINDS[part.kind]}.{key}", {})[str(value)] = value
    return found
