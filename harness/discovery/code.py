"""The identity of a plugin's code if its version does not tell: registered here, or under development.

A released plugin is identified by its distribution's version; one installed from a folder, by its files
(`code_files.py`). One registered in the process is identified by the objects that run, which may have no file
(a notebook): the compiled code of the function or class, and the values of all the user's own objects that
this code refers to. Libraries have versions. What the code itself assigns or fills (counters, caches) is its
state, and does not count. Compiled code differs between versions of Python.
"""

from __future__ import annotations

import copyreg
import dis
import hashlib
import json
import re
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from types import CodeType, FunctionType, MappingProxyType, MethodType, ModuleType
from typing import Any

from harness.discovery.code_files import CodeIdentity, identify_files, is_developed, is_library_module
from harness.discovery.registry import THIS_PROCESS, Plugin

OWN = "vision-harness"
"""Its plugins are identified by the versions of their recipes: a checkout of it is always in development."""

PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...), type(NotImplemented))
CONTAINERS = (list, dict, set, deque)
WRAPPERS = (property, staticmethod, classmethod, MethodType, type(lru_cache(len)))
INNER = ("fget", "fset", "fdel", "func", "__func__", "__self__", "__wrapped__")
"""The attributes in which wrappers hold what they wrap."""

FIRST = frozenset(("__init__", "__new__", "__post_init__", "__setstate__"))
"""Methods whose assignments configure an object; what others assign is its state."""

MUTATORS = re.compile(
    "append|appendleft|extend|insert|add|update|setdefault|pop|popitem|popleft|remove|discard|clear|sort|put"
)
PLACES = {
    "GLOBAL": "global",
    "NAME": "global",
    "DEREF": "closure",
    "ATTR": "attribute",
    "METHOD": "attribute",
}
"""Where a name is looked up, by the last word of a bytecode operation."""

READ, REBOUND, ANY_KEY = object(), object(), object()
"""What code does with a name: reads it, assigns it, or fills its container under a key that is not constant."""

DEEPEST, MOST = 60, 200_000


def identify_code(plugin: Plugin, factory: Any) -> CodeIdentity:
    """Return the identity of a plugin's code: of the registered object, or of its files if in development."""
    if plugin.distribution == THIS_PROCESS:
        return identify_object(factory)
    top = plugin.target.partition(":")[0].partition(".")[0]
    developed = _is_from_folder(plugin.distribution, plugin.version) or is_developed(top)
    return identify_files(top) if developed and plugin.distribution != OWN else CodeIdentity()


@lru_cache(maxsize=1024)
def _is_from_folder(name: str, version: str) -> bool:
    try:
        origin = distribution(name).read_text("direct_url.json")
        return origin is not None and "dir_info" in json.loads(origin)
    except (PackageNotFoundError, OSError, ValueError, TypeError):
        return False


def identify_object(factory: Any) -> CodeIdentity:
    """Return the digest of a function, class or callable, and a remark on its parts that can't be digested."""
    first = _Reader({})
    first.read(factory, "")  # to find the state first: the code that changes it may be read after it
    reader = _Reader(first.changes)
    digest, remarks = reader.read(factory, getattr(factory, "__name__", "it")), reader.stale
    if reader.unknown:
        named, more = next(iter(reader.unknown)), len(reader.unknown) - 1
        others = f" and {more} more" if more else ""
        remarks += [f"is registered in this process, and changes of {named}{others} can't be told"]
    return CodeIdentity(digest, tuple(remarks))


