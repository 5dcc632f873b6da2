"""Find the metric plugin behind a number of a suite's tables."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

from harness.discovery.reference import Reference, parse_references
from harness.errors import HarnessError
from harness.planning.suite import Suite

FindMetric = Callable[[str], Any]
"""Returns the metric plugin behind a number's name, or None."""


def find_metrics(suite: Suite) -> FindMetric:
    """Return a function that finds a suite's metric by the name of its number, or returns None.

    A number's name is the metric's, maybe with a full stop and one of its keys.
    """

    @cache
    def find(name: str) -> Any:
        from harness.discovery.parts import Resolver

        named = [r for r in metric_references(suite) if f"{name}.".startswith(f"{r.shown}.")]
        for reference in sorted(named, key=lambda r: -len(r.shown)):
            with suppress(HarnessError):
                return Resolver().resolve("metrics", reference, f"metric '{name}'").object
        return None

    return find


def metric_references(suite: Suite) -> list[Reference]:
    """Return the references of all metrics that a suite names."""
    return [
        r for g in suite.grids for e in g.metrics for r in parse_references(e, f"suite {suite.name}, metrics")
    ]
