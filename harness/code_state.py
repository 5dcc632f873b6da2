"""What code objects say: names and attributes that they assign, containers that they fill, modules they import."""

from __future__ import annotations

import dis
import re
from collections.abc import Iterator, Sequence
from types import CodeType, FunctionType
from typing import Any

MUTATORS = re.compile(
    "append|appendleft|extend|insert|add|update|setdefault|pop|popitem|popleft|remove|discard|clear|sort|put"
)
HAS_DOCSTRING = next((flag for flag, name in dis.COMPILER_FLAG_NAMES.items() if name == "HAS_DOCSTRING"), 0)
"""The flag of functions with a docstring. Where Python has none yet, those without one begin with None."""

OPTIMIZED = 1
"""The flag of functions, which bodies of classes don't have."""

ANY = object()
"""Stands for a key that is known only when the code runs."""


def codes_of(value: Any) -> Iterator[CodeType]:
    """The code of a class's attribute, whatever it is wrapped in."""
    inner = (
        getattr(value, "__func__", None)
        or getattr(value, "func", None)
        or getattr(value, "__wrapped__", None)
    )
    for function in (value, inner, *(getattr(value, n, None) for n in ("fget", "fset", "fdel"))):
        if isinstance(function, FunctionType):
            yield from nested(function.__code__)


def nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from nested(constant)


def named(code: CodeType, operations: tuple[str, ...]) -> set[str]:
    """The names that some operations are done on."""
    return {i.argval for i in dis.get_instructions(code) if i.opname in operations}


def assigned(code: CodeType) -> set[str]:
    """The attributes that code assigns to."""
    return named(code, ("STORE_ATTR", "DELETE_ATTR"))


def imported(code: CodeType, package: str) -> Iterator[str]:
    """The top-level modules that code of a package imports when it runs."""
    steps = [i for i in dis.get_instructions(code) if i.opname not in ("CACHE", "EXTENDED_ARG")]
    for index, step in enumerate(steps):
        if step.opname == "IMPORT_NAME":  # after the level and the list of names
            relative = index > 1 and steps[index - 2].argval
            top = (package if relative else str(step.argval)).partition(".")[0]
            if top:
                yield top


def without_docstring(code: CodeType) -> tuple[Any, ...]:
    """The constants of code, but for what a function says of itself, which is its first one."""
    told = code.co_flags & (HAS_DOCSTRING or OPTIMIZED)
    if told and not code.co_name.startswith("<") and code.co_consts and isinstance(code.co_consts[0], str):
        return ("", *code.co_consts[1:])
    return code.co_consts


def filled(code: CodeType, loads: tuple[str, ...]) -> set[tuple[str, Any]]:
    """The names, loaded so, of containers that code puts something into, each with the key under which it does.

    The key is ANY where it is no constant, or where the container itself is changed.
    """
    found: set[tuple[str, Any]] = set()
    steps = [i for i in dis.get_instructions(code) if i.opname not in ("CACHE", "EXTENDED_ARG")]
    for index, step in enumerate(steps):
        end = None
        if step.opname in ("LOAD_METHOD", "LOAD_ATTR") and MUTATORS.fullmatch(str(step.argval)):
            end, key = index, ANY
        elif step.opname in ("STORE_SUBSCR", "DELETE_SUBSCR"):
            end, key = _holder(steps, _augmented(steps, index))
        while end is not None and end > 0 and steps[end - 1].opname == "BINARY_SUBSCR":  # held in another one
            end, key = _holder(steps, end - 1)
        if end is not None and end > 0 and steps[end - 1].opname in loads:
            found.add((steps[end - 1].argval, key))
    return found


def _augmented(steps: Sequence[dis.Instruction], index: int) -> int:
    """Where container and key of `x[k] += 1` have been loaded: they are copied for reading and for writing."""
    if steps[index].opname != "STORE_SUBSCR" or steps[index - 1].opname != "SWAP":
        return index
    for earlier in range(index - 1, 1, -1):
        if [s.opname for s in steps[earlier - 1 : earlier + 2]] == ["COPY", "COPY", "BINARY_SUBSCR"]:
            return earlier - 1
    return index


def _holder(steps: Sequence[dis.Instruction], end: int) -> tuple[int | None, Any]:
    """Where the expression of a container ends whose key has been computed just before step `end`, and the key.

    The key began where one value more than before lay on the stack.
    """
    missing = 1
    for start in range(end - 1, -1, -1):
        step = steps[start]
        missing -= dis.stack_effect(step.opcode, step.arg, jump=False)
        if missing <= 0:
            constant = start == end - 1 and step.opname == "LOAD_CONST"
            return start, step.argval if constant else ANY
    return None, ANY
