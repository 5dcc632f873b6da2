"""Which cells a machine is checked with: the `quick` editions of suites, or the smallest grids of protocols."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.contract.cells import PlannedCell
from harness.discovery import registry
from harness.errors import SuiteError
from harness.planning.editions import MARK, split_edition
from harness.planning.plan import make_plan
from harness.planning.suite import load_suite_file
from harness.testing.grids import PlannedGrid, installed_grids

EDITION = "quick"


@dataclass(frozen=True)
class Part:
    """A small part of a suite or protocol; `plan` makes a new plan of it, whose objects no other plan shares."""

    name: str
    plan: Callable[[], Sequence[PlannedCell]]


def find_parts(suites: Sequence[str] = (), quick: bool = False) -> list[Part]:
    """Return the parts to check with: of these suites, else of all that are installed and have a `quick` edition.

    With `quick`, the smallest grid of each installed protocol. Raises SuiteError for a suite that has no such
    edition and names none, or if nothing is left.
    """
    if quick and suites:
        raise SuiteError("--quick takes the smallest grid of each protocol: leave --suites out")
    if quick:
        found = [Part(name, PlannedGrid(grid).plan) for name, grid in installed_grids()]
    else:
        installed = [f"{s.distribution}/{s.name}" for s in registry.installed("suites")]
        names = [_name_edition(name, given=bool(suites)) for name in suites or installed]
        found = [Part(name.rpartition("/")[2], _planner(name)) for name in names if name]
    if not found:
        raise SuiteError(
            f"nothing to check with: no installed suite has an edition '{EDITION}'; name suites with --suites"
        )
    return found


def _name_edition(name: str, given: bool) -> str | None:
    """Return `SUITE@EDITION`; None for an installed suite without a quick edition."""
    if split_edition(name)[1]:
        return name
    if EDITION in load_suite_file(name).editions:
        return f"{name}{MARK}{EDITION}"
    if given:
        raise SuiteError(f"suite {name} has no edition '{EDITION}': name one of its own, as SUITE@EDITION")
    return None


def _planner(name: str) -> Callable[[], list[PlannedCell]]:
    def plan() -> list[PlannedCell]:
        cells = list(make_plan(load_suite_file(name)))
        first = min(p.cell.seed for p in cells)
        return [p for p in cells if p.cell.seed == first]

    return plan
