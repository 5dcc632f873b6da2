"""Which code a plugin is: whatever decides its answers changes its identity, and nothing else does."""

import functools
import importlib
import json
import logging
import os
import random
import re
import subprocess
import sys
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from types import MethodType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import harness
from harness.discovery.code import identify_code, identify_object
from harness.discovery.code_files import CodeIdentity
from harness.discovery.parts import Resolver
from harness.discovery.reference import Reference
from harness.discovery.registry import Plugin


def digest(thing: Any) -> str:
    return identify_object(thing).digest


def remarks(thing: Any) -> list[str]:
    return list(identify_object(thing).remarks)


def made(code: str, name: str = "f", **namespace: Any) -> Any:
    """What a notebook's cell defines: no file, no source."""
    namespace["__name__"] = "__main__"
    exec(code, namespace)
    return namespace[name]


BASE = """
LIMIT = 3
def helper(x):
    return x + LIMIT
class Parent:
    scale = 2
    def answer(self, x):
        return helper(x) * self.scale
class f(Parent):
    '''Says something.'''
    def __init__(self, shift: int = 1):
        self.shift = shift
    def load(self, device):
        return [self.answer(v) for v in (1, 2) if v not in {4, 5}]
"""
SAME = [
    BASE.replace("LIMIT = 3", "LIMIT = 3  # the limit\nUNUSED = 7"),
    BASE.replace("    def answer", "\n    # a comment\n    def answer"),
    BASE.replace("'''Says something.'''", "'''Says something else.'''"),
]
OTHER = [
    BASE.replace("LIMIT = 3", "LIMIT = 4"),
    BASE.replace("x + LIMIT", "x - LIMIT"),
    BASE.replace("scale = 2", "scale = 2.0"),
    BASE.replace("scale = 2", "scale = 3"),
    BASE.replace("shift: int = 1", "shift: int = 2"),
    BASE.replace("(1, 2)", "(1, 3)"),
    BASE.replace("{4, 5}", "{4, 6}"),
    BASE.replace("self.answer(v) for", "-self.answer(v) for"),
    BASE.replace("class f(Parent):", "class f(Parent):\n    extra = True"),
]


def test_what_decides_nothing_keeps_the_digest() -> None:
    assert {digest(made(code)) for code in (BASE, *SAME)} == {digest(made(BASE))}


def test_what_decides_changes_the_digest() -> None:
    found = [digest(made(code)) for code in (BASE, *OTHER)]
    assert len(set(found)) == len(found)
    assert remarks(made(BASE)) == []


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    ),
    st.sampled_from(["global", "closure", "default", "partial", "attribute", "instance"]),
    st.data(),
)
def test_any_plain_value_counts_wherever_it_is_held(value: Any, place: str, data: st.DataObject) -> None:
    other = data.draw(st.just(value) | st.integers() | st.text() | st.lists(st.integers()))

    def holding(held: Any) -> Any:
        if place == "global":
            return made("def f(): return held", held=held)
        if place == "closure":
            return lambda: held
        if place == "default":
            return made("def f(x=held): return x", held=held)
        if place == "partial":
            return functools.partial(made("def f(x): return x"), held)
        if place == "attribute":
            return type("Held", (), {"held": held, "__module__": "__main__"})
        kind = made(
            "class f:\n    def __init__(self, held): self.held = held\n    def __call__(self): return self.held"
        )
        return kind(held)

    one, two = digest(holding(value)), digest(holding(other))
    assert (one == two) == (repr(value) == repr(other))
    assert one == digest(holding(value))
    assert remarks(holding(value)) == []


USES = [
    "out[0, X] = 1", "out[X] = 1", "out[X:] = [1]", "out = X + 1", "out.append(X)", "out[1] = X", "out = f'{X}'",
    "out = [X for _ in out]", "out = (lambda: X)", "out = len(str(X))", "out = {X: 1}", "X in out and out.clear()",
    "out[-1].update({1: X})", "del out[X]", "assert X", "out = str(X).strip()", "out.value = X",
]  # fmt: skip


