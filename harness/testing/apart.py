"""Asking another process: a fresh interpreter with another hash seed, as a worker or a later run would be."""

from __future__ import annotations

import atexit
import json
import os
import pickle
import subprocess
import sys
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

from harness.testing.outcome import NotChecked

CHILD = "from harness.testing.apart import serve; serve()"
IMPORTS = "import importlib, json, sys; importlib.import_module(sys.argv[1]); print(json.dumps(sorted(sys.modules)))"
WAIT = 300
"""Seconds that an import may take on a machine that is busy with other things."""


@lru_cache(maxsize=256)
def imported_with(module: str) -> frozenset[str]:
    """The modules that a fresh interpreter holds once it has imported this one.

    Raises NotChecked for a module that other processes can't import, such as a test's own.
    """
    _importable(module)
    command = [sys.executable, "-c", IMPORTS, module]
    done = subprocess.run(command, capture_output=True, env=_environment(), timeout=WAIT, check=False)
    if done.returncode:
        raise NotChecked(f"another process can't import {module}: {_last_line(done.stderr)}")
    return frozenset(json.loads(done.stdout.splitlines()[-1]))


def asked(function: Any, *arguments: Any) -> Any:
    """What a module-level function of this package gives for these arguments in another process.

    Arguments travel pickled, the answer as JSON. Raises NotChecked where an argument's class lives in
    a module that the other process can't import, RuntimeError with the last line of the traceback
    when the function raises there; what pickle raises goes through. The process stays for the next
    question, so that it pays for its imports once.
    """
    for argument in arguments:
        _importable(type(argument).__module__)
    request = pickle.dumps((dict(os.environ), function.__module__, function.__name__, arguments))
    found = _other().ask(pickle.dumps((list(sys.path), request)))  # which needs the path to be read
    if "error" in found:
        raise RuntimeError(f"in another process: {found['error']}")
    return found["answer"]


class Other:
    """Another process, which answers one request after another until this one ends."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
        )
        atexit.register(self.process.kill)

    def ask(self, request: bytes) -> Any:
        """The answer to a request; an error when the process dies of it."""
        given, told = self.process.stdin, self.process.stdout
        assert given is not None
        assert told is not None
        try:
            given.write(request)
            given.flush()
            line = told.readline()
        except OSError:
            line = b""
        if not line:
            _other.cache_clear()
            return {"error": f"the process died, with status {self.process.wait()}"}
        return json.loads(line)


@lru_cache(maxsize=1)
def _other() -> Other:
    return Other()


def serve() -> None:
    """The other process's part: reads a request, calls its function, prints the answer as JSON, and again."""
    from importlib import import_module

    told, sys.stdout = sys.stdout, sys.stderr  # what a plugin prints is no answer
    given: Any = sys.stdin.buffer
    while given.peek(1):
        # only what the parent, which started this process, wrote into the pipe between the two
        sys.path[:], request = pickle.load(given)
        try:
            environment, module, name, arguments = pickle.loads(request)
            os.environ.update(environment)
            reply = {"answer": getattr(import_module(module), name)(*arguments)}
        except Exception as error:  # whatever the plugin raises
            reply = {"error": f"{type(error).__name__}: {' '.join(str(error).split())}"}
        told.write(json.dumps(reply) + "\n")
        told.flush()


def _environment() -> dict[str, str]:
    """The same places to import from, and set order that differs from this process's."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONHASHSEED"}
    return kept | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "PYTHONHASHSEED": "20011"}


def _importable(module: str) -> None:
    try:
        found = find_spec(module)
    except (ImportError, ValueError, AttributeError):
        found = None
    if found is None or module == "__main__":
        raise NotChecked(f"'{module}' can't be imported by another process: put the plugin into a package")


def _last_line(text: bytes) -> str:
    lines = text.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "it ended without a word"
