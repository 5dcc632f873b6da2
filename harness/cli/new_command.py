"""`harness new`: write a small, complete package with a plugin of a kind, to begin with."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harness.cli.common import print_json
from harness.errors import HarnessError
from harness.scaffold.names import GROUPS, make_names
from harness.scaffold.package import write_package


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add = parser.add_argument
    kinds = ", ".join(GROUPS)
    add("kind", nargs="?", help=f"the kind: {kinds} (asked for on a terminal)")
    add("name", nargs="?", help="its name, such as my-net (asked for on a terminal)")
    add("--out", type=Path, default=Path(), metavar="DIR", help="where its folder goes (default: here)")


def main(given: argparse.Namespace) -> int:
    """Write the package and print the next steps."""
    kind = given.kind or _ask_user("kind", f"What is it? ({', '.join(GROUPS)}) ")
    name = given.name or _ask_user("name", "What is it called? (such as my-net) ")
    names = make_names(kind, name)
    folder = write_package(names, given.out)
    if given.json:
        written = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
        print_json({"name": names.plugin, "kind": names.kind, "folder": str(folder), "files": written})
        return 0
    steps = ["pip install -e '.[dev]'", "pytest", f"harness check {names.plugin}"]
    run = {"suite": names.plugin, "listener": f"try.toml --listen {names.plugin}"}
    last = f"harness run {run.get(names.kind, 'try.toml')}"
    if names.kind == "importer":
        last = "harness import example.csv"
    if names.kind == "published":
        last = f"harness table --add-published {names.plugin}"
    what = "published set" if names.kind == "published" else names.kind
    article = "an" if names.kind[0] in "aeiou" else "a"
    print(f"{names.plugin}: {article} {what} in {folder}")
    for step in (f"cd {folder}", *steps, last):
        print(f"  {step}")
    return 0


def _ask_user(what: str, question: str) -> str:
    """Ask for a missing argument on a terminal. Raises HarnessError elsewhere: nobody would answer."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise HarnessError(
            f"harness new: needs a {what}, as in `harness new model my-net`; kinds: {', '.join(GROUPS)}"
        )
    try:
        return input(question).strip()
    except EOFError:
        raise HarnessError(f"harness new: needs a {what}") from None