class _Reader:
    """Reads objects into one digest; `changes` holds what code does to names, by owner id and name."""

    def __init__(self, changes: dict[tuple[int, str], set[Any]]) -> None:
        self.changes = changes
        self.unknown: dict[str, None] = {}
        self.stale: list[str] = []
        self._hash = hashlib.sha256()
        self._seen: dict[int, tuple[int, Any]] = {}
        """By ids, with the objects: while they live, no other object takes their ids."""
        self._keys: dict[int, set[Any]] = {}
        """The keys under which code changes a container, by its id."""
        self._globals: deque[tuple[Mapping[str, Any], str]] = deque()
        self._noted: set[tuple[int, str, CodeType]] = set()
        self._modules: set[str] = set()

    def read(self, value: Any, name: str) -> str:
        """Return the digest of an object and of all that its code refers to: 20 hexadecimal digits."""
        self._read(value, name, 0)
        while self._globals:
            namespace, name = self._globals.popleft()
            self._update("global", name)
            if not self._is_state(namespace, name, namespace[name]):
                self._read(namespace[name], name, 0)
        for top in sorted(filter(is_developed, self._modules)):  # these may not be imported yet
            code = identify_files(top)
            self._update("module", top, code.digest)
            self.stale += code.remarks
        return self._hash.hexdigest()[:20]

    def _update(self, *words: str) -> None:
        self._hash.update(("\x1f".join(words) + "\x1e").encode(errors="surrogatepass"))

    def _read(self, value: Any, name: str, depth: int) -> None:
        kind = type(value)
        self._update(kind.__qualname__)
        if kind in PLAIN:
            self._update(hashlib.sha256(value).hexdigest() if kind is bytes else repr(value))
            return
        if id(value) in self._seen:
            self._update("seen", str(self._seen[id(value)][0]))
            return
        self._seen[id(value)] = (len(self._seen), value)
        try:
            if depth > DEEPEST or len(self._seen) > MOST:
                raise RecursionError
            for part_name, part in self._parts(value, name):
                self._read(part, part_name, depth + 1)
        except Exception:  # users' objects may raise anything when they are read
            self.unknown[f"'{name}' (of the class {kind.__name__})"] = None
        self._update("end")

    def _parts(self, value: Any, name: str) -> Iterable[tuple[str, Any]]:
        """Return the parts that configure an object, with names. Raises anything if they can't be read."""
        kind, torch = type(value), sys.modules.get("torch")
        if kind is CodeType:
            return [(name, part) for part in _compiled(value)]
        if isinstance(value, FunctionType | type) and is_library_module(value.__module__ or ""):
            return [(name, f"{value.__module__}.{value.__qualname__}")]
        if isinstance(value, FunctionType):
            return self._function(value, name)
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, ModuleType):
            return [(name, value.__name__)]
        if kind.__module__ in ("threading", "_thread"):  # locks change all the time, and decide no result
            return []
        if isinstance(value, WRAPPERS):
            return [(name, getattr(value, inner, None)) for inner in INNER]
        changed = self._keys.get(id(value), set())
        if kind in (list, tuple):
            left_out = {key % len(value) for key in changed if value}
            return [(f"{name}[{i}]", item) for i, item in enumerate(value) if i not in left_out]
        if kind in (dict, MappingProxyType):
            items = [(key, item) for key, item in value.items() if key not in changed]
            return [(f"{name}[{key!r}]", part) for key, item in items for part in (key, item)]
        if kind in (set, frozenset):  # they have no order that is the same everywhere
            return [(name, text) for text in sorted(self._alone(item, name) for item in value)]
        if torch is not None and isinstance(value, torch.Tensor):
            from harness.inference.features import digest_tensors

            return [(name, digest_tensors({"": value}))]
        return self._instance(value, name)

    def _alone(self, item: Any, name: str) -> str:
        """Return the digest of an object by itself, whatever was read before it."""
        reader = _Reader(self.changes)
        reader._seen, reader.unknown, reader.stale = dict(self._seen), self.unknown, self.stale
        return repr(item) if type(item) in PLAIN else reader.read(item, name)

    def _function(self, function: FunctionType, name: str) -> Iterator[tuple[str, Any]]:
        code, cells = function.__code__, function.__closure__ or ()
        closed = dict(zip(code.co_freevars, cells, strict=True))
        self._note(function, {"closure": closed, "global": function.__globals__})
        yield from ((name, part) for part in (code, function.__defaults__, function.__kwdefaults__))
        for free, cell in closed.items():
            if not self._is_state(cell, free, cell.cell_contents):
                yield from ((free, part) for part in (free, cell.cell_contents))
        yield name, function.__dict__.get("__wrapped__")

    def _class(self, cls: type) -> Iterator[tuple[str, Any]]:
        for base in cls.__mro__:
            for key, value in () if is_library_module(base.__module__) else vars(base).items():
                for function in _functions(value):
                    self._note(function, {"attribute": cls}, key in FIRST)
        yield from ((base.__name__, base) for base in (*cls.__mro__[1:], type(cls)))
        for key, value in sorted(vars(cls).items()):
            made_by_python = key == "_abc_impl" or re.fullmatch("__.*__", key)
            if _functions(value) or not (made_by_python or self._is_state(cls, key, value)):
                yield from ((f"{cls.__name__}.{key}", part) for part in (key, value))

    def _instance(self, value: Any, name: str) -> Iterator[tuple[str, Any]]:
        """Yield what pickle would save of an object, without its state."""
        kind, torch = type(value), sys.modules.get("torch")
        draws = kind.__name__ == "Generator" or "random" in kind.__module__.split(".")
        if is_library_module(kind.__module__) and (draws or hasattr(value, "__next__")):
            raise TypeError("changes whenever it is used")
        reduce = copyreg.dispatch_table.get(kind)
        reduced: Any = reduce(value) if reduce else value.__reduce_ex__(4)
        if isinstance(reduced, str):  # the name of something global
            reduced = (getattr(value, "__module__", None), reduced)
        made, arguments, held, *items = (*reduced, None)[: max(3, len(reduced))]
        yield from ((name, part) for part in (kind, made, arguments, *(list(part or ()) for part in items)))
        if isinstance(held, tuple) and len(held) == 2 and isinstance(held[1], dict):  # an object with slots
            held = {**(held[0] or {}), **held[1]}
        if not isinstance(held, dict):
            yield name, held
            return
        training = torch is not None and isinstance(value, torch.nn.Module)
        for key in sorted(held, key=str):
            if not self._is_state(kind, key, held[key]) and not (training and key == "training"):
                yield from ((f"{name}.{key}", part) for part in (key, held[key]))

    def _note(self, function: FunctionType, owners: Mapping[str, Any], is_first: bool = False) -> None:
        """Note which names of the given owners a function reads, assigns and fills."""
        package = str(function.__globals__.get("__package__") or "")
        for code in _nested(function.__code__):
            for place, name, what in _uses(code, package):
                owner = owners.get(place)
                if place == "closure" and owner is not None:
                    owner = owner.get(name)
                if place == "module":
                    self._modules.add(name)
                elif owner is not None and what is READ:
                    self._note_global(owner, name, code)
                elif owner is not None and not (is_first and what is REBOUND):
                    self.changes.setdefault((id(owner), name), set()).add(what)

    def _note_global(self, namespace: Mapping[str, Any], name: str, code: CodeType) -> None:
        """Note a global; of a module of the user's, also the attributes that the code may mean."""
        if name in namespace and (id(namespace), name, code) not in self._noted:
            self._noted.add((id(namespace), name, code))
            self._globals.append((namespace, name))
            value = namespace[name]
            if isinstance(value, ModuleType) and not is_library_module(value.__name__):
                for attribute in code.co_names:
                    self._note_global(vars(value), attribute, code)

    def _is_state(self, owner: Any, name: str, value: Any) -> bool:
        """Return whether code assigns a name, or fills its container under more than known keys."""
        keys = self.changes.get((id(owner), name), set())
        if REBOUND in keys or not keys or not isinstance(value, CONTAINERS):
            return REBOUND in keys
        if type(value) is dict or (type(value) is list and all(isinstance(key, int) for key in keys)):
            self._keys.setdefault(id(value), set()).update(keys)
            return ANY_KEY in keys
        return True