@given(st.sampled_from(USES), st.integers(), st.integers(), st.booleans())
def test_a_number_counts_however_it_is_used(use: str, one: int, other: int, method: bool) -> None:
    def using(number: int) -> str:
        if method:
            code = (
                f"class f:\n    def load(self, out):\n        {use.replace('X', 'self.X')}\n    X = {number}"
            )
            return digest(made(code))
        return digest(made(f"def f(out): {use}", X=number))

    assert (using(one) == using(other)) == (one == other)


def test_what_the_code_itself_changes_is_its_state() -> None:
    calls: list[int] = []
    kept: dict[str, int] = {}
    count = 0

    class Counting:
        loads = 0
        seen: list[int] = []  # noqa: RUF012
        times: dict[str, int] = {"x": 0}  # noqa: RUF012

        def __init__(self) -> None:
            self.module = None

        def load(self, device: object) -> None:
            nonlocal count
            count += 1
            calls.append(1)
            kept["x"] = 1
            Counting.loads += 1
            self.seen.append(1)
            self.times["x"] += 1
            self.module = device

    shared = Counting()
    before, held = digest(Counting), digest(lambda: shared)
    shared.load(object())
    assert (count, len(calls), Counting.loads) == (1, 1, 1)
    assert (digest(Counting), digest(lambda: shared)) != ("", "")
    assert digest(Counting) == before
    assert digest(made("def f(): return it", it=shared)) == digest(made("def f(): return it", it=Counting()))
    assert held


STATE = """
import collections, logging, threading
log, lock, done = logging.getLogger('dev.state'), threading.Lock(), threading.Event()
counts, lists, memo = collections.Counter(), collections.defaultdict(list), {}
settings, row = {'scale': 2, 'calls': 0, 'deep': {'kept': None}}, [5, 0]
class Item:
    name = 'x'
class f:
    hits = {'n': 0, 'shift': 3}
    def __call__(self, item=Item()):
        log.info('called')
        with lock:
            done.set()
        counts[item.name] += 1
        lists[str(item.name)].append(1)
        memo[item.name, len('ab')] = 1
        memo[item.name.upper()] = 2
        settings['calls'] += 1
        settings['deep']['kept'] = item
        row[-1] += 1
        self.hits['n'] += 1
        return settings['scale'], row[0], self.hits['shift']
"""


def test_what_is_filled_under_computed_keys_is_state_and_all_else_counts() -> None:
    kind = made(STATE)
    before = digest(kind)
    kind()()
    assert digest(kind) == before
    assert remarks(kind) == []
    others = [("'scale': 2", "'scale': 4"), ("[5, 0]", "[6, 0]"), ("'shift': 3", "'shift': 4")]
    found = [digest(made(STATE.replace(*other))) for other in others]
    assert len({before, *found}) == 4


@given(
    st.sampled_from(["x", "x.y", "x[1]", "(x, 2)", "g(x, 3)", "x.m(1)[2]", "-x", "f'{x}'", "x:3", "*x, 1"])
)
@pytest.mark.parametrize(
    "use", ["it[%s] = 1", "it[%s] += g(2)", "del it[%s]", "it[%s]['a'] = 2", "it[%s].add(2)"]
)
def test_what_is_filled_is_state_whatever_the_key(use: str, key: str) -> None:
    held = [{"a": set()}, {"a": {3, 4}, 7: 8, (1, 2): 3}]
    assert len({digest(made("def f(x, g):\n    " + use % key, it=it)) for it in held}) == 1


