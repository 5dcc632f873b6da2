"""Numbers as annotation files write them."""

from __future__ import annotations

import math
import re

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def parse_number(text: str) -> float:
    """Return a decimal number's value; NaN for any other text, also for `1_0` and `inf`, which Python would take.

    >>> parse_number(" 4.5e1 ")
    45.0
    """
    text = text.strip()
    return float(text) if _NUMBER.fullmatch(text) else math.nan
