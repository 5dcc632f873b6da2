"""All checks of all kinds, for callers that know a plugin by its name: what `harness check` runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from types import FunctionType
from typing import Any

from harness.discovery.decorated import make_instance
from harness.testing.verdicts import Check, Finding, run_checks

KINDS = {
    "models": ("model_subject:ModelSubject", "general models model_tokens model_weights"),
    "datasets": ("dataset_subject:DatasetSubject", "general datasets dataset_targets dataset_comparisons"),
    "metrics": ("metrics:MetricSubject", "general metrics"),
    "methods": ("methods:RunSubject", "general methods"),
    "protocols": ("methods:RunSubject", "general protocols methods warming"),
    "suites": ("suites:SuiteSubject", "suites"),
    "published": ("published_sets:PublishedSubject", "published_sets"),
    "hooks": ("listeners:ListenerSubject", "general listeners"),
    "executors": ("executors:ExecutorSubject", "general executors"),
    "importers": ("importers:ImporterSubject", "general importers"),
    "summaries": ("displays:DisplaySubject", "general displays summaries"),
    "plots": ("displays:DisplaySubject", "general displays"),
}
"""By kind: the class of what its checks look at, and the modules whose functions `check_…` are its checks."""

SHARED_SUBJECTS = ("methods", "protocols", "summaries", "plots")
"""Kinds that share their subject's class with another kind; the class is given the kind."""


def find_kind_checks(kind: str) -> tuple[Check, ...]:
    """Return the checks for a kind of plugin (`models`, `datasets`, …), in their order."""
    modules = [import_module(f"harness.testing.{name}") for name in KINDS[kind][1].split()]
    return tuple(check for module in modules for check in checks_in(module))


def checks_in(module: Any) -> list[Check]:
    """Return the checks that a module defines, in their order."""
    functions = [f for n, f in vars(module).items() if n.startswith("check_") and isinstance(f, FunctionType)]
    return [function for function in functions if function.__module__ == module.__name__]


def make_kind_subject(kind: str, given: Any, more: Mapping[str, Any]) -> Any:
    """Return what the checks of a kind look at, made from a plugin and the further fixtures of a test.

    A decorated function, or a partial of one with options, becomes the plugin that it stands for.
    """
    module, _, name = KINDS[kind][0].partition(":")
    subject = getattr(import_module(f"harness.testing.{module}"), name)
    return subject(*([kind] if kind in SHARED_SUBJECTS else []), make_instance(given), **more)


def check(kind: str, given: Any, **more: Any) -> Sequence[Finding]:
    """Make all checks on a plugin and return their verdicts.

    `kind` is the plugin's (`models`, `datasets`, `metrics`, `methods`, `protocols`, `suites`, `hooks`,
    `summaries`, `plots`, `executors`, `importers`); `given` an instance, a decorated function, or a suite's
    name or path. Methods and protocols may be references too. `more` is what the conformance classes take as
    further fixtures: `images`, `examples` and `make`, `cell`, `records`.
    """
    return run_checks(find_kind_checks(kind), make_kind_subject(kind, given, more))