def test_what_libraries_hold_counts_whole() -> None:
    import pandas as pd
    from PIL import Image

    frames = [pd.DataFrame({"a": range(1000), "b": ["x"] * 1000}) for _ in range(3)]
    frames[2].loc[500, "a"] = -1
    words = [np.array([str(n) for n in range(3000)], dtype=object) for _ in range(3)]
    words[2][1500] = "other"
    images = [Image.new("RGB", (4, 4)) for _ in range(3)]
    images[2].putpixel((1, 1), (3, 3, 3))
    sets = [{(1, "a"), (2, "b")}, {(2, "b"), (1, "a")}, {(1, "a"), (2, "c")}]
    for held in (frames, [frame["a"] for frame in frames], words, images, sets):
        one, same, other = (made("def f(): return it", it=thing) for thing in held)
        assert digest(one) == digest(same) != digest(other)
        assert remarks(one) == []


def test_arrays_tensors_and_networks_count_by_what_they_hold() -> None:
    import torch

    def over(held: Any) -> str:
        assert remarks(lambda: held) == []
        return digest(lambda: held)

    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout(0.1))
    before = over(net)
    assert before == over(net.eval())
    with torch.no_grad():
        net[0].weight[0, 0] += 1
    assert over(net) != before
    after = over(net)
    net[1].p = 0.2
    assert over(net) != after
    assert over(np.zeros(3)) == over(np.zeros(3)) != over(np.ones(3))
    assert over(np.zeros(3)) != over(np.zeros(3, np.float32)) != over(np.zeros((3, 1), np.float32))
    assert over(torch.zeros(3)) == over(torch.zeros(3)) != over(torch.ones(3))


@pytest.mark.parametrize(
    "handle", [iter([1]), np.random.default_rng(0), random.Random(0), weakref.ref(CodeIdentity)], ids=type
)
def test_what_can_not_be_told_is_remarked(handle: Any) -> None:
    kind = type(handle).__name__
    text = f"is registered in this process, and changes of 'handle' (of the class {kind}) can't be told"
    assert remarks(lambda: handle) == [text]
    assert "'holds[1][0]'" in remarks(made("def f(): return holds", holds={1: [handle]}))[0]
    before = digest(lambda: handle)
    list(zip(range(3), handle if hasattr(handle, "__next__") else []))
    assert digest(lambda: handle) == before


def test_what_is_built_in_holds_nothing_to_remark() -> None:
    for thing in (len, "".join, str.upper, object(), re.compile("x"), int | None, list[int], logging.DEBUG):
        assert remarks(thing) == []
        assert digest(lambda held=thing: held) == digest(lambda held=thing: held)


class Colour(Enum):
    RED = 1
    BLUE = "blue"


@dataclass(frozen=True, slots=True)
class Slotted:
    colour: Colour
    sizes: frozenset[Any] = frozenset()


def test_objects_of_the_users_own_count_by_what_they_hold() -> None:
    items = [(Colour.RED, "a"), ("b", 2), "c", None]
    held = [
        Slotted(Colour.RED),
        Slotted(Colour.BLUE),
        *(Slotted(Colour.RED, frozenset(s)) for s in (items, items[1:])),
    ]
    again = Slotted(Colour.RED, frozenset(reversed(items)))
    assert len({digest(lambda thing=thing: thing) for thing in (*held, again)}) == 4
    assert [remarks(lambda thing=thing: thing) for thing in held] == [[]] * 4


