"""Checks of a plugin of any kind: a light import, typed options, a docstring, answers at planning."""

from __future__ import annotations

import inspect
from types import ModuleType
from typing import Any

from harness.contract.declared import API_VERSION, ask
from harness.discovery.options import read_options
from harness.discovery.versions import OLDEST_API
from harness.errors import OptionError
from harness.testing.other_process import modules_imported_by
from harness.testing.verdicts import NotChecked, Violation, expect, must


def _class_of(subject: Any) -> Any:
    if isinstance(subject.plugin, ModuleType):
        raise NotChecked("the plugin is a module, not an instance of a class")
    return type(subject.plugin)


def check_light_import(subject: Any) -> None:
    """Importing the plugin's module does not import torch."""
    module = _class_of(subject).__module__
    heavy = modules_imported_by(module) & {"torch", "tensorflow", "jax"}
    expect(
        not heavy,
        f"that importing {module} imports no torch (put heavy imports inside methods)",
        f"that it imports {', '.join(sorted(heavy))}",
        "Planning and `harness info` import the plugin: with torch they take seconds instead of a moment.",
    )


def check_typed_options(subject: Any) -> None:
    """Every option has a type."""
    cls = _class_of(subject)
    why = "A suite's options are checked against the types before anything runs."
    try:
        options, _ = read_options(cls)
    except OptionError as error:
        raise Violation("a constructor whose signature can be read", error, why) from None
    untyped = [o.name for o in options if o.annotation is inspect.Parameter.empty]
    expected = f"a type for every option of {cls.__name__}, as in `width: int = 64`"
    expect(not untyped, expected, f"none (or one that can't be resolved) for {', '.join(untyped)}", why)


def check_documented(subject: Any) -> None:
    """The class has a docstring."""
    cls = _class_of(subject)
    own = next((vars(base).get("__doc__") for base in cls.__mro__[:-1] if vars(base).get("__doc__")), None)
    why = "`harness info` and the documentation show it: it is all that users of the plugin see."
    expect(bool(own and own.strip()), f"a docstring on {cls.__name__}", "none", why)


def check_api_version(subject: Any) -> None:
    """If the plugin states a version of the contract, this harness supports it."""
    wanted = ask(subject.plugin, "harness_api")
    expect(
        wanted is None or (type(wanted) is int and OLDEST_API <= wanted <= API_VERSION),
        f"harness_api to be a whole number from {OLDEST_API} to {API_VERSION}",
        repr(wanted),
        "The harness refuses plugins that are written for a contract it does not know.",
    )


def check_planning(subject: Any) -> None:
    """`unavailable` and `fingerprint`, if defined, answer at once, and the same each time."""
    plugin = subject.plugin
    with must("unavailable() and fingerprint() to answer", "Planning calls them for every cell."):
        if ask(plugin, "unavailable") is not None:
            reason = plugin.unavailable()
            expect(
                reason is None or (isinstance(reason, str) and bool(reason.strip())),
                "unavailable() to return None, or why the plugin can't be used here and how to change that",
                repr(reason),
                "Tables show the text in place of a number.",
            )
            if reason is not None:
                raise NotChecked(f"it says that it can't be used here: {reason}")
        if ask(plugin, "fingerprint") is None:
            return
        first, second = plugin.fingerprint(), plugin.fingerprint()
        expect(
            isinstance(first, str) and first == second,
            "fingerprint() to return the same text each time",
            f"{first!r} and {second!r}",
            "It is part of the cell's id: if it changes, every cell runs again.",
        )


def check_remarks(subject: Any) -> None:
    """`remarks`, if defined, is a list of statements."""
    found = ask(subject.plugin, "remarks")
    texts = found is None or (
        isinstance(found, list | tuple) and all(isinstance(t, str) and t for t in found)
    )
    expected = "`remarks` to be a list of texts, each a short statement"
    expect(
        texts,
        expected,
        repr(found)[:120],
        "Each is a footnote of every table that shows the plugin's numbers.",
    )
