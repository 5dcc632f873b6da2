"""Cells of plain tables: numbers to their last digit, and settings, which may be numbers."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, NamedTuple

from harness_importers.numbers import parse_number

NO_NUMBER = re.compile(r"[+-]?0[0-9].*|[+-]?[0-9]+[eE]\+?[0-9]+|[+-]?[0-9]{16,}")
"""Settings that look like numbers and are ids: 007, a hash 12e4, digits that no float can hold."""


class NumberText(str):
    """A number that a file holds as such, as text with a decimal point, whatever marks its texts use."""


class Marks(NamedTuple):
    """The marks that texts use: of decimals, and between thousands (or none)."""

    decimal: str = "."
    thousands: str = ""


def read_number(text: str, marks: Marks) -> Decimal | None:
    """Return the number in a cell, without its `%`; None for an empty one. Raises ValueError for what is none."""
    plain = text.removesuffix("%")
    if isinstance(text, NumberText):
        return parse_number(plain)
    try:
        return parse_number(plain, *marks)
    except ValueError as error:
        if marks.decimal == "." and re.fullmatch(r"[+-]?[0-9.]+,[0-9]+ ?%?", text):
            raise ValueError(f"{error}; a decimal comma? say decimal=, (or thousands=,)") from None
        raise


def read_setting(text: str, marks: Marks) -> Any:
    """Return a setting as a number if it is one, else as text."""
    if not isinstance(text, NumberText) and NO_NUMBER.fullmatch(text):
        return text
    try:
        number = read_number(text, marks)
    except ValueError:
        return str(text)
    if number is None or not number.is_finite() or text.endswith("%"):
        return str(text)
    if "." in text or number != int(number):
        return float(number)
    return int(number) if abs(number) < 2**53 else str(text)
