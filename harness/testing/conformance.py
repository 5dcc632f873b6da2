"""The conformance classes for pytest, one per kind of plugin: subclass one and give it a fixture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import pytest

from harness.testing.kinds import checks_of, subject_of
from harness.testing.outcome import Check, NotChecked

C = TypeVar("C", bound=type)


def _tests_of(kind: str) -> Callable[[C], C]:
    """Gives a class a test method for each check of a kind: `check_shapes` becomes `test_shapes`."""

    def add(cls: C) -> C:
        for check in checks_of(kind):
            name = check.__name__.replace("check_", "test_")
            setattr(cls, name, _test(check, name))
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

    _kept: ClassVar[dict[object, Any]]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._kept = {}

    @classmethod
    def _subject(cls, request: pytest.FixtureRequest, kind: str, given: Any, **more: Any) -> Any:
        """The subject for this test's parameters; loading a model or running a cell is done once for all tests."""
        spec = getattr(request.node, "callspec", None)
        key = spec.id if spec is not None else ""
        if key not in cls._kept:
            cls._kept[key] = subject_of(kind, given, {k: v for k, v in more.items() if v is not None})
        return cls._kept[key]


@_tests_of("models")
class ModelConformance(Conformance):
    """Checks of a model. The fixture `model` gives an instance that is not loaded; `images`, PIL images to try."""

    @pytest.fixture
    def images(self) -> Sequence[Any] | None:
        """PIL images; by default some of the kit's own."""
        return None

    @pytest.fixture
    def subject(self, request: pytest.FixtureRequest, model: Any, images: Sequence[Any] | None) -> Any:
        """What the checks look at."""
        return self._subject(request, "models", model, images=images)


@_tests_of("datasets")
class DatasetConformance(Conformance):
    """Checks of a data set. The fixture `dataset` gives an instance."""

    @pytest.fixture
    def subject(self, request: pytest.FixtureRequest, dataset: Any) -> Any:
        """What the checks look at."""
        return self._subject(request, "datasets", dataset)


@_tests_of("metrics")
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

    @pytest.fixture
    def subject(
        self,
        request: pytest.FixtureRequest,
        metric: Any,
        examples: Sequence[tuple[Any, Any]] | None,
        make_evidence: Callable[[float, int], Any] | None,
    ) -> Any:
        """What the checks look at."""
        return self._subject(request, "metrics", metric, examples=examples, make=make_evidence)


class _Runs(Conformance):
    @pytest.fixture
    def cell(self) -> Mapping[str, Any] | None:
        """A suite's content to run in (models, datasets, metrics, axes, …); by default a protocol's smallest."""
        return None


@_tests_of("methods")
class MethodConformance(_Runs):
    """Checks of a method. The fixture `method` gives an instance, or a reference as a suite writes it."""

    @pytest.fixture
    def subject(self, request: pytest.FixtureRequest, method: Any, cell: Mapping[str, Any] | None) -> Any:
        """What the checks look at."""
        return self._subject(request, "methods", method, cell=cell)


@_tests_of("protocols")
class ProtocolConformance(_Runs):
    """Checks of a protocol. The fixture `protocol` gives an instance, or a reference as a suite writes it."""

    @pytest.fixture
    def subject(self, request: pytest.FixtureRequest, protocol: Any, cell: Mapping[str, Any] | None) -> Any:
        """What the checks look at."""
        return self._subject(request, "protocols", protocol, cell=cell)


@_tests_of("executors")
class ExecutorConformance(_Runs):
    """Checks of an executor. The fixture `executor` gives an instance."""

    @pytest.fixture
    def subject(self, request: pytest.FixtureRequest, executor: Any, cell: Mapping[str, Any] | None) -> Any:
        """What the checks look at."""
        return self._subject(request, "executors", executor, cell=cell)


@_tests_of("suites")
class SuiteConformance(Conformance):
    """Checks of a suite. The fixture `suite` gives the name of an installed one, or the path of its file."""

    @pytest.fixture
    def subject(self, request: pytest.FixtureRequest, suite: Any) -> Any:
        """What the checks look at."""
        return self._subject(request, "suites", suite)


@_tests_of("hooks")
class ListenerConformance(Conformance):
    """Checks of a listener. The fixture `listener` gives an instance, or a module."""

    @pytest.fixture
    def subject(self, request: pytest.FixtureRequest, listener: Any) -> Any:
        """What the checks look at."""
        return self._subject(request, "hooks", listener)


class _Shows(Conformance):
    @pytest.fixture
    def records(self) -> Any:
        """Records that it should be able to show, a DataFrame with one row per cell; by default none."""
        return None


@_tests_of("summaries")
class SummaryConformance(_Shows):
    """Checks of a summary. The fixture `summary` gives an instance; `records` a DataFrame that it can summarise."""

    @pytest.fixture
    def subject(self, request: pytest.FixtureRequest, summary: Any, records: Any) -> Any:
        """What the checks look at."""
        return self._subject(request, "summaries", summary, records=records)


@_tests_of("plots")
class PlotConformance(_Shows):
    """Checks of a plot. The fixture `plot` gives an instance; `records` a DataFrame that it can draw."""

    @pytest.fixture
    def subject(self, request: pytest.FixtureRequest, plot: Any, records: Any) -> Any:
        """What the checks look at."""
        return self._subject(request, "plots", plot, records=records)
