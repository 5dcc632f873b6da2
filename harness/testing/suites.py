"""What is expected of a suite: a file that holds, a plan that expands, tables and plots of things that there are."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import Any

from harness.contract.declared import ask
from harness.discovery.parts import Resolver
from harness.discovery.reference import parse, parse_short
from harness.errors import HarnessError, did_you_mean
from harness.leaderboard.checking import COSTS
from harness.leaderboard.entries import METRIC
from harness.planning.expansion import matches
from harness.planning.plan import Plan, make_plan
from harness.planning.suite import Suite, TableSpec, load
from harness.testing.outcome import Check, NotChecked, Violation, expect


class SuiteSubject:
    """A suite to be checked, by its name or its file."""

    def __init__(self, given: str | Path) -> None:
        self.given = str(given)

    @cached_property
    def suite(self) -> Suite:
        """The suite, validated."""
        try:
            return load(self.given)
        except HarnessError as error:
            raise Violation("a suite file that holds", error, "Nothing of it can be run.") from None

    @cached_property
    def plan(self) -> Plan:
        """The suite's plan."""
        try:
            return make_plan(self.suite)
        except HarnessError as error:
            raise Violation("a suite that can be planned", error, "Nothing of it can be run.") from None

    @cached_property
    def names(self) -> set[str]:
        """What tables may be laid out by: coordinates and tags."""
        found: set[str] = {METRIC}
        for planned in self.plan:
            tags = planned.cell.tags
            found |= {*planned.cell.coordinates, *tags, *(f"tag.{t}" for t in tags)}
        return found

    def values(self, planned: list[Any]) -> set[str]:
        """The metrics that these cells say they give, without those that a protocol adds for itself."""
        found: set[str] = set()
        for each in planned:
            protocol = each.cell.protocol.object
            found |= {m.label for m in each.cell.metrics}
            found |= {*ask(protocol, "directions"), *ask(protocol, "units")}
        return found


def check_file(subject: SuiteSubject) -> None:
    """The file is valid, and says what the suite shows."""
    suite = subject.suite
    expect(
        bool(suite.title.strip()),
        "a `title`",
        "none",
        "`harness info`, leaderboards and the report show it.",
    )
    names = [t.name for t in suite.tables]
    expect(
        len(set(names)) == len(names),
        "tables of different names",
        f"{sorted(n for n in names if names.count(n) > 1)[:1]} more than once",
        "`harness table --table NAME` picks one.",
    )


def check_plan(subject: SuiteSubject) -> None:
    """The grid expands to cells, none of them broken, and the same each time."""
    broken = [p.reason or "" for p in subject.plan if p.state == "broken"]
    expect(
        not broken,
        "a plan without broken cells (skipped ones may be: data may be missing here)",
        f"{len(broken)} of {len(subject.plan)}, such as: {broken[0] if broken else ''}",
        "They can't run anywhere.",
    )
    again = [p.cell.id for p in make_plan(subject.suite)]
    expect(
        again == [p.cell.id for p in subject.plan],
        "the same cells with the same ids when planned a second time",
        "others",
        "Every run would begin anew: finished cells are found by their ids.",
    )
    refused = [p.reason or "" for p in subject.plan if p.state == "skipped"]
    impossible = [r for r in refused if "axis" in r]
    expect(not impossible, "axes that the protocols have", impossible[:1], "These cells can't run anywhere.")


def check_tables(subject: SuiteSubject) -> None:
    """Tables are laid out by coordinates and tags that cells have, and show metrics that there are."""
    for spec in subject.suite.tables:
        where = f"table '{spec.name}'"
        keys = [] if spec.summary is not None else [*spec.rows, *spec.columns, spec.group]
        for key in filter(None, keys):  # a summary brings columns of its own
            expect(
                key in subject.names,
                f"{where} to be laid out by coordinates or tags that cells have",
                f"'{key}'{did_you_mean(key, subject.names)}",
                "The table could not be made.",
            )
        chosen = list(_chosen(subject, spec))
        expect(
            bool(chosen),
            f"`where` of {where} to meet some cell",
            f"none for {spec.where}",
            "The table would be empty.",
        )
        _check_values(subject, spec, chosen, where)
        _check_baseline(spec, chosen, where)
        if spec.summary is not None:
            _resolved("summaries", spec.summary, f"{where}, summary")


def _chosen(subject: SuiteSubject, spec: TableSpec) -> Iterator[Any]:
    for planned in subject.plan:
        cell = planned.cell
        at = {**{f"tag.{k}": v for k, v in cell.tags.items()}, **cell.tags, **cell.coordinates}
        if all(matches(pattern, at.get(key)) for key, pattern in spec.where.items()):
            yield planned


def _check_values(subject: SuiteSubject, spec: TableSpec, chosen: list[Any], where: str) -> None:
    if spec.summary is not None:
        return  # a summary names its values itself
    known = subject.values(chosen)
    own = {n for p in chosen for n in ask(p.cell.protocol.object, "own_numbers") or ()}
    closed = bool(chosen) and all(ask(p.cell.protocol.object, "own_numbers") is not None for p in chosen)
    for value in spec.values:
        if value in known.union(COSTS) or any(value.startswith(f"{k}.") for k in known):
            continue
        if any(matches(name, value) for name in own):
            continue
        # a protocol may give numbers that nobody lists: without `own_numbers` only what is nearly right is wrong
        near = get_close_matches(value, known, n=1, cutoff=0.75) or get_close_matches(
            value, COSTS, n=1, cutoff=0.9
        )
        expect(
            not near and not closed,
            f"{where} to show metrics or costs that its cells give ({', '.join(sorted(known))})",
            f"'{value}'" + (f" (meant '{near[0]}'?)" if near else ""),
            "The table could not be made.",
        )


def _check_baseline(spec: TableSpec, chosen: list[Any], where: str) -> None:
    if not isinstance(spec.baseline, dict):
        return
    met = [
        p
        for p in chosen
        if all(
            matches(v, {**p.cell.tags, **p.cell.coordinates}.get(k.removeprefix("tag.")))
            for k, v in spec.baseline.items()
        )
    ]
    expect(
        bool(met),
        f"the baseline of {where} to be among its cells",
        f"none for {spec.baseline}",
        "There is nothing to compare with.",
    )


def check_plots(subject: SuiteSubject) -> None:
    """Plots and the executor are plugins that there are, with options that they take."""
    if not subject.suite.plots and subject.suite.executor is None:
        raise NotChecked("the suite draws no plots and names no executor")
    for spec in subject.suite.plots:
        _resolved("plots", {"plugin": spec.kind, "options": spec.options}, f"plot '{spec.name}'")
    if subject.suite.executor is not None:
        _resolved("executors", parse_short(subject.suite.executor), "executor")


def _resolved(kind: str, entry: Any, where: str) -> None:
    try:
        part = Resolver().resolve(kind, parse(entry, where)[0], where)
    except HarnessError as error:
        raise Violation(f"{where} to name a plugin that there is", error, "It could not be shown.") from None
    expect(not part.problem, f"{where} to name a plugin that works", part.problem, "It could not be shown.")


CHECKS: tuple[Check, ...] = (check_file, check_plan, check_tables, check_plots)
