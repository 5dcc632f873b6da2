"""What code changes by itself: the names and attributes that it assigns, the containers that it fills."""

from __future__ import annotations

import dis
import re
from collections.abc import Iterator
from types import CodeType, FunctionType
from typing import Any

MUTATORS = re.compile(
    "append|appendleft|extend|insert|add|update|setdefault|pop|popitem|popleft|remove|discard|clear|sort|put"
)
PUSHES = ("LOAD_CONST", "LOAD_FAST", "LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_SMALL_INT")
"""Operations of which each puts one thing on the stack and takes none: a simple key."""


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


def filled(code: CodeType, loads: tuple[str, ...]) -> set[str]:
    """The names, loaded so, of containers that code puts something into."""
    found = set()
    before: list[dis.Instruction] = []
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("CACHE", "PUSH_NULL", "EXTENDED_ARG"):
            continue
        if instruction.opname in ("LOAD_METHOD", "LOAD_ATTR") and MUTATORS.fullmatch(str(instruction.argval)):
            found |= {i.argval for i in before[-1:] if i.opname in loads}
        elif (
            instruction.opname in ("STORE_SUBSCR", "DELETE_SUBSCR")
            # `counts[key] += 1` first copies the container and the key
            or (instruction.opname == "COPY" and instruction.arg == 2)
        ) and (before and before[-1].opname in PUSHES):
            found |= {i.argval for i in before[-2:-1] if i.opname in loads}
        before = [*before[-1:], instruction]
    return found
