"""Keeping secrets out of what is written: options that look like one are recorded as `***`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "***"
NAME = re.compile(
    r"^(token|key|auth|.*(api|access|auth|hf|bearer|private|secret)[_-]?(key|token)|.*(secret|passw(or)?d|passphrase|credentials?))$",
    re.IGNORECASE,
)
"""Names of options that hold secrets; `class_token` and `token_position` are none."""


def redacted(value: Any) -> Any:
    """The value with every non-empty text under a secret-looking name replaced, at any depth.

    >>> redacted({"name": "x", "llm": {"api_key": "abc"}})
    {'name': 'x', 'llm': {'api_key': '***'}}
    """
    if isinstance(value, Mapping):
        return {
            k: HIDDEN if isinstance(v, str) and v and NAME.match(str(k)) else redacted(v)
            for k, v in value.items()
        }
    if isinstance(value, list | tuple):
        return [redacted(v) for v in value]
    return value
