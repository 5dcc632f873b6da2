"""Verdicts of checks: one holds, fails (with what was expected and found, and why), or was not made."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from harness.contract.declared import ask
from harness.discovery.waiting import doing
from harness.errors import Unavailable

Check = Callable[[Any], None]
"""A function `check_NAME(subject)` that returns, or raises Violation or NotChecked.

The first line of its docstring says what holds if it returns.
"""


class Violation(AssertionError):
    """A plugin does not do what the harness expects of its kind."""

    def __init__(self, expected: str, found: object, why: str) -> None:
        super().__init__(f"expected {expected}; found {found}. {why}")


class NotChecked(Exception):
    """A check does not apply to this plugin, or can't be made here; the text says why."""


@dataclass(frozen=True)
class Finding:
    """The verdict of one check: its readable name, its status, and the message unless it holds."""

    check: str
    status: Literal["holds", "fails", "not checked"]
    message: str = ""


def expect(holds: bool, expected: str, found: object, why: str) -> None:
    """Raise Violation unless `holds`."""
    __tracebackhide__ = True
    if not holds:
        raise Violation(expected, found, why)


@contextmanager
def must(expected: str, why: str) -> Iterator[None]:
    """Turn whatever the plugin raises inside into a Violation, and Unavailable into NotChecked."""
    __tracebackhide__ = True
    try:
        yield
    except (Violation, NotChecked):
        raise
    except Unavailable as error:
        raise NotChecked(str(error)) from None
    except (Exception, SystemExit) as error:  # a plugin may raise anything
        raise Violation(expected, describe_error(error), why) from error


def require_available(plugin: Any) -> None:
    """Raise NotChecked with the reason if a plugin says that it can't be used here."""
    if ask(plugin, "unavailable") is not None and (reason := plugin.unavailable()):
        raise NotChecked(reason)


def describe_error(error: BaseException) -> str:
    """Return an exception in one line: its type, its text, and the line of code that raised it."""
    text = " ".join(str(error).split())
    frames = traceback.extract_tb(error.__traceback__)
    where = f" (at {frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {text}{where}"


def readable_name(check: Check) -> str:
    """Return a check's name for readers: "batch independence" for `check_batch_independence`."""
    return str(getattr(check, "__name__", check)).removeprefix("check_").replace("_", " ")


def run_checks(checks: Sequence[Check], subject: Any) -> list[Finding]:
    """Make all checks. An exception that no check expects fails the check that met it."""
    return [_judge(check, subject) for check in checks]


def _judge(check: Check, subject: Any) -> Finding:
    name = readable_name(check)
    try:
        with doing(name):
            check(subject)
    except Violation as violation:
        return Finding(name, "fails", str(violation))
    except (NotChecked, Unavailable) as reason:
        return Finding(name, "not checked", str(reason))
    except (Exception, SystemExit) as error:  # a plugin may raise anything, anywhere
        return Finding(name, "fails", f"expected an answer; found {describe_error(error)}")
    return Finding(name, "holds")
