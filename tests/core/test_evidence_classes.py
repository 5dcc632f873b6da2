"""Which evidence a metric reads: by class, wherever its name was written."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import pytest

import harness
from harness import HarnessError, Predictions, SuiteError
from harness.planning.evidence_matching import find_evidence_classes, match_evidence_classes, name_apart
from harness.planning.plan import make_plan
from harness.planning.suite import parse_suite

if TYPE_CHECKING:
    from elsewhere import Hidden


class Read:
    """Evidence of these tests."""


class Finer(Read):
    """A kind of it."""


other_read = type("Read", (), {"__module__": "another.package"})
Alias = Read | Predictions


@runtime_checkable
class Scored(Protocol):
    scores: Any


class Scores:
    scores: Any


class Of:
    higher_is_better = True

    def __call__(self, evidence: Read) -> Hidden:  # what it returns decides nothing
        raise NotImplementedError


class OfAny(Of):
    def __call__(self, evidence: Any) -> float:
        return 1.0


class OfSome(Of):
    def __call__(self, evidence: Alias | None) -> float:
        return 1.0


class OfHidden(Of):
    def __call__(self, evidence: Hidden) -> float:
        return 1.0


class Says(OfHidden):
    reads = (Read,)


def wrapped(function: Any) -> Any:
    @functools.wraps(function)
    def inner(*arguments: Any) -> Any:
        return function(*arguments)

    return inner


class Wrapped(Of):
    @wrapped
    def __call__(self, evidence: Read) -> float:
        return 1.0


def plain(evidence: Read) -> float:
    return 1.0


@pytest.mark.parametrize(
    ("metric", "classes"),
    [
        (Of(), (Read,)),
        (Of, (Read,)),
        (OfAny(), None),
        (OfSome(), (Read, Predictions)),
        (Says(), (Read,)),
        (Wrapped(), (Read,)),
        (plain, (Read,)),
        (functools.partial(plain), (Read,)),
        (lambda evidence: 1.0, None),
        (max, None),
    ],
)
def test_classes_that_are_read(metric: Any, classes: Any) -> None:
    assert find_evidence_classes(metric) == classes


def test_what_can_not_be_found_is_said_in_one_line() -> None:
    with pytest.raises(
        HarnessError,
        match=r"^what it reads, Hidden, can't be found in .*: import .*, or list it in .*`reads`$",
    ):
        find_evidence_classes(OfHidden())


def test_classes_match_not_names() -> None:
    assert match_evidence_classes((Finer,), (Read,))
    assert not match_evidence_classes((Read,), (Finer,))
    assert not match_evidence_classes((other_read,), (Read,))
    assert match_evidence_classes((Scores,), (Scored,))
    assert not match_evidence_classes((Read,), (Scored,))
    assert name_apart((Read,), (other_read, Finer)) == (f"{__name__}.Read", "another.package.Read, Finer")


def planned(toys: Any, given: type, metric: type) -> Any:
    harness.register("protocols", "gives", type("Gives", (toys.Protocol,), {"provides": (given,)}))
    harness.register("metrics", "takes", metric)
    content = {"name": "s", "protocol": "gives", "models": ["toy"], "datasets": ["toy"], "metrics": ["takes"]}
    return list(make_plan(parse_suite(content)))


def test_planning_refuses_other_evidence(toys: Any) -> None:
    assert planned(toys, Finer, Of)[0].state == "run"
    with pytest.raises(
        SuiteError, match=r"reads .*\.Read, protocol 'gives' provides another\.package\.Read: leave"
    ):
        planned(toys, other_read, Of)
    with pytest.raises(SuiteError, match=r"metric 'takes' of .*: what it reads, Hidden, can't be found"):
        planned(toys, Read, OfHidden)


def test_first_party_metrics_say_what_they_read_without_torch() -> None:
    import subprocess

    code = (
        "import sys; from harness.discovery import registry\n"
        "from harness.planning.evidence_matching import find_evidence_classes\n"
        "for p in registry.installed('metrics'): assert find_evidence_classes(registry.load(p)), p\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
