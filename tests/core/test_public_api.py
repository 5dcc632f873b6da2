"""The public API is what tests/core/public_api.txt records; a change of it is told in CHANGELOG.md.

After a change that is meant: `python tests/core/test_public_api.py --write`, and the line that it prints
goes, with what changed, into the unreleased section of CHANGELOG.md.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import importlib
import inspect
import pkgutil
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import harness
import harness.testing

ROOT = Path(__file__).parents[2]
LISTING = Path(__file__).with_name("public_api.txt")
CHANGELOG = ROOT / "CHANGELOG.md"
README = ROOT / "harness" / "README.md"
NAMED = re.compile(r"^- Public API `([0-9a-f]{8})`: *(\S?)", re.MULTILINE)
SPECIAL = ("__call__", "__iter__", "__len__", "__getitem__")


def listing() -> str:
    """All public names with their signatures, one a line, in the order of the alphabet."""
    lines = []
    for module in (harness, harness.testing):
        for name in module.__all__:
            lines += described(f"{module.__name__}.{name}", getattr(module, name))
    return "\n".join(sorted(lines)) + "\n"


def described(name: str, thing: Any) -> list[str]:
    """The lines of one public name: a function's signature, a class with its members, a constant's value."""
    if inspect.isclass(thing):
        return class_lines(name, thing)
    if inspect.isroutine(thing):
        return [f"{name}{signature(thing)}"]
    return [f"{name} = {thing!r}" if isinstance(thing, int | str) else name]


def class_lines(name: str, cls: type) -> list[str]:
    """A class: its ancestors, how it is made, and the members that it or an ancestor of ours has."""
    ours = [base for base in cls.__mro__ if base.__module__.startswith("harness")]
    parents = ", ".join(base.__name__ for base in cls.__bases__ if base is not object)
    lines = [f"{name}: class({parents})"]
    makes = [base for base in ours if "__init__" in vars(base)]
    if makes and not getattr(cls, "_is_protocol", False):
        lines.append(f"{name}{signature(makes[0].__init__)}")
    members: dict[str, Any] = {}
    for base in reversed(ours):
        members |= {n: m for n, m in vars(base).items() if n in SPECIAL or not n.startswith("_")}
        members |= inspect.get_annotations(base)
    only_names = cls.__module__ == "harness.testing.conformance"  # how fixtures look is pytest's own affair
    for member, value in members.items():
        if member.startswith("_") and member not in SPECIAL:
            continue
        if member.startswith("model_") and "BaseModel" in {b.__name__ for b in cls.__mro__}:
            continue  # pydantic's own
        lines.append(f"{name}.{member}" + ("" if only_names else shown(value)))
    return lines


def shown(value: Any) -> str:
    """A member as it is used: a method's signature, a property's or an attribute's type."""
    if isinstance(value, property):
        returns = inspect.get_annotations(value.fget).get("return") if value.fget else None
        return f": {typed(returns)}"
    if isinstance(value, staticmethod | classmethod):
        return signature(value.__func__)
    if inspect.isfunction(value):
        return signature(value)
    if isinstance(value, str) or inspect.isclass(value):
        return f": {typed(value)}"
    return ""


def typed(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def signature(function: Any) -> str:
    """A signature without what differs between runs: functions as defaults."""
    found = inspect.signature(function)
    parts, keyword_only = [], False
    for parameter in found.parameters.values():
        star = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword_only:
            parts.append("*")
        keyword_only |= parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_POSITIONAL)
        text = f"{star}{parameter.name}"
        if parameter.annotation is not parameter.empty:
            text += f": {typed(parameter.annotation)}"
        default = parameter.default
        if default is not parameter.empty:
            text += " = …" if callable(default) or "factory" in repr(default) else f" = {default!r}"
        parts.append(text)
    returns = "" if found.return_annotation is found.empty else f" -> {typed(found.return_annotation)}"
    return f"({', '.join(parts)}){returns}"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def told(changelog: str) -> tuple[str, str] | None:
    """The digest that the changelog names last, in its newest section that names one, and how its text begins."""
    for section in changelog.split("\n## ")[1:]:
        if found := NAMED.findall(section):
            last: tuple[str, str] = found[-1]
            return last
    return None


def trouble(recorded: str, current: str, changelog: str) -> str | None:
    """What is wrong with listing and changelog, and what to do; None when they agree."""
    how = "run `python tests/core/test_public_api.py --write` and write what changed into CHANGELOG.md"
    if recorded != current:
        changes = [
            line
            for line in difflib.unified_diff(recorded.splitlines(), current.splitlines(), lineterm="", n=0)
            if line[:1] in "+-" and line[:3] not in ("+++", "---")
        ]
        return "\n".join(["the public API has changed:", *changes, f"If that is meant: {how}."])
    line = told(changelog)
    if line is None or line[0] != digest(recorded) or not line[1]:
        return (
            f"CHANGELOG.md does not tell of this change of the public API: its unreleased section needs the line\n"
            f"- Public API `{digest(recorded)}`: (what changed, and what plugins do about it)"
        )
    return None


