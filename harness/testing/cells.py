"""Small cells to try plugins in: found from what protocols call their smallest grid, or given as a suite's content."""

from __future__ import annotations

import copy
import typing
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from harness.contract.cells import Cell, Planned
from harness.contract.declared import ask
from harness.discovery import options, registry
from harness.errors import HarnessError, PluginBroken
from harness.planning.plan import make_plan
from harness.planning.suite import from_dict
from harness.testing.outcome import NotChecked, Violation

Given = Any
"""A plugin under test: an instance, or a reference as a suite writes it (a text, or a table)."""


@dataclass
class Trial:
    """The content of a suite of one grid that runs in seconds, with the plugin under test in it."""

    content: Mapping[str, Any]

    def planned(self, seeds: Sequence[int] = (0,)) -> list[Planned]:
        """The cells of a new plan, whose objects no other plan shares."""
        return list(make_plan(from_dict({"name": "kit", **self.content, "seeds": list(seeds)}, "cell")))

    def cells(self, seeds: Sequence[int] = (0,)) -> list[Cell]:
        """The first cell that can run, once for each seed.

        Raises Violation when the plan is wrong or a plugin broken, NotChecked when what it needs is not here.
        """
        try:
            planned = self.planned(seeds)
        except HarnessError as error:
            raise Violation("a grid that can be planned", error, "Nothing else can be tried.") from None
        able = [p.cell for p in planned if p.state == "run"]
        if able:
            first = able[0]
            same = (_key(c) == _key(first) for c in able)
            return [c for c, wanted in zip(able, same, strict=True) if wanted]
        reasons = "; ".join(dict.fromkeys(p.reason or "" for p in planned))
        if any(p.state == "broken" for p in planned):
            raise Violation("a grid of which a cell can run", reasons, "Nothing else can be tried.")
        raise NotChecked(f"no cell of the grid can run here: {reasons}")


def _key(cell: Cell) -> list[Any]:
    return [(k, v) for k, v in cell.coordinates.items() if k != "seed"]


@contextmanager
def named(kind: str, plugin: Given) -> Iterator[dict[str, Any]]:
    """A reference to the plugin; an instance is known to this process as long as the block runs."""
    if isinstance(plugin, str):
        yield {"plugin": plugin}
        return
    if isinstance(plugin, Mapping):
        yield dict(plugin)
        return
    pristine = copy.deepcopy(plugin)
    name = f"kit-{type(plugin).__name__.lower()}"

    def make():  # type: ignore[no-untyped-def]  # it takes no options: it is the instance, as it was given
        return copy.deepcopy(pristine)

    with registry.register_temporarily(kind, name, make):
        yield {"plugin": name}


def small_grid(factory: Any, reference: Mapping[str, Any]) -> dict[str, Any] | None:
    """The smallest grid of a protocol with the protocol in it; None when its class states none."""
    stated = ask(factory, "smallest")
    if not stated or "cell" not in stated:
        return None
    own = {k: v for k, v in stated.items() if k != "cell"}
    # an instance has its options already
    protocol = dict(reference) if reference["plugin"].startswith("kit-") else {**own, **reference}
    return {**copy.deepcopy(dict(stated["cell"])), "protocol": protocol}


def smallest_options(factory: Any) -> dict[str, Any]:
    """The options that a plugin's class calls its smallest; none when it says nothing."""
    return {k: v for k, v in dict(ask(factory, "smallest") or {}).items() if k != "cell"}


def grids() -> Iterator[tuple[str, dict[str, Any]]]:
    """The smallest grids of all installed protocols that state one, with the protocol's name."""
    for plugin in registry.installed("protocols"):
        try:
            factory = registry.load(plugin)
        except PluginBroken:
            continue
        found = small_grid(factory, {"plugin": f"{plugin.distribution}/{plugin.name}"})
        if plugin.distribution == registry.THIS_PROCESS and found:
            found["protocol"]["plugin"] = plugin.name
        if found:
            yield plugin.name, found


def refusals(kind: str, plugin: Given) -> list[str]:
    """Why no installed protocol takes this plugin on its smallest grid; empty when one does."""
    said = []
    with named(kind, plugin) as reference:
        for name, grid in grids():
            runs, reason = _runs({**grid, kind: [reference]})
            if runs:
                return []
            said.append(f"{name}: {reason}")
    return said or ["there is no protocol that states its smallest grid"]


def grid_of_method(
    method: Given, reference: Mapping[str, Any], cell: Mapping[str, Any] | None
) -> Mapping[str, Any]:
    """A grid with the method in it: the one given, or that of the first protocol that takes it.

    A method that is a part of others (a loss, a remedy) is put into the first method that takes it.
    Raises Violation when no installed protocol takes it.
    """
    if cell is not None:
        return {**cell, "methods": [reference]}
    said: list[str] = []
    for composed in (reference, *hosts(reference, method)):
        for name, grid in grids():
            content = {**grid, "methods": [composed]}
            runs, reason = _runs(content)
            if runs:
                return content
            said.append(f"{name}: {reason}")
    raise Violation(
        "an installed protocol that takes the method on its smallest grid",
        "; ".join(dict.fromkeys(said)) or "no protocol that states its smallest grid",
        "A method belongs to a protocol, which calls it; every cell of this one would be skipped. "
        "(A grid of your own: the fixture `cell`.)",
    )


def grid_of_protocol(
    protocol: Given, reference: Mapping[str, Any], cell: Mapping[str, Any] | None
) -> Mapping[str, Any]:
    """A grid for the protocol: the one given, or the one its class calls its smallest."""
    if cell is not None:
        return {**cell, "protocol": reference}
    grid = small_grid(factory_of("protocols", protocol), reference)
    if grid is None:
        raise NotChecked(
            "no grid to run: give the class `smallest = {…options, 'cell': {models, datasets, methods, "
            "metrics, axes}}`, or the test a fixture `cell`"
        )
    return grid


def factory_of(kind: str, plugin: Given) -> Any:
    """The class or factory that a plugin under test comes from."""
    if isinstance(plugin, str | Mapping):
        name = plugin if isinstance(plugin, str) else str(plugin["plugin"])
        return registry.load(registry.find(kind, name.partition("?")[0].partition(":")[0]))
    return type(plugin)


def hosts(reference: Mapping[str, Any], method: Given) -> Iterator[dict[str, Any]]:
    """References to the installed methods that are composed of smaller ones, with this one in its place."""
    cls = factory_of("methods", method)
    for plugin in registry.installed("methods"):
        try:
            factory = registry.load(plugin)
            declared, _ = options.read_options(factory)
        except HarnessError:
            continue
        for option in declared:
            parts = [p for p in options.types_in(option.annotation) if isinstance(p, type)]
            fits = any(isinstance(cls, type) and issubclass(cls, p) for p in parts if p not in (list, object))
            if option.nested == "methods" and fits:
                several = any(typing.get_origin(part) is list for part in options.types_in(option.annotation))
                place = [dict(reference)] if several else dict(reference)
                yield {"plugin": plugin.name, **smallest_options(factory), option.name: place}


def _runs(content: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether a cell of this grid can run, else why not."""
    try:
        planned = Trial(content).planned()
    except HarnessError as error:
        return False, str(error)
    if any(p.state == "run" for p in planned):
        return True, ""
    return False, next((p.reason for p in planned if p.reason), "no cell")
