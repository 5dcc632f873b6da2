"""The conformance kit: what the harness expects of plugins, as pytest classes to subclass and as functions.

A plugin's own tests subclass the class of its kind and give it a fixture of that name:

    class TestMyNet(harness.testing.ModelConformance):
        @pytest.fixture
        def model(self):
            return MyNet()

`check` makes the same checks without pytest, as `harness check` does. Nothing is imported before it
is used: the classes need pytest, the functions do not.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.testing.conformance import (
        DatasetConformance,
        ExecutorConformance,
        ListenerConformance,
        MethodConformance,
        MetricConformance,
        ModelConformance,
        PlotConformance,
        ProtocolConformance,
        SuiteConformance,
        SummaryConformance,
    )
    from harness.testing.kinds import check
    from harness.testing.outcome import Finding, NotChecked, Violation

_HOMES = {
    "harness.testing.conformance": (
        "DatasetConformance",
        "ExecutorConformance",
        "ListenerConformance",
        "MethodConformance",
        "MetricConformance",
        "ModelConformance",
        "PlotConformance",
        "ProtocolConformance",
        "SuiteConformance",
        "SummaryConformance",
    ),
    "harness.testing.kinds": ("check",),
    "harness.testing.outcome": ("Finding", "NotChecked", "Violation"),
}

__all__ = [
    "DatasetConformance",
    "ExecutorConformance",
    "Finding",
    "ListenerConformance",
    "MethodConformance",
    "MetricConformance",
    "ModelConformance",
    "NotChecked",
    "PlotConformance",
    "ProtocolConformance",
    "SuiteConformance",
    "SummaryConformance",
    "Violation",
    "check",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'harness.testing' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
