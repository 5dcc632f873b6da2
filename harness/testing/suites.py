"""Checks of a suite: a valid file, a plan that expands, tables and plots of what exists."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.contract.cells import PlannedCell
from harness.contract.declared import ask
from harness.discovery.parts import Resolver
from harness.discovery.reference import parse_references, parse_short
from harness.errors import HarnessError, did_you_mean
from harness.leaderboard.checking import COSTS
from harness.leaderboard.entries import METRIC
from harness.planning.patterns import matches
from harness.planning.plan import Plan, make_plan
from harness.planning.suite import Suite, TableSpec, load_suite_file
from harness.testing.verdicts import NotChecked, Violation, expect


class SuiteSubject:
    """A suite under test, by its name or its file."""

    def __init__(self, given: str | Path) -> None:
        self.given = str(given)

    @cached_property
    def suite(self) -> Suite:
        """The suite, validated."""
        try:
            return load_suite_file(self.given)
        except HarnessError as error:
            raise Violation("a valid suite file", error, "Nothing of it can be run.") from None

    @cached_property
    def plan(self) -> Plan:
        """The suite's plan."""
        try:
            return make_plan(self.suite)
        except HarnessError as error:
            raise Violation("a suite that can be planned", error, "Nothing of it can be run.") from None


def check_file(subject: SuiteSubject) -> None:
    """The file is valid, and has a title."""
    suite = subject.suite
    expect(
        bool(suite.title.strip()), "a `title`", "none", "`harness info`, leaderboards and the report show it."
    )
    names = [t.name for t in suite.tables]
    repeated = sorted({n for n in names if names.count(n) > 1})
    expected, why = "tables of different names", "`harness table --table NAME` picks one."
    expect(not repeated, expected, f"{repeated[:1]} more than once", why)


def check_plan(subject: SuiteSubject) -> None:
    """The grid expands to cells, none of them broken, and the same each time."""
    broken = [p.reason or "" for p in subject.plan if p.state == "broken"]
    expect(
        not broken,
        "a plan without broken cells (skipped ones may be: data may be missing here)",
        f"{len(broken)} of {len(subject.plan)}, such as: {broken[0] if broken else ''}",
        "They can't run anywhere.",
    )
    expect(
        [p.cell.id for p in make_plan(subject.suite)] == [p.cell.id for p in subject.plan],
        "the same cells with the same ids when planned a second time",
        "others",
        "Finished cells are found by their ids: every run would begin from nothing.",
    )
    impossible = [p.reason for p in subject.plan if p.state == "skipped" and "axis" in (p.reason or "")]
    expect(not impossible, "axes that the protocols have", impossible[:1], "These cells can't run anywhere.")


def check_tables(subject: SuiteSubject) -> None:
    """Tables are laid out by coordinates and tags that cells have, and show metrics that cells have."""
    known: set[str] = {METRIC}.union(*(_coordinates(planned) for planned in subject.plan))
    for spec in subject.suite.tables:
        where = f"table '{spec.name}'"
        keys = [] if spec.summary is not None else [*spec.rows, *spec.columns, spec.group]
        for key in filter(None, keys):  # a summary brings its own columns
            expected = f"{where} to be laid out by coordinates or tags that cells have"
            expect(
                key in known, expected, f"'{key}'{did_you_mean(key, known)}", "The table could not be made."
            )
        chosen = [planned for planned in subject.plan if _meets(planned, spec.where)]
        expected = f"`where` of {where} to meet some cell"
        expect(bool(chosen), expected, f"none for {spec.where}", "The table would be empty.")
        if spec.summary is None:  # a summary names its values itself
            _check_values(spec, chosen, where)
        if isinstance(spec.baseline, dict):
            found = any(_meets(planned, spec.baseline) for planned in chosen)
            expected = f"the baseline of {where} to be among its cells"
            expect(found, expected, f"none for {spec.baseline}", "There is nothing to compare with.")
        if spec.summary is not None:
            _expect_plugin("summaries", spec.summary, f"{where}, summary")


def _coordinates(planned: PlannedCell) -> dict[str, Any]:
    """Return the coordinates and tags of a cell, by the names that suites have for them."""
    tags = planned.cell.tags
    return {**{f"tag.{k}": v for k, v in tags.items()}, **tags, **planned.cell.coordinates}


def _meets(planned: PlannedCell, where: Mapping[str, Any]) -> bool:
    found = _coordinates(planned)
    return all(matches(pattern, found.get(key)) for key, pattern in where.items())


def _check_values(spec: TableSpec, chosen: list[PlannedCell], where: str) -> None:
    protocols = [planned.cell.protocol.object for planned in chosen]
    known = {m.label for planned in chosen for m in planned.cell.metrics}
    known.update(name for p in protocols for name in (*ask(p, "directions"), *ask(p, "units")))
    own = {name for p in protocols for name in ask(p, "own_numbers") or ()}
    closed = all(ask(p, "own_numbers") is not None for p in protocols)
    for value in spec.values:
        if value in known.union(COSTS) or any(value.startswith(f"{k}.") for k in known):
            continue
        if any(matches(name, value) for name in own):
            continue
        # a protocol may return numbers that nobody lists: without `own_numbers` only a near miss is wrong
        near = get_close_matches(value, known, 1, 0.75) or get_close_matches(value, COSTS, 1, 0.9)
        expect(
            not near and not closed,
            f"{where} to show metrics or costs that its cells have ({', '.join(sorted(known))})",
            f"'{value}'" + (f" (meant '{near[0]}'?)" if near else ""),
            "The table could not be made.",
        )


def check_plots(subject: SuiteSubject) -> None:
    """Plots and the executor are existing plugins, with options that they take."""
    if not subject.suite.plots and subject.suite.executor is None:
        raise NotChecked("the suite draws no plots and names no executor")
    for spec in subject.suite.plots:
        _expect_plugin("plots", {"plugin": spec.kind, "options": spec.options}, f"plot '{spec.name}'")
    if subject.suite.executor is not None:
        _expect_plugin("executors", parse_short(subject.suite.executor), "executor")


def _expect_plugin(kind: str, entry: Any, where: str) -> None:
    try:
        part = Resolver().resolve(kind, parse_references(entry, where)[0], where)
    except HarnessError as error:
        raise Violation(f"{where} to name an existing plugin", error, "It could not be shown.") from None
    expect(not part.problem, f"{where} to name a plugin that works", part.problem, "It could not be shown.")
