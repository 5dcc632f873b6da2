"""What is expected of a plugin of any kind: a light import, typed options, a docstring, answers at planning."""

from __future__ import annotations

import inspect
from typing import Any

from harness.contract.declared import API_VERSION, ask
from harness.discovery.options import read_options
from harness.discovery.versions import OLDEST_API
from harness.errors import OptionError
from harness.testing.apart import imported_with
from harness.testing.outcome import Check, NotChecked, Violation, expect, must


def check_light_import(subject: Any) -> None:
    """Importing the plugin's module imports no torch."""
    module = type(subject.plugin).__module__
    heavy = imported_with(module) & {"torch", "tensorflow", "jax"}
    expect(
        not heavy,
        f"that importing {module} imports no torch (heavy imports stand inside methods)",
        f"that it imports {', '.join(sorted(heavy))}",
        "Planning and `harness info` import the plugin: with torch they take seconds instead of a moment.",
    )


def check_typed_options(subject: Any) -> None:
    """Every option has a type."""
    cls: Any = type(subject.plugin)
    try:
        options, _ = read_options(cls)
    except OptionError as error:
        raise Violation(
            "a constructor whose signature can be read", error, "Suites' options are checked against it."
        ) from None
    untyped = [o.name for o in options if o.annotation is inspect.Parameter.empty]
    expect(
        not untyped,
        f"a type for every option of {cls.__name__}, as in `width: int = 64`",
        f"none (or one that can't be resolved) for {', '.join(untyped)}",
        "A suite's options are checked against the types before anything runs; without one, a wrong value "
        "is found in the middle of a run.",
    )


def check_documented(subject: Any) -> None:
    """The class says what it is."""
    cls = type(subject.plugin)
    own = next((vars(base).get("__doc__") for base in cls.__mro__[:-1] if vars(base).get("__doc__")), None)
    expect(
        bool(own and own.strip()),
        f"a docstring on {cls.__name__}",
        "none",
        "`harness info` and the documentation show it: it is all that users of the plugin see.",
    )


def check_api_version(subject: Any) -> None:
    """The version of the contract, if the plugin states one, is one that this harness has."""
    wanted = ask(subject.plugin, "harness_api")
    if wanted is None:
        return  # it is taken as it is
    expect(
        type(wanted) is int and OLDEST_API <= wanted <= API_VERSION,
        f"harness_api to be a whole number from {OLDEST_API} to {API_VERSION}",
        repr(wanted),
        "The harness refuses plugins that are written for a contract it does not know.",
    )


def check_planning(subject: Any) -> None:
    """`unavailable` and `fingerprint`, where given, answer at once, and the same each time."""
    plugin = subject.plugin
    with must("unavailable() and fingerprint() to answer", "They are asked for every cell at planning."):
        if ask(plugin, "unavailable") is not None:
            reason = plugin.unavailable()
            expect(
                reason is None or (isinstance(reason, str) and bool(reason.strip())),
                "unavailable() to give None, or why it can't be used here and how to change that",
                repr(reason),
                "The text stands in the table in place of a number.",
            )
            if reason is not None:
                raise NotChecked(f"it says that it can't be used here: {reason}")
        if ask(plugin, "fingerprint") is None:
            return
        first, second = plugin.fingerprint(), plugin.fingerprint()
        expect(
            isinstance(first, str) and first == second,
            "fingerprint() to give the same text each time",
            f"{first!r} and {second!r}",
            "It is part of the cell's id: a fingerprint that changes makes every cell run again.",
        )


def check_remarks(subject: Any) -> None:
    """`remarks`, where given, is a list of statements."""
    found = ask(subject.plugin, "remarks")
    sound = found is None or (
        isinstance(found, list | tuple) and all(isinstance(t, str) and t for t in found)
    )
    expect(
        sound,
        "`remarks` to be a list of texts, each a short statement",
        repr(found)[:120],
        "Each stands as a footnote below every table that shows the plugin's numbers.",
    )


CHECKS: tuple[Check, ...] = (
    check_light_import,
    check_typed_options,
    check_documented,
    check_api_version,
    check_planning,
    check_remarks,
)
