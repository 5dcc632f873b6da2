"""Checks of a plugin's options against its factory's signature, before anything runs."""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from harness.contract.data import Dataset
from harness.contract.declared import ask
from harness.contract.models import Model
from harness.errors import OptionError, did_you_mean

NESTED: dict[Any, str] = {Dataset: "datasets", Model: "models"}
"""Annotations that mean another plugin: the option is a reference to be resolved.

A class with `plugin_kind = "methods"` (or another kind) means a plugin of that kind in the same way, so
that a suite's methods can be composed of smaller plugins.
"""


@dataclass(frozen=True)
class Option:
    """One option as the signature declares it."""

    name: str
    annotation: Any
    default: Any
    required: bool

    @property
    def is_path(self) -> bool:
        """Whether it may hold a path, which says where something lies and is left out of a cell's id."""
        return Path in types_in(self.annotation)

    @property
    def nested(self) -> str | None:
        """The kind of plugin that the option refers to, or None."""
        parts = types_in(self.annotation)
        own = (ask(part, "plugin_kind") for part in parts if isinstance(part, type))
        known = (kind for contract, kind in NESTED.items() if contract in parts)
        return next((str(kind) for kind in (*known, *own) if kind), None)

    @property
    def type_name(self) -> str:
        """The annotation as a person would write it; an option that names a plugin shows the kind."""
        return "anything" if self.annotation is inspect.Parameter.empty else _spell(self.annotation)


def _spell(annotation: Any) -> str:
    """Return a type as written in a signature: `'a' | 'b' | None`, `list[data set]`."""
    from harness.discovery.registry import singular

    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is type(None):
        return "None"
    if origin is typing.Literal:
        return " | ".join(map(repr, parts))
    if origin in (typing.Union, types.UnionType):
        return " | ".join(map(_spell, parts))
    kind = NESTED.get(annotation) if isinstance(annotation, type) else None
    if isinstance(annotation, type) and not parts:
        kind = kind or ask(annotation, "plugin_kind")
        return singular(kind) if kind else annotation.__name__
    if origin is typing.Annotated:
        return _spell(parts[0])
    if isinstance(origin, type) and parts:
        return f"{origin.__name__}[{', '.join('…' if p is Ellipsis else _spell(p) for p in parts)}]"
    return str(annotation).replace("typing.", "")


def types_in(annotation: Any) -> list[Any]:
    """Return the annotation and all its components: `list[Path] | None` contains `Path`."""
    return [annotation, *(inner for part in typing.get_args(annotation) for inner in types_in(part))]


@lru_cache(maxsize=4096)
def read_options(factory: Any) -> tuple[tuple[Option, ...], bool]:
    """Return the options of a factory, and whether it takes any others (`**options`).

    Raises OptionError if the factory's signature can't be read.
    """
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError) as error:
        raise OptionError(f"its signature can't be read: {error}") from None
    plain = factory
    while isinstance(plain, partial):
        plain = plain.func
    function: Any = getattr(plain, "__init__", plain) if isinstance(plain, type) else plain
    function = inspect.unwrap(function)
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    namespace = vars(module) if module else getattr(function, "__globals__", {})
    options, open_ended = [], False
    for parameter in signature.parameters.values():
        if parameter.kind is parameter.VAR_KEYWORD:
            open_ended = True
        elif parameter.kind is not parameter.VAR_POSITIONAL:
            required = parameter.default is parameter.empty
            annotation = evaluate_annotation(parameter.annotation, namespace)
            default = None if required else parameter.default
            options.append(Option(parameter.name, annotation, default, required))
    return tuple(options), open_ended


def evaluate_annotation(annotation: Any, namespace: Mapping[str, Any]) -> Any:
    """Return the type that an annotation names as text; unresolvable text becomes "no annotation", unchecked."""
    if not isinstance(annotation, str):
        return annotation
    try:
        holder = type("holder", (), {"__annotations__": {"x": annotation}})
        return typing.get_type_hints(holder, dict(namespace), include_extras=True)["x"]
    except (NameError, AttributeError, SyntaxError, TypeError):
        return inspect.Parameter.empty


def check_options(
    factory: Any, given: Mapping[str, Any], value: str | None, where: str, given_alone: bool = False
) -> dict[str, Any]:
    """Return the options as the factory takes them, checked and converted, with its defaults filled in.

    With `given_alone`, only the given ones are checked and returned, and none is required.
    Nested references are left as written. Raises OptionError that starts with `where`.
    """
    try:
        options, open_ended = read_options(factory)
    except OptionError as error:
        raise OptionError(f"{where}: {error}") from None
    by_name = {option.name: option for option in options}
    given = dict(given)
    if value is not None:
        if not options:
            raise OptionError(f"{where}: takes no options, so nothing can follow the colon (found '{value}')")
        first = options[0].name
        if first in given:
            raise OptionError(
                f"{where}: '{first}' is given twice, after the colon and as an option (the entry's or in `defaults`)"
            )
        given[first] = value
    for name in given:
        if name not in by_name and not open_ended:
            hint = did_you_mean(name, by_name) if by_name else "; it takes no options"
            raise OptionError(f"{where}: unknown option '{name}'{hint}")
    checked = {}
    for option in options:
        name = option.name
        if name in given:
            checked[name] = given[name] if option.nested else _convert(option, given[name], where)
        elif not given_alone:
            if option.required:
                raise OptionError(f"{where}: needs the option '{name}' ({option.type_name})")
            checked[name] = option.default
    checked.update({name: v for name, v in given.items() if name not in by_name})
    return checked


def _convert(option: Option, value: Any, where: str) -> Any:
    if option.annotation is inspect.Parameter.empty or _is_default(option, value):
        return value if option.annotation is inspect.Parameter.empty else option.default
    from pydantic import PydanticSchemaGenerationError, PydanticUserError, ValidationError

    try:
        converted = _adapter(option.annotation).validate_python(value)
        return option.default if _is_default(option, converted) else converted
    except (PydanticSchemaGenerationError, PydanticUserError):
        return value  # an annotation pydantic can't check is the plugin's own business
    except ValidationError:
        choices = [c for c in typing.get_args(option.annotation) if isinstance(c, str)]
        hint = did_you_mean(str(value), choices) if choices else ""
        raise OptionError(
            f"{where}: option '{option.name}' must be {option.type_name}, found {value!r}{hint}"
        ) from None


def _is_default(option: Option, value: Any) -> bool:
    """Return whether a value is the default spelled out: `1` and `1.0` are equal, `1` and `true` are not."""
    if option.required or isinstance(value, bool) != isinstance(option.default, bool):
        return False
    numbers = isinstance(value, int | float) and isinstance(option.default, int | float)
    return (numbers or type(value) is type(option.default)) and bool(value == option.default)


@lru_cache(maxsize=4096)
def _adapter(annotation: Any) -> Any:
    from pydantic import ConfigDict, PydanticUserError, TypeAdapter

    try:
        return TypeAdapter(annotation, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticUserError:  # a pydantic model brings its own configuration
        return TypeAdapter(annotation)