def test_a_digest_does_not_depend_on_the_seed_of_hashes_or_on_addresses(tmp_path: Path) -> None:
    (tmp_path / "it.py").write_text(
        f"from harness.discovery.code import identify_object\nnamespace = {{'__name__': '__main__'}}\n"
        f"exec({BASE + STATE.replace('class f:', 'class g:')!r}, namespace)\n"
        "namespace['names'] = {'a', 'b', ('c', 'd'), frozenset('efg')}\n"
        'exec(\'def h(x): return f, g, names, x in {"a", "b", "c"}\', namespace)\n'
        "print(identify_object(namespace['h']))"
    )
    said = [
        subprocess.run(
            [sys.executable, str(tmp_path / "it.py")],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    ]
    assert len(set(said)) == 1
    assert "remarks=()" in said[0]


def test_recursion_ends() -> None:
    loop: list[Any] = []
    loop.append(loop)
    deep: list[Any] = []
    for _ in range(10_000):
        deep = [deep]
    assert digest(made("def f(n): return f(n - 1) if n else loop", loop=loop))
    assert remarks(made("def f(): return deep", deep=deep))


def test_the_users_own_modules_are_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for number in (1, 2):
        site = tmp_path / str(number)
        site.mkdir()
        (site / "helping_code.py").write_text(
            f"import json\nVALUE = {number}\ndef of(x):\n    return x + VALUE\n"
        )
        monkeypatch.syspath_prepend(str(site))
        sys.modules.pop("helping_code", None)
        found.append(digest(made("import helping_code\ndef f(x): return helping_code.of(x)")))
    assert found[0] != found[1]
    assert digest(made("import json\ndef f(x): return json.dumps(x)"))


LATE = [
    "def f():\n    import helping_late\n    return helping_late.of(1)",
    "class f:\n    def load(self):\n        from helping_late import of\n        return of(1)",
    "class f:\n    def load(self):\n        import json, helping_late.deep as h\n        return [h for _ in (1,)]",
]


@pytest.mark.parametrize("code", LATE)
@pytest.mark.parametrize("is_imported", [False, True])
def test_modules_that_are_imported_late_are_followed(
    code: str, is_imported: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    package = tmp_path / "helping_late"
    package.mkdir()
    (package / "__init__.py").write_text("def of(x):\n    return x\n")
    (package / "deep.py").write_text("A = 1\n")
    function, found = made(code), []
    try:
        for text in ("A = 1\n", "A = 2\n", "A = 1\n"):
            (package / "deep.py").write_text(text)
            if is_imported:
                importlib.invalidate_caches()
                importlib.import_module("helping_late")
            found.append(digest(function))
            for name in [n for n in sys.modules if n.startswith("helping_late")]:
                del sys.modules[name]
        assert found[0] == found[2] != found[1]
    finally:
        sys.modules.pop("helping_late", None)


def test_what_a_function_says_of_itself_decides_nothing() -> None:
    for code in (
        "def f():\n  '%s'\n  return 1",
        "class f:\n  def m(self):\n    def g():\n      '%s'\n    return g",
    ):
        assert digest(made(code % "a")) == digest(made(code % "b"))
    for code in ("def f():\n  return '%s'", "f = lambda: '%s'", "def f(x):\n  return ['%s' for _ in x]"):
        assert digest(made(code % "a")) != digest(made(code % "b"))


def test_methods_count_with_what_they_are_bound_to() -> None:
    held, function = (
        made("class f:\n  k = 1\n  def __init__(self, k): self.k = k"),
        "def f(self): return self.k + %s",
    )
    bound = [MethodType(made(function % n), held(k)) for n, k in ((1, 1), (1, 2), (2, 1), (1, 1))]
    assert len({digest(method) for method in bound}) == 3
    assert digest(bound[0]) == digest(bound[3])


def test_metaclasses_count() -> None:
    code = "class M(type):\n  def __call__(c): return %s\nclass f(metaclass=M): ..."
    assert digest(made(code % 1)) == digest(made(code % 1)) != digest(made(code % 2))


def test_a_registered_function_that_changes_is_run_again(tmp_path: Path, toys: Any) -> None:
    suite = {"name": "s", "protocol": "p", "datasets": ["toy"]}
    code = "from harness import Result\nclass P:\n    needs_model = False\n    def run(self, job): return Result({'n': %s})"
    for number in (1, 2, 2, 1):
        harness.register("protocols", "p", made(code % number, "P"))
        outcome = harness.run(suite, store=tmp_path / "store", device="cpu")
        assert outcome.frame()["metric.n"].tolist() == [number]
    assert outcome.records == []  # the first one's record still stands for it


def test_partials_and_callable_objects_can_be_registered(tmp_path: Path, toys: Any) -> None:
    code = (
        "from __future__ import annotations\nfrom harness import Result\n"
        "class P:\n    needs_model = False\n    def __init__(self, k: int = 1): self.k = k\n"
        "    def run(self, job): return Result({'n': self.k})\n"
        "class Maker:\n    def __init__(self, k): self.k = k\n    def __call__(self) -> P: return P(self.k)"
    )
    kind, maker = made(code, "P"), made(code, "Maker")
    suite = {"name": "s", "protocol": "p", "datasets": ["toy"]}
    for number, factory in (
        (2, functools.partial(kind, k=2)),
        (3, functools.partial(kind, k=3)),
        (4, maker(4)),
    ):
        harness.register("protocols", "p", factory)
        outcome = harness.run(suite, store=tmp_path / "store", device="cpu")
        assert outcome.frame()["metric.n"].tolist() == [number]
    harness.register("protocols", "p", functools.partial(kind, k=2))
    with pytest.raises(harness.OptionError, match="must be int"):
        harness.plan(suite | {"protocol": {"plugin": "p", "k": "many"}})


def editable(
    install: Callable[..., Path], folder: str, text: str, origin: str | None, version: str = "1.0"
) -> Path:
    site = install(
        "dev",
        {"harness.models": {"dev": "dev_code:Model"}},
        {"dev_code": text},
        version=version,
        folder=folder,
    )
    if origin is not None:
        (site / f"dev-{version}.dist-info" / "direct_url.json").write_text(origin)
    return site


MODEL = "class Model:\n    def __init__(self): ...\n    def load(self, device): return %s\n"
FROM_FOLDER = json.dumps({"url": "file:///somewhere", "dir_info": {"editable": True}})


def code() -> CodeIdentity:
    part = Resolver().resolve("models", Reference("dev"), "here")
    assert part.problem is None
    return CodeIdentity(json.loads(part.identity).get("code", ""), part.remarks)


def imported_anew() -> None:
    for name in [n for n in sys.modules if n.startswith("dev_")]:
        del sys.modules[name]


def test_a_plugin_in_development_is_known_by_its_files(install: Callable[..., Path]) -> None:
    site = editable(install, "a", "import dev_helper\n" + MODEL % 1, FROM_FOLDER)
    helper = site / "dev_helper.py"
    helper.write_text("A = 1\n")
    try:
        first = code()
        assert first.digest
        assert first == code()
        imported_anew()
        helper.write_text("A = 2\n")
        second = code()
        imported_anew()
        (site / "dev_code.py").write_text("import dev_helper\n" + MODEL % 2)
        third = code()
        assert len({first.digest, second.digest, third.digest}) == 3
        assert third.remarks == ()
    finally:
        imported_anew()


def test_code_that_was_changed_after_its_import_is_the_code_that_runs(install: Callable[..., Path]) -> None:
    site = editable(install, "stale", MODEL % 1, FROM_FOLDER)
    try:
        first = code()
        (site / "dev_code.py").write_text(MODEL % 23)
        stale = code()
        assert stale.digest == first.digest
        assert (
            "dev_code.py was changed after it was imported; what ran is the code as it was"
            in stale.remarks[0]
        )
        importlib.invalidate_caches()
        importlib.reload(sys.modules["dev_code"])
        assert code().digest != first.digest
        assert code().remarks == ()
    finally:
        imported_anew()


def test_packages_count_whole_and_data_in_them_does_not(install: Callable[..., Path]) -> None:
    site = install("dev", {"harness.models": {"dev": "dev_pack.inner:Model"}})
    (site / "dev-1.0.dist-info" / "direct_url.json").write_text(FROM_FOLDER)
    inner = site / "dev_pack" / "deep"
    inner.mkdir(parents=True)
    (site / "dev_pack" / "__init__.py").write_text("")
    (site / "dev_pack" / "inner.py").write_text(MODEL % 1)
    (inner / "lazily.py").write_text("A = 1")
    try:
        first = code().digest
        (site / "dev_pack" / "notes.txt").write_text("x")
        assert code().digest == first
        (inner / "lazily.py").write_text("A = 2")
        assert code().digest != first
    finally:
        imported_anew()


@pytest.mark.parametrize(
    "line",
    [
        "import json, dev_helper",
        "import dev_helper as h, json",
        "import json; import dev_helper",
        "import json, \\\n    dev_helper.deep",
        "from dev_helper import A",
        "    import json as j, dev_helper",
        "h = importlib.import_module('dev_helper')",
    ],
)
def test_helpers_count_however_they_are_imported(install: Callable[..., Path], line: str) -> None:
    text = f"import importlib\ndef late():\n    pass\n{line.strip() if line[0] != ' ' else f'if 1:{chr(10)}{line}'}\n"
    site = editable(install, "a", text.replace("dev_helper.deep", "dev_helper") + MODEL % 1, FROM_FOLDER)
    helper = site / "dev_helper.py"
    helper.write_text("A = 1\n")
    try:
        first = code().digest
        imported_anew()
        helper.write_text("A = 2\n")
        assert code().digest != first
    finally:
        imported_anew()


def test_data_that_the_code_names_count_and_what_it_writes_does_not(install: Callable[..., Path]) -> None:
    site = install("dev", {"harness.models": {"dev": "dev_pack.inner:Model"}})
    (site / "dev-1.0.dist-info" / "direct_url.json").write_text(FROM_FOLDER)
    pack = site / "dev_pack"
    (pack / "data").mkdir(parents=True)
    (pack / "__init__.py").write_text("")
    reading = (
        "T = open(HERE / 'table.json')\nW = HERE / 'data' / \"weights.bin\"\nN = HERE / 'data/names.txt'\n"
    )
    writing = "open(HERE / 'out.txt', 'w')\nlogging.FileHandler(HERE / 'run.txt')\n"
    (pack / "inner.py").write_text(f"def late(HERE):\n    {'; '.join(reading.splitlines())}\n" + MODEL % 1)
    (pack / "writes.py").write_text(writing)
    counted = ["table.json", "data/weights.bin", "data/names.txt"]
    others = ["out.txt", "run.txt", "data/other.txt"]
    try:
        for name in counted + others:
            (pack / name).write_text("1")
        known = [code().digest]
        for name in others:
            (pack / name).write_text("22")
            assert code().digest == known[0]
        for name in counted:
            (pack / name).write_text("22")
            known.append(code().digest)
        assert len(set(known)) == 4
    finally:
        imported_anew()


def test_a_released_plugin_is_known_by_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site-packages"
    site.mkdir()
    (site / "dev_released.py").write_text(MODEL % 1)
    monkeypatch.syspath_prepend(str(site))
    assert (
        identify_code(Plugin("models", "dev", "dev_released:Model", "dev-released", "1.0"), None)
        == CodeIdentity()
    )
    own = Plugin("models", "timm", "harness_timm:TimmModel", "vision-harness", "0.1.0")
    assert identify_code(own, None) == CodeIdentity()  # a checkout of it is always in development


def test_a_folder_of_a_plugin_without_a_fingerprint_is_told(tmp_path: Path) -> None:
    class Plain:
        splits = ("test",)

        def __init__(self, path: Path) -> None:
            self.path = path

        def load(self, split: str) -> None: ...

    class Known(Plain):
        def fingerprint(self) -> str:
            return "1"

    def said(kind: type, path: Path) -> tuple[str, ...]:
        harness.register("datasets", "kept", kind)
        return Resolver().resolve("datasets", Reference("kept", {"path": str(path)}), "here").remarks

    (tmp_path / "file").write_text("1")
    assert ["option 'path' is known by its path alone" in text for text in said(Plain, tmp_path)] == [True]
    assert said(Plain, tmp_path / "file") == said(Known, tmp_path) == ()


@pytest.mark.parametrize("module", ["harness", "harness_metrics", "harness_robustness"])
def test_a_checkout_of_the_harness_is_no_code_under_development(module: str) -> None:
    from harness.discovery.code_files import is_developed

    assert not is_developed(module)
