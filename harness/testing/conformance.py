"""The conformance classes for pytest, one per kind of plugin: subclass one and define its fixture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import pytest

from harness.testing.kinds import find_kind_checks, make_kind_subject
from harness.testing.verdicts import Check, NotChecked

C = TypeVar("C", bound="type[Conformance]")


def _add_tests(kind: str, fixture: str, **more: str) -> Callable[[C], C]:
    """Give a class a test method for each check of a kind: `check_shapes` becomes `test_shapes`.

    `fixture` names the plugin's fixture; `more` maps arguments of the subject to the names of their fixtures.
    """

    def add(cls: C) -> C:
        cls._kind, cls._fixtures = kind, {"given": fixture, **more}
        # request the fixtures by name, so that they may have parameters
        request_fixtures = pytest.mark.usefixtures(*cls._fixtures.values())
        for check in find_kind_checks(kind):
            name = check.__name__.replace("check_", "test_")
            setattr(cls, name, request_fixtures(_make_test(check, name)))
        return cls

    return add


def _make_test(check: Check, name: str) -> Callable[[Any, Any], None]:
    def test(self: Any, subject: Any) -> None:
        __tracebackhide__ = True
        try:
            check(subject)
        except NotChecked as reason:
            pytest.skip(str(reason))

    test.__name__, test.__doc__ = name, check.__doc__
    return test


class Conformance:
    """Base of the conformance classes: makes the subject of the checks once per plugin of a class."""

    _kind: ClassVar[str]
    _fixtures: ClassVar[dict[str, str]]
    _subjects: ClassVar[dict[str, Any]]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls._subjects = {}

    @pytest.fixture
    def subject(self, request: pytest.FixtureRequest) -> Any:
        """The subject for this test's parameters, shared by its tests: a model is loaded and a cell run once."""
        spec = getattr(request.node, "callspec", None)
        key = spec.id if spec is not None else ""
        more = {name: request.getfixturevalue(fixture) for name, fixture in self._fixtures.items()}
        if key not in self._subjects:
            given = more.pop("given")
            more = {name: value for name, value in more.items() if value is not None}
            self._subjects[key] = make_kind_subject(self._kind, given, more)
        return self._subjects[key]


@_add_tests("models", "model", images="images")
class ModelConformance(Conformance):
    """Checks of a model. The fixture `model` returns an unloaded instance; `images`, PIL images to try."""

    @pytest.fixture
    def images(self) -> Sequence[Any] | None:
        """PIL images; by default some of the kit's own."""
        return None


@_add_tests("datasets", "dataset")
class DatasetConformance(Conformance):
    """Checks of a data set. The fixture `dataset` returns an instance."""


@_add_tests("metrics", "metric", examples="examples", make="make_evidence")
class MetricConformance(Conformance):
    """Checks of a metric. The fixture `metric` returns an instance."""

    @pytest.fixture
    def examples(self) -> Sequence[tuple[Any, Any]] | None:
        """Known values, a list of (evidence, value); by default the class's own `examples`."""
        return None

    @pytest.fixture
    def make_evidence(self) -> Callable[[float, int], Any] | None:
        """A function of a quality (0 all wrong, 0.5 guessed, 1 perfect) and a seed that makes evidence.

        By default it makes Predictions, or what the evidence class's `example` returns.
        """
        return None


class _Runs(Conformance):
    @pytest.fixture
    def cell(self) -> Mapping[str, Any] | None:
        """A suite's content to run in (models, datasets, axes, …); by default a protocol's smallest."""
        return None


@_add_tests("methods", "method", cell="cell")
class MethodConformance(_Runs):
    """Checks of a method. The fixture `method` returns an instance, or a reference as a suite writes it."""


@_add_tests("protocols", "protocol", cell="cell")
class ProtocolConformance(_Runs):
    """Checks of a protocol. The fixture `protocol` returns an instance, or a reference as a suite writes it."""


@_add_tests("executors", "executor", cell="cell")
class ExecutorConformance(_Runs):
    """Checks of an executor. The fixture `executor` returns an instance."""


@_add_tests("importers", "importer")
class ImporterConformance(Conformance):
    """Checks of an importer. The fixture `importer` returns an instance."""


@_add_tests("suites", "suite")
class SuiteConformance(Conformance):
    """Checks of a suite. The fixture `suite` returns the name of an installed one, or the path of its file."""


@_add_tests("hooks", "listener")
class ListenerConformance(Conformance):
    """Checks of a listener. The fixture `listener` returns an instance, or a module."""


class _Shows(Conformance):
    @pytest.fixture
    def records(self) -> Any:
        """Records that the plugin must be able to show, a DataFrame with one row per cell; by default none."""
        return None


@_add_tests("summaries", "summary", records="records")
class SummaryConformance(_Shows):
    """Checks of a summary. The fixture `summary` returns an instance; `records`, a DataFrame for it."""


@_add_tests("plots", "plot", records="records")
class PlotConformance(_Shows):
    """Checks of a plot. The fixture `plot` returns an instance; `records`, a DataFrame for it."""
