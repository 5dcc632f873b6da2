"""What plugins are being asked, and a line on stderr that names one for which the user has been waiting."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

PATIENCE = 5.0
"""Seconds until the first line; the next one comes after three times as long, and so on."""


@dataclass(eq=False)
class _Task:
    what: str
    began: float = field(default_factory=time.monotonic)
    due: float = field(default_factory=lambda: PATIENCE)


_tasks: list[_Task] = []
"""What is under way, the innermost last: only the thread that asks plugins changes the list."""


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Say what is asked of a plugin inside the block, such as "importing acme (model 'x' of acme 1.0)".

    An empty text stands for work that shows its own progress.
    """
    task = _Task(what)
    _tasks.append(task)
    try:
        yield
    finally:
        if task in _tasks:
            _tasks.remove(task)
        if _tasks:  # the outer task is named for its own time
            _tasks[-1].began = time.monotonic()


@contextmanager
def naming_slow_plugins(shown: bool = True) -> Iterator[None]:
    """Name a plugin that takes longer than some seconds inside the block, on stderr; the thread ends with it."""
    if not shown:
        yield
        return
    ended = threading.Event()
    thread = threading.Thread(target=_watch, args=(ended,), name="harness-waiting", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _watch(ended: threading.Event) -> None:
    while not ended.wait(min(0.5, PATIENCE / 4)):
        under_way = _tasks.copy()
        for task in under_way[-1:]:
            waited = time.monotonic() - task.began
            if task.what and waited >= task.due:
                task.due *= 3
                whole = task.what if len(under_way) == 1 else f"{under_way[0].what} ({task.what})"
                print(f"harness: still {whole}, {waited:.0f} s", file=sys.stderr, flush=True)
