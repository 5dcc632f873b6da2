"""Calls in another process: a fresh interpreter with another hash seed, as a worker or a later run has."""

from __future__ import annotations

import atexit
import json
import os
import pickle
import subprocess
import sys
from functools import lru_cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from harness.testing.verdicts import NotChecked

CHILD = "from harness.testing.other_process import serve; serve()"
IMPORTS = "import importlib, json, sys; importlib.import_module(sys.argv[1]); print(json.dumps(sorted(sys.modules)))"
WAIT = 300
"""Seconds that an import may take on a busy machine."""


@lru_cache(maxsize=256)
def modules_imported_by(module: str) -> frozenset[str]:
    """Return the modules that a fresh interpreter holds once it has imported this one.

    Raises NotChecked for a module that other processes can't import, such as a test's own.
    """
    _require_importable(module)
    command = [sys.executable, "-c", IMPORTS, module]
    done = subprocess.run(command, capture_output=True, env=_make_environment(), timeout=WAIT, check=False)
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or ["it ended without a message"]
        raise NotChecked(f"another process can't import {module}: {lines[-1]}")
    return frozenset(json.loads(done.stdout.splitlines()[-1]))


def call_in_other_process(function: Any, *arguments: Any) -> Any:
    """Return the result of a module-level function of this package for these arguments in another process.

    Arguments travel pickled, the result as JSON. Raises NotChecked if an argument's class lives in
    a module that the other process can't import, RuntimeError with the error's text if the function
    raises there, and what pickle raises. The process stays for the next call, so that it pays for
    its imports once.
    """
    for argument in arguments:
        _require_importable(type(argument).__module__)
    request = pickle.dumps((dict(os.environ), function.__module__, function.__name__, arguments))
    found = _start_process().call(
        pickle.dumps((list(sys.path), request))
    )  # the request needs the path to be read
    if "error" in found:
        raise RuntimeError(f"in another process: {found['error']}")
    return found["answer"]


class OtherProcess:
    """A process that answers one request after another until this one ends."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_make_environment(),
        )
        atexit.register(self.process.kill)

    def call(self, request: bytes) -> Any:
        """Return the reply to a request; an error if the process dies of it."""
        requests, replies = self.process.stdin, self.process.stdout
        assert requests is not None
        assert replies is not None
        try:
            requests.write(request)
            requests.flush()
            line = replies.readline()
        except OSError:
            line = b""
        if not line:
            _start_process.cache_clear()
            return {"error": f"the process died, with status {self.process.wait()}"}
        return json.loads(line)


@lru_cache(maxsize=1)
def _start_process() -> OtherProcess:
    return OtherProcess()


def serve() -> None:
    """Read a request, call its function, print the result as JSON, and repeat, in the other process."""
    replies, sys.stdout = sys.stdout, sys.stderr  # what a plugin prints is no reply
    given: Any = sys.stdin.buffer
    while given.peek(1):
        # only the parent, which started this process, writes into the pipe
        sys.path[:], request = pickle.load(given)
        try:
            environment, module, name, arguments = pickle.loads(request)
            os.environ.update(environment)
            reply = {"answer": getattr(import_module(module), name)(*arguments)}
        except Exception as error:  # whatever the plugin raises
            reply = {"error": f"{type(error).__name__}: {' '.join(str(error).split())}"}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


def _make_environment() -> dict[str, str]:
    """Return an environment with the same places to import from, and another order of sets."""
    kept = {k: v for k, v in os.environ.items() if k != "PYTHONHASHSEED"}
    return kept | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "PYTHONHASHSEED": "20011"}


def _require_importable(module: str) -> None:
    try:
        found = find_spec(module)
    except (ImportError, ValueError, AttributeError):
        found = None
    if found is None or module == "__main__":
        raise NotChecked(f"'{module}' can't be imported by another process: put the plugin into a package")
