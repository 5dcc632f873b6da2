"""Why an actor is gone, in one line, from what Ray says at length."""

from __future__ import annotations

import re

CAUSES = (
    (r"node running low on memory|OutOfMemory", "was killed by Ray, because its node ran out of memory"),
    (r"killed by `ray\.kill`", "was killed"),
    (r"node (has )?died|node was terminated|NodeDied", "was lost with its node"),
    (r"worker process has died|Worker unexpectedly exits", "was killed or crashed, as when memory runs out"),
    (r"ActorUnavailable|is unavailable|RpcError", "can't be reached any more"),
    (
        r"No module named '?harness",
        "can't start: vision-harness[ray] is not installed for Ray's workers there",
    ),
)
"""Patterns in what Ray says, and what that means."""


def explain_error(error: Exception) -> str:
    """Return what an error of Ray says about an actor, to stand behind its name.

    >>> explain_error(RuntimeError("The actor died because its node has died. Node Id: 68"))
    'was lost with its node'
    """
    text = f"{type(error).__name__}: {error}"
    for pattern, meaning in CAUSES:
        if re.search(pattern, text):
            return meaning
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f"ended: {lines[-1][:300]}"
