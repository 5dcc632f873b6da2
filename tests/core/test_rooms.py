"""The tree: no file imports another that leads back to it, and no room one that it should not know."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
TOPS = {"harness": ROOT, "plugins": ROOT / "plugins", "suites": ROOT / "suites"}


def modules() -> dict[str, Path]:
    """Every module of the project by its import name."""
    found = {}
    for top, base in TOPS.items():
        for path in (ROOT / top).rglob("*.py"):
            name = ".".join(path.relative_to(base).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imported(path: Path) -> Iterator[str]:
    """The project's modules that a file imports: at the top, inside functions, or for type checkers alone."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


GRAPH = {
    name: {other for other in imported(path) if other in MODULES and other not in ("harness", name)}
    for name, path in MODULES.items()
}


def circles() -> list[list[str]]:
    """The strongly connected parts of the graph with more than one file (Tarjan 1972)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        order[name] = lowest[name] = len(order)
        stack.append(name)
        for other in GRAPH[name]:
            if other not in order:
                visit(other)
            if other in stack:
                lowest[name] = min(lowest[name], lowest[other])
        if lowest[name] == order[name]:
            at = stack.index(name)
            part = sorted(stack[at:])
            del stack[at:]
            if len(part) > 1:
                found.append(part)

    for name in GRAPH:
        if name not in order:
            visit(name)
    return found


def test_no_file_imports_one_that_leads_back_to_it() -> None:
    assert circles() == []


def test_the_contract_imports_nothing_but_itself_and_the_errors() -> None:
    known = [name for name in MODULES if name.startswith("harness.contract")]
    others = {
        (name, other)
        for name in known
        for other in GRAPH[name]
        if not other.startswith("harness.contract") and other != "harness.errors"
    }
    assert not others


def test_the_core_knows_no_plugin_and_suites_do_not_know_each_other() -> None:
    suites = {path.name for path in (ROOT / "suites").iterdir() if (path / "__init__.py").exists()}
    wrong = []
    for name, others in GRAPH.items():
        own = name.partition(".")[0]
        for other in others:
            package = other.partition(".")[0]
            if (own == "harness" and package != own) or (package in suites and package != own):
                wrong.append(f"{name} imports {other}")
    assert not wrong
