"""Asking another process: a fresh interpreter with another hash seed, as a worker or a later run would be."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

from harness.testing.outcome import NotChecked

CHILD = "import sys; from harness.testing.apart import answer; answer()"
IMPORTS = "import importlib, json, sys; importlib.import_module(sys.argv[1]); print(json.dumps(sorted(sys.modules)))"
WAIT = 300


@lru_cache(maxsize=256)
def imported_with(module: str) -> frozenset[str]:
    """The modules that a fresh interpreter holds once it has imported this one.

    Raises NotChecked for a module that other processes can't import, such as a test's own.
    """
    _importable(module)
    done = _python(["-c", IMPORTS, module], b"")
    if done.returncode:
        raise NotChecked(f"another process can't import {module}: {_last_line(done.stderr)}")
    return frozenset(json.loads(done.stdout.splitlines()[-1]))


def asked(function: Any, *arguments: Any) -> Any:
    """What a module-level function of this package gives for these arguments in another process.

    Arguments travel pickled, the answer as JSON. Raises NotChecked where an argument's class lives in
    a module that the other process can't import, RuntimeError with the last line of the traceback
    when the function raises there; what pickle raises goes through.
    """
    for argument in arguments:
        _importable(type(argument).__module__)
    request = pickle.dumps((function.__module__, function.__name__, arguments))
    done = _python(["-c", CHILD], request)
    if done.returncode:
        raise RuntimeError(f"in another process: {_last_line(done.stderr)}")
    return json.loads(done.stdout.splitlines()[-1])


def answer() -> None:
    """The other process's part: reads the request, calls the function, prints the answer as JSON."""
    from importlib import import_module

    # only what the parent, which started this process, wrote into the pipe between the two
    module, name, arguments = pickle.loads(sys.stdin.buffer.read())
    print(json.dumps(getattr(import_module(module), name)(*arguments)))


def _python(arguments: list[str], given: bytes) -> subprocess.CompletedProcess[bytes]:
    # the same places to import from, and set order that differs from this process's
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONHASHSEED"}
    environment["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
    environment["PYTHONHASHSEED"] = "20011"
    return subprocess.run(
        [sys.executable, *arguments],
        input=given,
        capture_output=True,
        env=environment,
        timeout=WAIT,
        check=False,
    )


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
