"""A digest of what a function or class does: its code, and all of its own that the code refers to.

Taken from the objects that run and not from their files, which may have been edited since, or never have
been there (a notebook, an interpreter, `exec`). Followed are base classes, globals, closures, defaults and
attributes, as far as they are the user's own; libraries have versions. What the code itself changes
(counters, caches, lists that it appends to) is its state, and takes no part. Code is compiled code, so the
digest is another one under another version of Python.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import re
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import PurePath
from types import (
    BuiltinFunctionType,
    CellType,
    CodeType,
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
)
from typing import Any

from harness.code_files import code_of_files
from harness.code_places import is_library, is_library_module, place_of
from harness.code_state import ANY, assigned, codes_of, filled, imported, named, nested, without_docstring
from harness.code_values import held_by

PLAIN = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis), type(NotImplemented))
DEEPEST, MOST = 60, 200_000
MADE_BY_PYTHON = re.compile(
    "__(module|dict|weakref|doc|qualname|firstlineno|static_attributes|annotations|annotate|annotate_func|"
    "annotations_cache|abstractmethods|parameters|orig_bases|protocol_attrs|dataclass_fields|dataclass_params|"
    "match_args)__|_abc_impl"
)
"""Attributes of classes that say nothing of what a class does, or say it again."""

FIRST = frozenset(("__init__", "__new__", "__post_init__", "__setstate__"))
"""Methods whose assignments make an object what it is; what others assign is its state."""

CONTAINERS = (list, dict, set, deque)


class ObjectDigest:
    """Digests of objects, and what in them can't be digested."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._seen: dict[int, int] = {}
        self._held: list[Any] = []
        """What was seen is kept alive, so that no other object takes its place."""
        self._assigned: set[tuple[int, str]] = set()
        self._filled: dict[tuple[int, str], set[Any]] = {}
        """Of the containers that code fills, the keys; ANY among them where they aren't constants."""
        self._changed: dict[int, set[Any]] = {}
        """The same by the containers themselves."""
        self._globals: deque[tuple[Mapping[str, Any], str]] = deque()
        self._opaque: dict[str, None] = {}
        self._modules: dict[str, None] = {}
        """Top-level modules that functions import when they run, known by their files."""
        self._stale: list[str] = []

    def of(self, factory: Any) -> str:
        """The digest of what a plugin is made by: 20 hexadecimal digits."""
        self._walk(factory, getattr(factory, "__name__", "it"), 0)
        done: set[tuple[int, str]] = set()
        while self._globals:
            namespace, name = self._globals.popleft()
            if (id(namespace), name) not in done and not self._is_state(namespace, name, namespace[name]):
                done.add((id(namespace), name))
                self._say("global", name)
                self._walk(namespace[name], name, 0)
        for top in sorted(self._modules):
            self._module(top)
        return self._hash.hexdigest()[:20]

    def remarks(self) -> Iterator[str]:
        """A statement on what can't be digested, if there is something."""
        yield from self._stale
        if self._opaque:
            first, more = next(iter(self._opaque)), len(self._opaque) - 1
            yield f"is registered in this process, and changes of {first}{f' and {more} more' if more else ''} can't be told"

    def _is_state(self, owner: Any, name: str, value: Any) -> bool:
        """Whether the code that was seen so far assigns that name of a class or namespace, or fills what it holds."""
        key = (id(owner), name)
        return key in self._assigned or self._is_filled(value, self._filled.get(key, set()))

    def _is_filled(self, value: Any, keys: set[Any]) -> bool:
        """Whether all of a container is state; where only some keys of it are, the others count."""
        if not keys or not isinstance(value, CONTAINERS):
            return False
        if ANY not in keys:
            self._changed.setdefault(id(value), set()).update(keys)
        return ANY in keys

    def _fills(self, owner: Any, found: set[tuple[str, Any]]) -> None:
        for name, key in found:
            self._filled.setdefault((id(owner), name), set()).add(key)

    def _say(self, *words: Any) -> None:
        self._hash.update(("\x1f".join(map(str, words)) + "\x1e").encode(errors="surrogatepass"))

    def _walk(self, value: Any, name: str, depth: int) -> None:
        if isinstance(value, PLAIN):
            self._say(type(value).__name__, repr(value))
            return
        if id(value) in self._seen:
            self._say("seen", self._seen[id(value)])
            return
        if depth > DEEPEST or len(self._seen) > MOST:
            self._cannot(value, name)
            return
        self._seen[id(value)] = len(self._seen)
        self._held.append(value)
        self._say(type(value).__qualname__)
        try:
            self._described(value, name, depth + 1)
        except Exception:  # properties and representations of users' objects may raise anything
            self._cannot(value, name)

    def _described(self, value: Any, name: str, depth: int) -> None:
        if isinstance(value, FunctionType):
            self._function(value, name, depth)
        elif isinstance(value, type):
            self._class(value, depth)
        elif isinstance(value, ModuleType):
            self._say(value.__name__)
        elif isinstance(value, BuiltinFunctionType | MemberDescriptorType | GetSetDescriptorType):
            self._say(getattr(value, "__module__", ""), value.__qualname__)
        elif isinstance(value, MethodType):
            self._several((value.__func__, value.__self__), name, depth)
        elif isinstance(value, staticmethod | classmethod):
            self._walk(value.__func__, name, depth)
        elif isinstance(value, property):
            self._several((value.fget, value.fset, value.fdel), name, depth)
        elif isinstance(value, functools.partial):
            self._several((value.func, value.args, value.keywords), name, depth)
        elif isinstance(value, functools.cached_property):
            self._walk(value.func, name, depth)
        elif hasattr(value, "cache_info") and hasattr(value, "__wrapped__"):
            self._walk(value.__wrapped__, name, depth)
        elif isinstance(value, CodeType):
            self._code(value, name, depth)
        elif isinstance(value, PurePath | range | re.Pattern):
            self._say(str(value) if isinstance(value, PurePath) else repr(value))
        elif isinstance(value, Enum):
            self._several((type(value), value.name, value.value), name, depth)
        else:
            self._data(value, name, depth)

    def _several(self, values: Any, name: str, depth: int) -> None:
        self._say("of", len(values))
        for value in values:
            self._walk(value, name, depth)

    def _data(self, value: Any, name: str, depth: int) -> None:
        changed = self._changed.get(id(value), set())
        if isinstance(value, list | tuple | deque):
            if changed:
                size = len(value)
                value = [v for i, v in enumerate(value) if i not in changed and i - size not in changed]
            if all(isinstance(item, PLAIN) for item in value):
                self._say(repr(list(value)))
            else:
                self._several(value, name, depth)
        elif isinstance(value, set | frozenset):
            self._say(*sorted(repr(i) if isinstance(i, PLAIN) else self._apart(i, name) for i in value))
        elif isinstance(value, Mapping):
            for key, item in value.items():
                if key in changed:
                    continue
                self._walk(key, name, depth)
                self._walk(item, f"{name}[{key!r}]", depth)
        elif (held := held_by(value)) is not None:
            self._say(*held)
        elif not self._numbers(value, name, depth):
            self._instance(value, name, depth)

    def _apart(self, item: Any, name: str) -> str:
        """The digest of one item of a set, which has no order that is the same everywhere."""
        if not isinstance(item, tuple | frozenset | Enum | PurePath):  # what may hold the set itself
            self._cannot(item, name)
            return ""
        alone = ObjectDigest()
        digest = alone.of(item)
        self._opaque |= alone._opaque
        return digest

    def _numbers(self, value: Any, name: str, depth: int) -> bool:
        """Arrays, tensors and networks, if their libraries are in use at all."""
        numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
        if numpy is not None and isinstance(value, numpy.ndarray):
            if value.dtype.hasobject:
                self._walk(value.tolist(), name, depth)
                return True
            self._say(value.dtype.str, value.shape, hashlib.sha256(value.tobytes()).hexdigest())
            return True
        if torch is None or not isinstance(value, torch.Tensor | torch.nn.Module):
            return False
        from harness.features import tensors_digest, weights_digest

        if isinstance(value, torch.Tensor):
            self._say(tensors_digest({"": value}))
            return True
        self._say(weights_digest(value))
        for part, module in value.named_modules():
            own = {k: v for k, v in vars(module).items() if not k.startswith("_") and k != "training"}
            self._walk(type(module), type(module).__name__, depth)
            for key in sorted(own):
                self._say(part, key)
                self._walk(own[key], f"{name}.{key}", depth)
        return True

    def _instance(self, value: Any, name: str, depth: int) -> None:
        kind = type(value)
        self._walk(kind, kind.__name__, depth)
        slots = {s for base in kind.__mro__ for s in _slots(base) if hasattr(value, s)}
        held = {**getattr(value, "__dict__", {}), **{s: getattr(value, s) for s in slots}}
        if not held and not _is_own(kind):
            shown = repr(value)
            if " at 0x" in shown or "..." in shown:
                self._cannot(value, name)
            else:
                self._say(shown)
        for key in sorted(held, key=str):
            if not self._is_state(kind, key, held[key]):
                self._say(key)
                self._walk(held[key], f"{name}.{key}", depth)

    def _class(self, cls: type, depth: int) -> None:
        if not _is_own(cls):
            self._say(cls.__module__, cls.__qualname__)
            return
        owned = [base for base in cls.__mro__ if _is_own(base)]
        for base in owned:
            for key, value in vars(base).items():
                for code in codes_of(value):
                    if key not in FIRST:
                        self._assigned |= {(id(cls), attribute) for attribute in assigned(code)}
                    self._fills(cls, filled(code, ("LOAD_ATTR",)))
        for base in (*cls.__mro__[1:], type(cls)):
            self._walk(base, base.__name__, depth)
        if issubclass(cls, Enum):
            self._several([(m.name, m.value) for m in cls.__members__.values()], cls.__name__, depth)
        for key in sorted(vars(cls)):
            value = vars(cls)[key]
            if MADE_BY_PYTHON.fullmatch(key) or (issubclass(cls, Enum) and key.startswith("_")):
                continue
            if self._is_state(cls, key, value) and not list(codes_of(value)):
                continue
            self._say(key)
            self._walk(value, f"{cls.__name__}.{key}", depth)

    def _function(self, function: FunctionType, name: str, depth: int) -> None:
        if not _is_own(function):
            self._say(function.__module__, function.__qualname__)
            return
        self._walk(function.__code__, name, depth)
        self._walk(function.__defaults__, name, depth)
        self._walk(function.__kwdefaults__, name, depth)
        for code in nested(function.__code__):
            self._refers(code, function.__globals__)
        closed = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        codes = list(nested(function.__code__))
        filled_here = [pair for code in codes for pair in filled(code, ("LOAD_DEREF", "LOAD_CLASSDEREF"))]
        assigned_here = {name for code in codes for name in named(code, ("STORE_DEREF", "DELETE_DEREF"))}
        for free, cell in closed:
            held = _content(cell)
            if (
                free == "__class__"
                or free in assigned_here
                or self._is_filled(held, {key for filled_name, key in filled_here if filled_name == free})
            ):
                continue
            self._say(free)
            self._walk(held, free, depth)
        if wrapped := function.__dict__.get("__wrapped__"):
            self._walk(wrapped, name, depth)

    def _refers(self, code: CodeType, namespace: Mapping[str, Any]) -> None:
        """Notes the globals that a function reads, to be walked when it is known which of them are state."""
        for instruction in dis.get_instructions(code):
            if instruction.opname in ("STORE_GLOBAL", "DELETE_GLOBAL"):
                self._assigned.add((id(namespace), instruction.argval))
            elif instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME") and instruction.argval in namespace:
                self._globals.append((namespace, instruction.argval))
                self._attributes(namespace[instruction.argval], code)
        self._fills(namespace, filled(code, ("LOAD_GLOBAL", "LOAD_NAME")))
        self._modules |= dict.fromkeys(imported(code, str(namespace.get("__package__") or "")))

    def _module(self, top: str) -> None:
        """A module that is imported only when a function runs, so that its objects may not be there yet."""
        if (place := place_of(top)) and not is_library(place):
            code = code_of_files(top)
            self._say("module", top, code.digest)
            self._stale += code.remarks

    def _attributes(self, value: Any, code: CodeType) -> None:
        """Of a module of the user's, the names that the code may mean."""
        if isinstance(value, ModuleType) and not is_library_module(value.__name__):
            for name in code.co_names:
                if name in vars(value) and (id(vars(value)), name) not in self._seen_names:
                    self._seen_names.add((id(vars(value)), name))
                    self._globals.append((vars(value), name))
                    self._attributes(vars(value)[name], code)

    @functools.cached_property
    def _seen_names(self) -> set[tuple[int, str]]:
        return set()

    def _code(self, code: CodeType, name: str, depth: int) -> None:
        self._say(code.co_code.hex(), code.co_exceptiontable.hex(), code.co_flags)
        self._say(code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount)
        self._say(code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        self._several(without_docstring(code), name, depth)

    def _cannot(self, value: Any, name: str) -> None:
        self._opaque[f"'{name}' (of the class {type(value).__name__})"] = None


def _is_own(thing: Any) -> bool:
    """Whether a class or function is the user's, and no library's."""
    return not is_library_module(str(getattr(thing, "__module__", "") or ""))


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return None


def _slots(cls: type) -> tuple[str, ...]:
    slots = vars(cls).get("__slots__", ())
    return tuple(s for s in ((slots,) if isinstance(slots, str) else slots) if not s.startswith("__"))
