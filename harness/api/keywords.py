"""Unknown keywords of the API's functions: refused with the name that was probably meant."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import wraps
from typing import ParamSpec, TypeVar

from harness.errors import SuiteError, did_you_mean

P = ParamSpec("P")
R = TypeVar("R")


def refusing_unknown(more: Callable[[], Iterable[str]] = tuple) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator: a keyword that the function does not know raises SuiteError with the nearest one.

    `more` returns the names that a function takes as `**keywords`.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        parameters = inspect.signature(function).parameters.values()
        named = [p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]

        @wraps(function)
        def checked(*given: P.args, **keywords: P.kwargs) -> R:
            unknown = [name for name in keywords if name not in named]
            if unknown:
                known = [*named, *more()]
                for name in unknown:
                    if name not in known:
                        raise SuiteError(
                            f"harness.{function.__name__}: unknown option '{name}'{did_you_mean(name, known)}"
                        )
            return function(*given, **keywords)

        return checked

    return decorate


def as_list(given: str | Iterable[str]) -> list[str]:
    """Return texts as a list; a single one needs no brackets."""
    return [given] if isinstance(given, str) else list(given)
