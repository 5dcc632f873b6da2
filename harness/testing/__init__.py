"""The conformance kit: what the harness expects of plugins, as pytest classes to subclass and as functions.

In the tests of a plugin, subclass the class of its kind and define the fixture of that name:

    class TestMyNet(harness.testing.ModelConformance):
        @pytest.fixture
        def model(self):
            return MyNet()

`check` makes the same checks without pytest, as `harness check` does. Everything is imported on first
use: the classes need pytest, the functions do not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.lazy import homes_of, importer

if TYPE_CHECKING:
    from harness.testing.conformance import DatasetConformance as DatasetConformance
    from harness.testing.conformance import ExecutorConformance as ExecutorConformance
    from harness.testing.conformance import ImporterConformance as ImporterConformance
    from harness.testing.conformance import ListenerConformance as ListenerConformance
    from harness.testing.conformance import MethodConformance as MethodConformance
    from harness.testing.conformance import MetricConformance as MetricConformance
    from harness.testing.conformance import ModelConformance as ModelConformance
    from harness.testing.conformance import PlotConformance as PlotConformance
    from harness.testing.conformance import ProtocolConformance as ProtocolConformance
    from harness.testing.conformance import SuiteConformance as SuiteConformance
    from harness.testing.conformance import SummaryConformance as SummaryConformance
    from harness.testing.kinds import check as check
    from harness.testing.verdicts import Finding as Finding
    from harness.testing.verdicts import NotChecked as NotChecked
    from harness.testing.verdicts import Violation as Violation

_HOMES = homes_of(__name__)
__all__ = sorted(_HOMES)
__getattr__ = importer(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
