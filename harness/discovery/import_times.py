"""How long the packages of plugins take to import, each distribution's in a fresh process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass

from harness.discovery.registry import THIS_PROCESS, Plugin

TIMER = """
import importlib, json, os, sys, time
began = time.perf_counter()
import numpy, harness.running.hooks, harness.discovery.functions
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
answers.write(json.dumps(["", time.perf_counter() - began]) + "\\n")
for module in sys.argv[1:]:
    began = time.perf_counter()
    try:
        importlib.import_module(module)
    except BaseException:
        continue
    answers.write(json.dumps([module, time.perf_counter() - began]) + "\\n")
    answers.flush()
os._exit(0)
"""
"""Imports first what any plugin may count on, so that it is nobody's time."""

SLOW, SLOW_RATIO = 1.0, 3.0
"""Seconds, and times the common modules, from which on a package is slow: a busy machine slows both."""

LONGEST = 60.0
"""Seconds after which a distribution's modules are not waited for any more."""


@dataclass(frozen=True)
class ImportTime:
    """The seconds that the plugin modules of a package take; `hangs` if they did not end.

    `common` is what the harness's own modules took in the same process: how fast the machine is just now.
    """

    package: str
    distribution: str
    version: str
    seconds: float
    common: float
    hangs: bool = False

    @property
    def is_slow(self) -> bool:
        """Whether planning waits for it longer than for all else."""
        return self.hangs or self.seconds >= max(SLOW, SLOW_RATIO * self.common)


def measure_import_times(plugins: Iterable[Plugin]) -> list[ImportTime]:
    """Import the modules of plugins in other processes, and return the times of their packages, longest first.

    Modules that can't be imported are left out.
    """
    modules: dict[tuple[str, str], set[str]] = {}
    for plugin in plugins:
        if plugin.distribution != THIS_PROCESS:
            modules.setdefault((plugin.distribution, plugin.version), set()).add(
                plugin.target.partition(":")[0]
            )
    found = []
    for (distribution, version), names in modules.items():
        seconds, hanging = _time_modules(sorted(names))
        common = seconds.pop("", 0.0)
        packages: dict[str, float] = {}
        for module, taken in seconds.items():
            package = module.partition(".")[0]
            packages[package] = packages.get(package, 0.0) + taken
        hung = {hanging.partition(".")[0]} if hanging else set()
        found += [
            ImportTime(package, distribution, version, taken, common, package in hung)
            for package, taken in packages.items()
        ]
    return sorted(found, key=lambda time: -time.seconds)


def _time_modules(modules: list[str]) -> tuple[dict[str, float], str | None]:
    """Return the seconds of each module, and the one that did not end in time, which has the time waited."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", TIMER, *modules]
    hanging = None
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
            env=environment,
            timeout=LONGEST,
            check=False,
        )
        lines = done.stdout
    except subprocess.TimeoutExpired as error:
        lines, hanging = error.stdout or b"", ""
    seconds = dict(json.loads(line) for line in lines.splitlines())
    if hanging is not None:
        # a module before it that failed has no time either: the one that hangs comes after the last that has one
        last = max((modules.index(module) for module in seconds if module), default=-1)
        hanging = modules[last + 1]
        seconds[hanging] = LONGEST
    return seconds, hanging
