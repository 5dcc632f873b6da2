"""Redaction of secrets in what is written: options that look like one are recorded as `***`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "***"
NAME = re.compile(
    r"^(token|key|auth|sig|.*signature|.*(api|access|auth|hf|bearer|private|secret)[_-]?(key|token)|.*(secret|passw(or)?d|passphrase|credentials?))$",
    re.IGNORECASE,
)
"""Names of options that hold secrets; `class_token` and `token_position` do not."""


LOGIN = re.compile(r"(://|\b(?:https?|s3|gs|az):/)[^/@\s]+@")
"""The login before the host of an address; one slash is what a path leaves of two."""

SETTING = re.compile(r"(?<=[?&])([^=&?\s]+)=([^&\s]+)")
"""An option of a reference in short form, `name:value?option=1`, or of an address."""


def redact(value: Any) -> Any:
    """Replace every non-empty text under a secret-looking name, at any depth.

    >>> redact({"name": "x", "llm": {"api_key": "abc"}, "short": "llm:y?api_key=abc"})
    {'name': 'x', 'llm': {'api_key': '***'}, 'short': 'llm:y?api_key=***'}
    """
    if isinstance(value, str):
        return SETTING.sub(_redact_setting, LOGIN.sub(rf"\1{HIDDEN}@", value))
    if isinstance(value, Mapping):
        return {
            k: HIDDEN if isinstance(v, str) and v and NAME.match(str(k)) else redact(v)
            for k, v in value.items()
        }
    if isinstance(value, list | tuple):
        return [redact(v) for v in value]
    return value


def _redact_setting(found: re.Match[str]) -> str:
    return f"{found[1]}={HIDDEN}" if NAME.match(found[1]) else found[0]
