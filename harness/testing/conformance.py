"""The conformance classes for pytest, one per kind of plugin: subclass one and give it a fixture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import pytest

from harness.testing.kinds import checks_of, subject_of
from harness.testing.outcome import Check, NotChecked

C = TypeVar("C", bound="type[Conformance]")


def _tests_of(kind: str, fixture: str, **more: str) -> Callable[[C], C]:
    """Give a class a test method for each check of a kind: `check_shapes` becomes `test_shapes`.

    `fixture` is the name of the plugin's, and `more` those of others by the subject's arguments.
    """

    def add(cls: C) -> C:
        cls._kind, cls._fixtures = kind, {"given": fixture, **more}
        asks = pytest.mark.usefixtures(*cls._fixtures.values())  # so that they may have parameters
        for check in checks_of(kind):
            name = check.__name__.replace("check_", "test_")
            setattr(cls, name, asks(_test(check, name)))
        return cls

    return add


def _test(check: Check, name: str) -> Callable[[Any, Any], None]:
    def test(self: Any, subject: Any) -> None:
        __tracebackhide__ = True
        try:
            check(subject)
        except NotChecked as reason:
            pytest.skip(str(reason))

    test.__name__, test.__doc__ = name, check.__doc__
    return test


class Conformance:
    """What the classes share: the subject of the checks, made once for each plugin a class is given."""

    _kind: ClassVar[str]
    _fixtures: ClassVar[dict[str, str]]
    _kept: ClassVar[dict[object, Any]]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._kept = {}

    @pytest.fixture
    def subject(self, request: pytest.FixtureRequest) -> Any:
        """What the checks look at, for this test's parameters; a model is loaded, a cell run, once for all tests."""
        spec = getattr(request.node, "callspec", None)
        key = spec.id if spec is not None else ""
        more = {name: request.getfixturevalue(fixture) for name, fixture in self._fixtures.items()}
        if key not in self._kept:
            given = more.pop("given")
            self._kept[key] = subject_of(self._kind, given, {k: v for k, v in more.items() if v is not None})
        return self._kept[key]


@_tests_of("models", "model", images="images")
class ModelConformance(Conformance):
    """Checks of a model. The fixture `model` gives an instance that is not loaded; `images`, PIL images to try."""

    @pytest.fixture
    def images(self) -> Sequence[Any] | None:
        """PIL images; by default some of the kit's own."""
        return None


@_tests_of("datasets", "dataset")
class DatasetConformance(Conformance):
    """Checks of a data set. The fixture `dataset` gives an instance."""


@_tests_of("metrics", "metric", examples="examples", make="make_evidence")
class MetricConformance(Conformance):
    """Checks of a metric. The fixture `metric` gives an instance.

    `examples` gives known values, a list of (evidence, value); `make_evidence` a function of a quality
    (0 all wrong, 0.5 guessed, 1 perfect) and a seed, for evidence other than Predictions.
    """

    @pytest.fixture
    def examples(self) -> Sequence[tuple[Any, Any]] | None:
        """Known values; by default the class's own `examples`."""
        return None

    @pytest.fixture
    def make_evidence(self) -> Callable[[float, int], Any] | None:
        """Makes evidence; by default Predictions, or what the evidence class's `example` gives."""
        return None


class _Runs(Conformance):
    @pytest.fixture
    def cell(self) -> Mapping[str, Any] | None:
        """A suite's content to run in (models, datasets, metrics, axes, …); by default a protocol's smallest."""
        return None


@_tests_of("methods", "method", cell="cell")
class MethodConformance(_Runs):
    """Checks of a method. The fixture `method` gives an instance, or a reference as a suite writes it."""


@_tests_of("protocols", "protocol", cell="cell")
class ProtocolConformance(_Runs):
    """Checks of a protocol. The fixture `protocol` gives an instance, or a reference as a suite writes it."""


@_tests_of("executors", "executor", cell="cell")
class ExecutorConformance(_Runs):
    """Checks of an executor. The fixture `executor` gives an instance."""


@_tests_of("importers", "importer")
class ImporterConformance(Conformance):
    """Checks of an importer. The fixture `importer` gives an instance."""


@_tests_of("suites", "suite")
class SuiteConformance(Conformance):
    """Checks of a suite. The fixture `suite` gives the name of an installed one, or the path of its file."""


@_tests_of("hooks", "listener")
class ListenerConformance(Conformance):
    """Checks of a listener. The fixture `listener` gives an instance, or a module."""


class _Shows(Conformance):
    @pytest.fixture
    def records(self) -> Any:
        """Records that it should be able to show, a DataFrame with one row per cell; by default none."""
        return None


@_tests_of("summaries", "summary", records="records")
class SummaryConformance(_Shows):
    """Checks of a summary. The fixture `summary` gives an instance; `records` a DataFrame that it can summarise."""


@_tests_of("plots", "plot", records="records")
class PlotConformance(_Shows):
    """Checks of a plot. The fixture `plot` gives an instance; `records` a DataFrame that it can draw."""
