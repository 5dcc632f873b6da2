"""Small grids to try plugins in: those that protocols call their smallest, or a given suite's content."""

from __future__ import annotations

import copy
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from harness.contract.cells import Cell, PlannedCell
from harness.contract.declared import ask
from harness.discovery import options, registry
from harness.errors import HarnessError, PluginBroken
from harness.planning.plan import make_plan
from harness.planning.suite import parse_suite
from harness.testing.verdicts import NotChecked, Violation

Given = Any
"""A plugin under test: an instance, or a reference as a suite writes it (a text, or a table)."""
NO_GRID = "no installed protocol states a smallest grid"


@dataclass
class PlannedGrid:
    """The content of a suite of one grid that runs in seconds, with the plugin under test in it."""

    content: Mapping[str, Any]

    def plan(self, seeds: Sequence[int] = (0,)) -> list[PlannedCell]:
        """Make a new plan, whose objects no other plan shares."""
        return list(make_plan(parse_suite({"name": "kit", **self.content, "seeds": list(seeds)}, "cell")))

    def pick_cells(self, seeds: Sequence[int] = (0,)) -> list[Cell]:
        """Return the first cell that can run, once for each seed.

        Raises Violation when the plan is wrong or a plugin broken, NotChecked when what it needs is not here.
        """
        try:
            planned = self.plan(seeds)
        except HarnessError as error:
            raise Violation("a grid that can be planned", error, "Nothing else can be tried.") from None
        if able := [p.cell for p in planned if p.state == "run"]:
            return [cell for cell in able if _key(cell) == _key(able[0])]
        reasons = "; ".join(dict.fromkeys(p.reason or "" for p in planned))
        if any(p.state == "broken" for p in planned):
            raise Violation("a grid of which a cell can run", reasons, "Nothing else can be tried.")
        raise NotChecked(f"no cell of the grid can run here: {reasons}")


def _key(cell: Cell) -> list[Any]:
    return [(k, v) for k, v in cell.coordinates.items() if k != "seed"]


@contextmanager
def refer_to(kind: str, plugin: Given) -> Iterator[dict[str, Any]]:
    """Yield a reference to the plugin; an instance is registered in this process inside the block."""
    if isinstance(plugin, str | Mapping):
        yield {"plugin": plugin} if isinstance(plugin, str) else dict(plugin)
        return
    pristine = copy.deepcopy(plugin)
    name = f"kit-{type(plugin).__name__.lower()}"

    def make():  # type: ignore[no-untyped-def]  # it takes no options: it is the instance, as it was given
        return copy.deepcopy(pristine)

    with registry.register_temporarily(kind, name, make):
        yield {"plugin": name}


def smallest_options(factory: Any) -> dict[str, Any]:
    """Return the options that a plugin's class calls its smallest; none when it states none."""
    return {k: v for k, v in dict(ask(factory, "smallest") or {}).items() if k != "cell"}


