"""All checks of all kinds, for those who have a plugin by its name: what `harness check` runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from harness.testing.outcome import Check, Finding, judge

PLACES = {
    "models": ("models:CHECKS", "model_subject:ModelSubject"),
    "datasets": ("datasets:CHECKS", "dataset_subject:DatasetSubject"),
    "metrics": ("metrics:CHECKS", "metrics:MetricSubject"),
    "methods": ("protocols:METHOD_CHECKS", "protocols:RunSubject"),
    "protocols": ("protocols:PROTOCOL_CHECKS", "protocols:RunSubject"),
    "suites": ("suites:CHECKS", "suites:SuiteSubject"),
    "hooks": ("listeners:CHECKS", "listeners:ListenerSubject"),
    "executors": ("executors:CHECKS", "executors:ExecutorSubject"),
    "importers": ("importers:CHECKS", "importers:ImporterSubject"),
    "summaries": ("shows:SUMMARY_CHECKS", "shows:ShowSubject"),
    "plots": ("shows:PLOT_CHECKS", "shows:ShowSubject"),
}
"""Where the checks of each kind are, and the class of what they look at."""

OF_TWO_KINDS = ("methods", "protocols", "summaries", "plots")
"""Kinds that share their subject's class with another one, which is given the kind."""


def checks_of(kind: str) -> tuple[Check, ...]:
    """The checks for a kind of plugin (`models`, `datasets`, …), in the order in which they are made."""
    return _at(PLACES[kind][0])  # type: ignore[no-any-return]


def subject_of(kind: str, given: Any, more: Mapping[str, Any]) -> Any:
    """What the checks of a kind look at, made from a plugin and what else a test gives."""
    return _at(PLACES[kind][1])(*([kind] if kind in OF_TWO_KINDS else []), given, **more)


def _at(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(f"harness.testing.{module}"), name)


def check(kind: str, given: Any, **more: Any) -> Sequence[Finding]:
    """Makes all checks on a plugin and gives their verdicts.

    `kind` is the plugin's (`models`, `datasets`, `metrics`, `methods`, `protocols`, `suites`, `hooks`,
    `summaries`, `plots`, `executors`, `importers`); `given` an instance, or a suite's name or path. Methods and
    protocols may be references too. `more` is what the conformance classes take as further fixtures:
    `images`, `examples` and `make`, `cell`, `records`.
    """
    return judge(checks_of(kind), subject_of(kind, given, more))