def _uses(code: CodeType, package: str) -> Iterator[tuple[str, str, Any]]:
    """Yield what code of a package does with names: the place of each, the name, and READ, REBOUND or a key.

    READ is yielded for globals and imported modules, a key for containers that are filled. In `x.y[k] = v` and
    `x.y.add(v)`, the filling step starts at the same source position as the steps that load x and x.y.
    """
    steps = [step for step in dis.get_instructions(code) if step.opname not in ("CACHE", "EXTENDED_ARG")]
    loaded: dict[Any, tuple[str, str, Any]] = {}
    for index, step in enumerate(steps):
        operation, _, what = step.opname.partition("_")
        place = PLACES.get(what.rpartition("_")[2], "")
        before, after = steps[index - 1], steps[(index + 1) % len(steps)].opname
        start, earlier = (found.positions and found.positions[::2] for found in (step, before))
        if operation == "IMPORT" and what == "NAME":  # after the level and the list of names
            yield "module", (package if steps[index - 2].argval else step.argval).partition(".")[0], READ
        elif operation == "CALL":  # its result is another object
            loaded.pop(start, None)
        elif operation in ("STORE", "DELETE"):
            if what in ("SUBSCR", "SLICE") and start in loaded:
                yield loaded[start]
            elif place and what != "NAME":
                yield place, step.argval, REBOUND
        elif what in ("CONST", "SMALL_INT") and earlier in loaded and before.opname.startswith("LOAD"):
            if after in ("STORE_SUBSCR", "DELETE_SUBSCR", "BINARY_SUBSCR", "BINARY_OP", "COPY"):
                loaded[earlier] = (*loaded[earlier][:2], step.argval)
        elif operation == "LOAD" and place:
            if place == "global":
                yield place, step.argval, READ
            elif place == "attribute" and MUTATORS.fullmatch(step.argval) and earlier in loaded:
                yield loaded[earlier]
            loaded[start] = (place, step.argval, ANY_KEY)


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


def _compiled(code: CodeType) -> tuple[Any, ...]:
    """Return what code does, without the docstring, which is a function's first constant."""
    flag = next((flag for flag, name in dis.COMPILER_FLAG_NAMES.items() if name == "HAS_DOCSTRING"), 1)
    constants = code.co_consts
    documented = code.co_flags & flag and not code.co_name.startswith("<")
    if documented and isinstance(next(iter(constants), 0), str):
        constants = (None, *constants[1:])
    counts = code.co_flags, code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount
    names = code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
    return code.co_code, code.co_exceptiontable, repr((counts, names)), *constants


def _functions(value: Any) -> list[FunctionType]:
    """Return the functions in a class's attribute, through wrappers."""
    inner = (getattr(value, name, None) for name in INNER)
    return [function for function in (value, *inner) if isinstance(function, FunctionType)]