def smallest_grid(factory: Any, protocol: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the smallest grid that a protocol's class states, with this reference in it; None without one."""
    stated = ask(factory, "smallest") or {}
    return {**copy.deepcopy(dict(stated["cell"])), "protocol": protocol} if "cell" in stated else None


def installed_grids() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the smallest grids of all installed protocols that state one, with the protocol's name."""
    for plugin in registry.installed("protocols"):
        try:
            factory = registry.load(plugin)
        except PluginBroken:
            continue
        local = plugin.distribution == registry.THIS_PROCESS
        name = plugin.name if local else f"{plugin.distribution}/{plugin.name}"
        if grid := smallest_grid(factory, {**smallest_options(factory), "plugin": name}):
            yield plugin.name, grid


def _find_grid(kind: str, references: Iterable[Any]) -> tuple[dict[str, Any] | None, list[str]]:
    """Return the first installed protocol's grid that takes one of the references, or None and all reasons.

    A model may be refused for what the grid's methods need alone: where a protocol can do without, it is tried so.
    """
    reasons: dict[str, None] = {}
    for reference in references:
        for name, grid in installed_grids():
            content = {**grid, kind: [reference]}
            reason = explain_grid_refusal(content)
            if reason is not None and kind == "models" and content.pop("methods", None):
                reason = explain_grid_refusal(content) and reason
            if reason is None:
                return content, []
            reasons[f"{name}: {reason}"] = None
    return None, list(reasons)


def explain_grid_refusal(content: Mapping[str, Any]) -> str | None:
    """Return None if a cell of this grid can run, else why not."""
    try:
        planned = PlannedGrid(content).plan()
    except HarnessError as error:
        return str(error)
    if any(p.state == "run" for p in planned):
        return None
    return next((p.reason for p in planned if p.reason), "no cell")


def explain_grid_refusals(kind: str, plugin: Given) -> list[str]:
    """Return why no installed protocol takes this plugin on its smallest grid; empty when one does."""
    with refer_to(kind, plugin) as reference:
        content, reasons = _find_grid(kind, [reference])
    return [] if content is not None else reasons or [NO_GRID]


def find_method_grid(
    method: Given, reference: Mapping[str, Any], cell: Mapping[str, Any] | None
) -> Mapping[str, Any]:
    """Return a grid with the method in it: the one given, or that of the first protocol that takes it.

    A method that is a part of others (a loss, a remedy) is put into the first method that takes it, a part
    of models (a layer) into the first model. Raises Violation when no installed protocol takes it.
    """
    if cell is not None:
        return {**cell, "methods": [reference]}
    reasons = list[str]()
    for kind, tried in (
        ("methods", [reference]),
        ("methods", _compose_hosts("methods", reference, method)),
        ("models", _compose_hosts("models", reference, method)),
    ):
        content, refusals = _find_grid(kind, tried)
        if content is not None:
            return content
        reasons += refusals
    raise Violation(
        "an installed protocol that takes the method on its smallest grid",
        "; ".join(reasons) or NO_GRID,
        "A method belongs to a protocol, which calls it; every cell of this one would be skipped. "
        "(A grid of your own: the fixture `cell`.)",
    )


def find_protocol_grid(
    protocol: Given, reference: Mapping[str, Any], cell: Mapping[str, Any] | None
) -> Mapping[str, Any]:
    """Return a grid for the protocol: the one given, or the one its class calls its smallest."""
    if cell is not None:
        return {**cell, "protocol": reference}
    factory = find_factory("protocols", protocol)
    if isinstance(protocol, str | Mapping):  # an instance has its options already
        reference = {**smallest_options(factory), **reference}
    if grid := smallest_grid(factory, reference):
        return grid
    raise NotChecked(
        "no grid to run: give the class `smallest = {…options, 'cell': {models, datasets, methods, "
        "metrics, axes}}`, or the test a fixture `cell`"
    )


def find_factory(kind: str, plugin: Given) -> Any:
    """Return the class or factory that a plugin under test comes from."""
    if isinstance(plugin, str | Mapping):
        name = plugin if isinstance(plugin, str) else str(plugin["plugin"])
        return registry.load(registry.find(kind, name.partition("?")[0].partition(":")[0]))
    return type(plugin)


def _compose_hosts(kind: str, reference: Mapping[str, Any], method: Given) -> Iterator[dict[str, Any]]:
    """Yield references to installed plugins of a kind that are composed of methods, with this one as a part."""
    cls = find_factory("methods", method)
    for plugin in registry.installed(kind):
        try:
            factory = registry.load(plugin)
            declared, _ = options.read_options(factory)
        except HarnessError:
            continue
        for option in declared:
            types = options.types_in(option.annotation)
            parts = [p for p in types if isinstance(p, type) and p not in (list, object)]
            if option.nested == "methods" and isinstance(cls, type) and issubclass(cls, tuple(parts)):
                several = any(typing.get_origin(part) is list for part in types)
                place = [dict(reference)] if several else dict(reference)
                yield {"plugin": plugin.name, **smallest_options(factory), option.name: place}