def test_no_public_name_or_signature_changes_without_the_changelog() -> None:
    found = trouble(LISTING.read_text("utf-8"), listing(), CHANGELOG.read_text("utf-8"))
    assert found is None, found


BEFORE = "harness.run(suite: str) -> Run\nharness.table(suite: str) -> Table\n"
LOG = "# Changelog\n\n## 0.2 (unreleased)\n\n{}\n\n## 0.1\n\n- Public API `00000000`: the first.\n"


def test_a_change_of_a_signature_is_seen() -> None:
    after = BEFORE.replace("suite: str) -> Run", "suite: str, fast: bool) -> Run")
    found = trouble(BEFORE, after, LOG.format(f"- Public API `{digest(BEFORE)}`: before."))
    assert found is not None
    assert "-harness.run(suite: str) -> Run" in found
    assert "+harness.run(suite: str, fast: bool) -> Run" in found
    assert "--write" in found


@pytest.mark.parametrize(
    ("line", "holds"),
    [
        (f"- Public API `{digest(BEFORE)}`: `table` is new.", True),
        (f"- Public API `12345678`: `run` is new.\n- Public API `{digest(BEFORE)}`: `table` is new.", True),
        (f"- Public API `{digest(BEFORE)}`: `table` is new.\n- Public API `12345678`: `run` is new.", False),
        (f"- Public API `{digest(BEFORE)}`:", False),
        ("- Something else.", False),
    ],
)
def test_the_changelog_must_name_the_listing_it_tells_of(line: str, holds: bool) -> None:
    found = trouble(BEFORE, BEFORE, LOG.format(line))
    assert (found is None) == holds
    assert holds or digest(BEFORE) in str(found)


@pytest.mark.parametrize("module", [harness, harness.testing], ids=lambda m: m.__name__)
def test_each_name_is_told_once(module: Any) -> None:
    assert sorted(module._HOMES) == module.__all__ == sorted(dir(module))
    source = ast.parse(Path(module.__file__).read_text("utf-8"))
    imported = {
        alias.name
        for node in ast.walk(source)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for statement in node.body
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
    }
    assert imported == set(module.__all__)
    assert all(getattr(module, name) is not None for name in imported)


def test_no_module_hides_a_public_name() -> None:
    modules = {info.name for info in pkgutil.iter_modules(harness.__path__)}
    assert not modules & set(harness.__all__)


def test_names_that_are_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'harness' has no attribute 'no_such_name'"):
        harness.no_such_name  # noqa: B018


def test_it_is_typed_and_documented_throughout() -> None:
    assert (ROOT / "harness" / "py.typed").is_file()
    lacking = []
    for module in (harness, harness.testing):
        for name in module.__all__:
            thing = getattr(module, name)
            if not (inspect.isroutine(thing) or inspect.isclass(thing)) or thing is harness.hookimpl:
                continue
            if not (thing.__doc__ or "").strip():
                lacking.append(f"{name}: no docstring")
            for function in functions(thing):
                annotations = inspect.get_annotations(function)
                parameters = [p for p in inspect.signature(function).parameters if p not in ("self", "cls")]
                lacking += [
                    f"{name}.{function.__name__}: {p}"
                    for p in [*parameters, "return"]
                    if p not in annotations
                ]
    assert lacking == []


def functions(thing: Any) -> Iterator[Any]:
    """A public function, or the public methods of a public class of ours."""
    if not inspect.isclass(thing):
        yield thing
        return
    for name, member in vars(thing).items():
        if (
            inspect.isfunction(member)
            and member.__name__ != "<lambda>"
            and (name in SPECIAL or not name.startswith(("_", "test_")))
        ):
            yield member


def toolboxes() -> set[str]:
    """The modules whose names plugins may use, though they are not recorded: as README.md lists them."""
    section = README.read_text("utf-8").split("## What plugins may rely on")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `(harness\.[a-z_.]+)` \|", section, re.MULTILINE))


def test_first_party_plugins_use_nothing_that_others_may_not() -> None:
    public = {(home, name) for name, home in harness._HOMES.items()}
    public |= {("harness.testing", name) for name in harness.testing.__all__}
    allowed, wrong = toolboxes(), []
    for source in sorted([*(ROOT / "plugins").rglob("*.py"), *(ROOT / "suites").rglob("*.py")]):
        for node in ast.walk(ast.parse(source.read_text("utf-8"))):
            if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("harness."):
                continue
            for alias in node.names:
                if (node.module, alias.name) not in public and node.module not in allowed:
                    wrong.append(f"{source.relative_to(ROOT)}: from {node.module} import {alias.name}")
    assert wrong == [], (
        "not public: add the name to harness.__all__, or its module to the table in harness/README.md\n"
        + "\n".join(wrong)
    )


def test_the_tool_boxes_are_modules_that_say_what_they_are() -> None:
    for name in toolboxes():
        module = importlib.import_module(name)
        assert (module.__doc__ or "").strip()
        assert not name.rpartition(".")[2].startswith("_")


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("python tests/core/test_public_api.py --write")
    LISTING.write_text(listing(), encoding="utf-8")
    print(f"for CHANGELOG.md, unreleased:\n- Public API `{digest(listing())}`: ")
