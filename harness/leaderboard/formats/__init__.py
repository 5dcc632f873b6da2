"""Write a table in a format, found by name."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from harness.errors import HarnessError, did_you_mean
from harness.leaderboard.layout import Layout

FORMATS = {
    "terminal": "harness.leaderboard.formats.text:terminal",
    "markdown": "harness.leaderboard.formats.text:markdown",
    "csv": "harness.leaderboard.formats.data:csv",
    "json": "harness.leaderboard.formats.data:json",
    "latex": "harness.leaderboard.formats.latex:latex",
    "html": "harness.leaderboard.formats.html:html",
}


def find_writer(format: str) -> Callable[[Layout], str]:
    """Return the function that writes tables in that format. Raises HarnessError for an unknown one."""
    if format not in FORMATS:
        raise HarnessError(f"--format {format}: unknown{did_you_mean(format, FORMATS)}")
    module, _, name = FORMATS[format].partition(":")
    found: Callable[[Layout], str] = getattr(import_module(module), name)
    return found


def render(table: Layout, format: str) -> str:
    """Return the table in that format. Raises HarnessError for an unknown one."""
    return find_writer(format)(table)
