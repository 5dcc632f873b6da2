"""Functions as targets of entry points: decorated ones stand for a class, bare ones for a mistake."""

from __future__ import annotations

import inspect
import re
from functools import partial
from typing import Any, NamedTuple

FUNCTION_CLASS = "__harness_plugin__"
"""The attribute in which a decorated function (`functions.py`) holds the class that stands for it."""


class _Shape(NamedTuple):
    """How a function of a kind is decorated, and what it returns and takes, unlike a factory of such plugins."""

    decorator: str
    returns: str
    takes: str


SHAPES = {
    "metrics": _Shape(
        "@harness.metric(higher_is_better=True)",
        r"float\d*|int|dict|Mapping|NDArray|ndarray|floating",
        "Predictions|predictions|evidence",
    ),
    "summaries": _Shape("@harness.summary()", "DataFrame", "DataFrame|records|frame|data"),
    "hooks": _Shape(
        '@harness.listener("cell_finished")', "None", "plan|store|cell|record|records|suite|table|Cell|Record"
    ),
}
"""The kinds of which a function can be a plugin."""


def class_for(target: Any) -> Any:
    """Return the class that stands for a decorated function; anything else as it is."""
    return getattr(target, FUNCTION_CLASS, target) if inspect.isfunction(target) else target


def make_instance(given: Any) -> Any:
    """Return the plugin that a decorated function, or a partial of one with options, stands for.

    Anything else is returned as it is.
    """
    options: dict[str, Any] = {}
    plain = given
    while isinstance(plain, partial) and not plain.args:
        options, plain = {**plain.keywords, **options}, plain.func
    made = class_for(plain)
    return given if made is plain else made(**options)


def find_function_fault(kind: str, target: str, loaded: Any) -> str | None:
    """Return why a function is no plugin of its kind and what to do, or None.

    An undecorated function is a factory of plugins. One that takes what the plugin would take, or returns
    what it would return, was meant to be the plugin itself.
    """
    decorated = getattr(loaded, "_function_kind", kind)
    if decorated != kind:
        decorator = SHAPES[decorated].decorator.partition("(")[0]
        return f"{target} has the decorator {decorator}, so it belongs to the group harness.{decorated}"
    if kind in SHAPES and inspect.isfunction(loaded) and _is_bare(SHAPES[kind], loaded):
        return (
            f"{target} is a plain function: put {SHAPES[kind].decorator} in front of it "
            "(or name a class, or a function that returns a plugin)"
        )
    return None


def _is_bare(shape: _Shape, function: Any) -> bool:
    signature = inspect.signature(function)
    first = next(iter(signature.parameters.values()), None)
    if first is None or first.default is not first.empty:
        return False  # a factory's options have defaults, as a rule; what a plugin is called with has none
    taken = {first.name, _last_word(first.annotation)}
    returns = _last_word(signature.return_annotation)
    return bool(re.fullmatch(shape.returns, returns) or any(re.fullmatch(shape.takes, t) for t in taken))


def _last_word(annotation: Any) -> str:
    """Return the name of an annotation's class, without its module and parameters."""
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    return text.partition("[")[0].rpartition(".")[2]
