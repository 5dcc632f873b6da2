"""Matching of the evidence classes that a metric reads with those that a protocol provides."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Sequence
from functools import partial
from typing import Any

from harness.contract.capability import has
from harness.contract.declared import ask
from harness.discovery.options import evaluate_annotation
from harness.errors import HarnessError


def find_evidence_classes(metric: Any) -> tuple[type, ...] | None:
    """Return the evidence classes of which a metric (object, class or function) reads any; None for all.

    They are those in its `reads`, else those of its argument's annotation. Raises HarnessError if the
    annotation can't be resolved in the metric's module.
    """
    if (stated := ask(metric, "reads")) is not None:
        return tuple(stated)
    call = metric
    while isinstance(call, partial):
        call = call.func
    if unbound := not inspect.isroutine(call):
        call = (call if isinstance(call, type) else type(call)).__call__
    try:
        parameters = list(inspect.signature(call).parameters.values())[unbound:]
    except ValueError:  # such as a function of a C library
        return None
    first = parameters[0].annotation if parameters else inspect.Parameter.empty
    if first is inspect.Parameter.empty:
        return None
    holder = inspect.unwrap(call)
    found = evaluate_annotation(first, {"typing": typing, **getattr(holder, "__globals__", {})})
    if found is inspect.Parameter.empty:
        name = str(first).strip("'\"")
        raise HarnessError(
            f"what it reads, {name}, can't be found in {holder.__module__}: import the class there "
            "outside `if TYPE_CHECKING`, or list it in the attribute `reads`"
        )
    return _classes(found)


def _classes(annotation: Any) -> tuple[type, ...] | None:
    if annotation is Any or annotation is object:
        return None
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        each = [_classes(part) for part in parts if part is not type(None)]
        return None if None in each else tuple(c for classes in each for c in classes or ())
    if origin is typing.Annotated:
        return _classes(parts[0])
    found = origin or annotation
    return (found,) if isinstance(found, type) else None


def match_evidence_classes(provided: Sequence[type], wanted: Sequence[type]) -> bool:
    """Return whether any provided class is a wanted one, a subclass, or has a wanted protocol's members."""
    from typing_extensions import is_protocol

    return any(has(p, w) if is_protocol(w) else issubclass(p, w) for p in provided for w in wanted)


def name_apart(wanted: Sequence[type], provided: Sequence[type]) -> tuple[str, str]:
    """Return the names of both sides' classes, with their modules if a name is on both sides."""
    shared = {c.__name__ for c in wanted} & {c.__name__ for c in provided}

    def join(side: Sequence[type], sep: str) -> str:
        return sep.join(f"{c.__module__}.{c.__name__}" if c.__name__ in shared else c.__name__ for c in side)

    return join(wanted, " or "), join(provided, ", ")
