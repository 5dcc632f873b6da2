"""Commands that guides show but no test can run, for want of machines: they are at least valid."""

from __future__ import annotations

import argparse
import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest

from harness.cli import COMMANDS
from harness.discovery.parts import Resolver
from harness.discovery.reference import parse_short
from harness.planning.suite import find_suite_file

ROOT = Path(__file__).parents[2]
SOURCES = [
    ROOT / "README.md",
    *(p for room in ("harness", "plugins", "suites") for p in sorted((ROOT / room).glob("**/guides/*.md"))),
    *sorted((ROOT / "plugins").glob("*/README.md")),
]
BLOCK = re.compile(r"^```(sh[^\n]*)?\n(.*?)^```$", re.M | re.S)
OTHERS = ("my-suite", "mine", "mine.toml", "small", "small.toml")
"""Suites of the reader's own."""


def commands(source: Path) -> list[str]:
    """Return the `harness` commands in a text's shell blocks, without what stands before them on their line."""
    found = []
    for language, text in BLOCK.findall(source.read_text(encoding="utf-8")):
        for line in text.replace("\\\n", " ").splitlines():
            match = re.match(r"(?:[A-Z_]+=\S+ )*(harness (\S+).*)", line.strip())
            if match and (language or match[2] in COMMANDS):  # a block without a language may be prose
                found.append(match[1])
    return found


SHOWN = [(source, line) for source in SOURCES for line in commands(source)]


def test_there_are_some() -> None:
    assert len(SHOWN) > 20
    assert any("slurm?" in line for _, line in SHOWN)
    assert any("ray?" in line for _, line in SHOWN)


@pytest.mark.parametrize(
    ("source", "line"), SHOWN, ids=[f"{source.stem}-{n}" for n, (source, _) in enumerate(SHOWN)]
)
def test_options_executors_and_suites_exist(source: Path, line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    if words[0].startswith("-"):
        return
    module = import_module(f"harness.cli.{words[0]}_command")
    parser = argparse.ArgumentParser(exit_on_error=False)
    parser.add_argument("--json", action="store_true")
    module.add_arguments(parser)
    given = parser.parse_args(words[1:])
    if executor := getattr(given, "executor", None):
        part = Resolver().resolve("executors", parse_short(executor), "--executor")
        assert part.problem is None
    if words[0] in ("run", "plan"):
        for name in given.suites:
            if name.partition("@")[0] not in OTHERS and not name.endswith(".toml"):
                find_suite_file(name.partition("@")[0])
