"""All checks of all kinds, for those who have a plugin by its name: what `harness check` runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.testing.outcome import Check, Finding, judge


def checks_of(kind: str) -> tuple[Check, ...]:
    """The checks for a kind of plugin (`models`, `datasets`, …), in the order in which they are made."""
    if kind == "models":
        from harness.testing import models

        return models.CHECKS
    if kind == "datasets":
        from harness.testing import datasets

        return datasets.CHECKS
    if kind == "metrics":
        from harness.testing import metrics

        return metrics.CHECKS
    if kind in ("methods", "protocols"):
        from harness.testing import protocols

        return protocols.METHOD_CHECKS if kind == "methods" else protocols.PROTOCOL_CHECKS
    if kind == "suites":
        from harness.testing import suites

        return suites.CHECKS
    if kind == "hooks":
        from harness.testing import listeners

        return listeners.CHECKS
    if kind == "executors":
        from harness.testing import executors

        return executors.CHECKS
    from harness.testing import shows

    return shows.SUMMARY_CHECKS if kind == "summaries" else shows.PLOT_CHECKS


def subject_of(kind: str, given: Any, more: Mapping[str, Any]) -> Any:
    """What the checks of a kind look at, made from a plugin and what else a test gives."""
    if kind == "models":
        from harness.testing.model_subject import ModelSubject

        return ModelSubject(given, **more)
    if kind == "datasets":
        from harness.testing.dataset_subject import DatasetSubject

        return DatasetSubject(given)
    if kind == "metrics":
        from harness.testing.metrics import MetricSubject

        return MetricSubject(given, **more)
    if kind in ("methods", "protocols"):
        from harness.testing.protocols import RunSubject

        return RunSubject(kind, given, **more)
    if kind == "suites":
        from harness.testing.suites import SuiteSubject

        return SuiteSubject(given)
    if kind == "hooks":
        from harness.testing.listeners import ListenerSubject

        return ListenerSubject(given)
    if kind == "executors":
        from harness.testing.executors import ExecutorSubject

        return ExecutorSubject(given, **more)
    from harness.testing.shows import ShowSubject

    return ShowSubject(kind, given, **more)


def check(kind: str, given: Any, **more: Any) -> Sequence[Finding]:
    """Makes all checks on a plugin and gives their verdicts.

    `kind` is the plugin's (`models`, `datasets`, `metrics`, `methods`, `protocols`, `suites`, `hooks`,
    `summaries`, `plots`, `executors`); `given` an instance, or a suite's name or path. Methods and
    protocols may be references too. `more` is what the conformance classes take as further fixtures:
    `images`, `examples` and `make`, `cell`, `records`.
    """
    return judge(checks_of(kind), subject_of(kind, given, more))
