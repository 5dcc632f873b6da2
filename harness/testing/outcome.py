"""What a check can say: it holds, it fails (what was expected, what was found, why it matters), or it was not made."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from harness.errors import Unavailable

Check = Callable[[Any], None]
"""A check takes its kind's subject; it raises Violation, or NotChecked, or returns.

Its name is `check_` and what it looks at; its docstring's first line says what holds afterwards.
"""


class Violation(AssertionError):
    """A plugin does not do what the harness expects of its kind."""

    def __init__(self, expected: str, found: object, why: str) -> None:
        self.expected, self.found, self.why = expected, str(found), why
        super().__init__(f"expected {expected}; found {found}. {why}")


class NotChecked(Exception):
    """A check does not apply to this plugin, or can't be made here; the text says why."""


@dataclass(frozen=True)
class Finding:
    """The verdict of one check: its name in words, how it went, and the message unless it holds."""

    check: str
    status: Literal["holds", "fails", "not checked"]
    message: str = ""


def expect(holds: bool, expected: str, found: object, why: str) -> None:
    """Raises Violation unless `holds`."""
    __tracebackhide__ = True
    if not holds:
        raise Violation(expected, found, why)


@contextmanager
def must(expected: str, why: str) -> Iterator[None]:
    """Whatever the plugin raises inside becomes a Violation; what is unavailable here, NotChecked."""
    __tracebackhide__ = True
    try:
        yield
    except (Violation, NotChecked):
        raise
    except Unavailable as error:
        raise NotChecked(str(error)) from None
    except (Exception, SystemExit) as error:  # a plugin may raise anything
        raise Violation(expected, described(error), why) from error


def described(error: BaseException) -> str:
    """An exception in one line: its type, its text, and the line of code that raised it."""
    text = " ".join(str(error).split())
    frames = traceback.extract_tb(error.__traceback__)
    where = f" (at {frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {text}{where}"


def words(check: Check) -> str:
    """A check's name in words: `check_batch_independence` is "batch independence"."""
    return str(getattr(check, "__name__", check)).removeprefix("check_").replace("_", " ")


def judge(checks: Sequence[Check], subject: Any) -> list[Finding]:
    """Makes the checks one after another; one that fails, in whatever way, stops no other."""
    findings = []
    for check in checks:
        try:
            check(subject)
        except Violation as violation:
            findings.append(Finding(words(check), "fails", str(violation)))
        except NotChecked as reason:
            findings.append(Finding(words(check), "not checked", str(reason)))
        except Unavailable as reason:
            findings.append(Finding(words(check), "not checked", str(reason)))
        except (Exception, SystemExit) as error:  # a plugin may raise anything, anywhere
            findings.append(Finding(words(check), "fails", f"expected an answer; found {described(error)}"))
        else:
            findings.append(Finding(words(check), "holds"))
    return findings
