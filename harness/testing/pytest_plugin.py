"""A pytest plugin: the fixture `harness_check` holds a model to a recorded leaderboard.

    def test_no_worse_than_published(harness_check):
        harness_check(
            "robustness",
            model="my_net",
            baseline_store="results/published",
            baseline_model="ViT",
            fail_on=["top1 < -0.5"],
        )

Every pytest run imports this module, so it imports nothing of the harness until the fixture is called.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from harness.comparing.check_against import CheckResult

INCONCLUSIVE = ("fail", "xfail", "warn")


class InconclusiveGate(UserWarning):
    """A gate that the records can't decide."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add options for the store, and for gates that can't be decided."""
    group = parser.getgroup("vision-harness")
    group.addoption(
        "--harness-store",
        metavar="DIR",
        help="store of records made by harness_check (default: the ini value harness_store, else the test's own folder)",
    )
    group.addoption(
        "--harness-inconclusive",
        choices=INCONCLUSIVE,
        help="a harness_check that can't be decided: fail (default), xfail or warn",
    )
    parser.addini("harness_store", "store of records made by harness_check, relative to this file")
    parser.addini("harness_inconclusive", "fail, xfail or warn, as --harness-inconclusive", default="fail")


@pytest.fixture
def harness_check(request: pytest.FixtureRequest) -> Callable[..., CheckResult]:
    """A function that compares a model with a recorded leaderboard, and fails the test by its gates.

    Its arguments are those of `harness.comparing.check_against.check_against`; `store` may be left out, `fail_on` may be one
    text, and `inconclusive` (fail, xfail or warn) overrules the configuration for this call.
    """

    def check_gates(
        suite: Any,
        *,
        fail_on: Sequence[str] | str,
        store: str | Path | None = None,
        inconclusive: str | None = None,
        **more: Any,
    ) -> CheckResult:
        __tracebackhide__ = True
        from harness.comparing.check_against import check_against
        from harness.errors import HarnessError

        allowed = _read_inconclusive(request.config, inconclusive)
        gates = [fail_on] if isinstance(fail_on, str) else fail_on
        try:
            found = check_against(suite, fail_on=gates, store=store or _choose_store(request), **more)
        except HarnessError as error:
            pytest.fail(f"harness_check: {error}", pytrace=False)
        text = f"harness_check: {found.answer}\n{found}"
        if found.answer == "fail" or (found.answer == "inconclusive" and allowed == "fail"):
            pytest.fail(text, pytrace=False)
        if found.answer == "inconclusive" and allowed == "xfail":
            pytest.xfail(text)
        if found.answer == "inconclusive":
            warnings.warn(InconclusiveGate(text), stacklevel=2)
        return found

    return check_gates


def _read_inconclusive(config: pytest.Config, own: str | None) -> str:
    value = own or config.getoption("--harness-inconclusive") or config.getini("harness_inconclusive")
    if value not in INCONCLUSIVE:
        raise pytest.UsageError(f"harness_inconclusive: expected {', '.join(INCONCLUSIVE)}, found '{value}'")
    return str(value)


def _choose_store(request: pytest.FixtureRequest) -> Path:
    if given := request.config.getoption("--harness-store"):
        return Path(given)
    if configured := request.config.getini("harness_store"):
        return request.config.rootpath / str(configured)
    folder: Path = request.getfixturevalue("tmp_path")
    return folder / "harness-store"
