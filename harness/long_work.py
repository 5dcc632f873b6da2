"""Work that is done once and may take long in silence: training an embedded model, a download, a wait.

Whoever runs cells listens, so that a display can say what is going on, and a record what it took.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)

Tell = Callable[[str], None]
"""Gets what begins, and an empty text when it is over."""

_tell: Tell | None = None
_depth = 0
_seconds = 0.0


@contextmanager
def long_work(what: str) -> Iterator[None]:
    """Say what is going on while the block lasts, as in "training tiny-clip, once; its weights are kept".

    Its time counts as one-time work of the cell that needed it. Of nested blocks, the innermost is told.
    """
    global _depth, _seconds
    began = time.perf_counter()
    _depth += 1
    log.info(what)
    if _tell is not None:
        _tell(what)
    try:
        yield
    finally:
        _depth -= 1
        if _depth == 0:
            _seconds += time.perf_counter() - began
        if _tell is not None:
            _tell("")


@contextmanager
def hearing_long_work(tell: Tell) -> Iterator[None]:
    """Call `tell` for all long work inside the block."""
    global _tell
    before, _tell = _tell, tell
    try:
        yield
    finally:
        _tell = before


def take_seconds() -> float:
    """Return the seconds of long work since the last call."""
    global _seconds
    taken, _seconds = _seconds, 0.0
    return taken
