"""What objects of libraries hold, where their attributes or their text don't say it, or say more."""

from __future__ import annotations

import hashlib
import logging
import sys
import threading
from typing import Any

WITHOUT_RESULT = (
    type(threading.Lock()), type(threading.RLock()), threading.Condition, threading.Event, threading.Semaphore,
    threading.Barrier, threading.local,
)  # fmt: skip
"""What only keeps threads apart: its state changes all the time and decides no result."""


def held_by(value: Any) -> tuple[Any, ...] | None:
    """What an object of a library holds, as texts and plain values; None for what is not known here.

    Only libraries that are in use are asked.
    """
    if isinstance(value, WITHOUT_RESULT):
        return ()
    if isinstance(value, logging.Logger):  # it remembers which levels are on, and who listens
        return (value.name,)
    if (image := sys.modules.get("PIL.Image")) is not None and isinstance(value, image.Image):
        return value.mode, value.size, hashlib.sha256(value.tobytes()).hexdigest()
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(value, (pandas.DataFrame, pandas.Series)):
        rows = pandas.util.hash_pandas_object(value).to_numpy()
        named = dict(value.dtypes) if isinstance(value, pandas.DataFrame) else (value.name, value.dtype)
        return repr(named), hashlib.sha256(rows.tobytes()).hexdigest()
    return None
