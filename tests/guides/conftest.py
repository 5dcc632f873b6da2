"""Follow a guide literally: write its files, run its commands, and compare their output with what it shows."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

FENCE = re.compile(r"^```(\w*)(.*?)\n(.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its file name (`title="net.py"`) if any, its text and its line."""

    language: str
    title: str | None
    text: str
    line: int


def blocks(guide: Path) -> list[Block]:
    """Return the fenced blocks of a guide, in order."""
    text = guide.read_text(encoding="utf-8")
    found = []
    for match in FENCE.finditer(text):
        title = re.search(r'title="([^"]+)"', match[2])
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(match[1], title and title[1], match[3], line))
    return found


class Shell:
    """The process whose forks run the commands."""

    def __init__(self, folder: Path) -> None:
        kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH")}
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("shell.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=kept | {"OMP_NUM_THREADS": "1"},
            cwd=folder,
        )
        assert self._line() == "ready"

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def run(self, words: list[str], folder: Path, site: Path, output: Path) -> int:
        """Run a command, write its output to the file `output`, and return its exit status."""
        assert self.process.stdin is not None
        request = {"words": words, "folder": str(folder), "site": str(site), "output": str(output)}
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return int(self._line())

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


@pytest.fixture(scope="session")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    made = Shell(tmp_path_factory.mktemp("shell"))
    yield made
    made.close()


class Reader:
    """A reader with an empty folder and an environment that contains only the harness."""

    def __init__(self, shell: Shell, place: Path) -> None:
        self.shell, self.folder, self.output = shell, place / "folder", place / "output.txt"
        self.folder.mkdir()
        environment = place / "environment"
        venv.create(environment, symlinks=True)
        self.site = next(environment.glob("lib/python*/site-packages"))
        # the harness and its libraries, as `pip install vision-harness` would have put them here
        own = sysconfig.get_path("purelib")
        (self.site / "harness.pth").write_text(f"import site; site.addsitedir({own!r})\n")

    def follow(self, guide: Path) -> None:
        """Do everything that the guide says, in order.

        A block with a title is a file to write. In a `console` block, a line after `$ ` is a command,
        which must succeed; every other line must occur in the command's output, with `…` matching
        anything. Other blocks are not run, and must have the word "only" in their first line.
        """
        here = self.folder
        for block in blocks(guide):
            where = f"{guide.name}:{block.line}"
            if block.title:
                path = (here / block.title).resolve()
                assert path.is_relative_to(self.folder.resolve()), f"{where}: writes outside the folder"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(block.text, encoding="utf-8")
            elif block.language == "console":
                here = self._console(block.text, here, where)
            else:
                assert "only" in _first_line(guide, block), f"{where}: a block that nothing tries"

    def _console(self, text: str, here: Path, where: str) -> Path:
        printed = ""
        for line in text.splitlines():
            if not line.startswith("$ "):
                shown = ".*".join(re.escape(" ".join(part.split())) for part in line.split("…"))
                assert re.search(shown, printed), f"{where}: not printed: {line}\n\n{printed}"
                continue
            words = shlex.split(line[2:], comments=True)
            if words[0] == "cd":
                here = (here / words[1]).resolve()
                assert here.is_relative_to(self.folder.resolve()), f"{where}: leaves the folder"
                continue
            status = self.shell.run(words, here, self.site, self.output)
            printed = "\n".join(" ".join(row.split()) for row in self.output.read_text().splitlines())
            assert status == 0, f"{where}: {line[2:]} ended with {status}:\n{printed}"
        return here


def _first_line(guide: Path, block: Block) -> str:
    return guide.read_text(encoding="utf-8").splitlines()[block.line - 1]


@pytest.fixture
def reader(shell: Shell, tmp_path: Path) -> Reader:
    return Reader(shell, tmp_path)
