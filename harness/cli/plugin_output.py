"""The standard output holds a command's answer: whatever plugins write while they run goes to stderr."""

from __future__ import annotations

import argparse
import atexit
import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress

from harness.discovery.waiting import naming_slow_plugins


@contextmanager
def redirect_prints(given: argparse.Namespace) -> Iterator[None]:
    """Send all that is written to stdout inside the block to stderr, and name plugins that keep one waiting.

    That includes what C libraries and child processes write to the file descriptor.
    """
    with (
        _redirect_descriptor(),
        redirect_stdout(sys.stderr),
        naming_slow_plugins(not vars(given).get("quiet")),
    ):
        yield


@contextmanager
def _redirect_descriptor() -> Iterator[None]:
    """Let descriptor 1 be descriptor 2 inside the block, and again when the process ends."""
    _flush()
    try:
        kept = os.dup(1)
    except OSError:  # a process without a stdout, such as a service
        yield
        return
    with suppress(OSError):  # no stderr: what plugins write stays where it was
        os.dup2(2, 1)
    try:
        yield
    finally:
        _flush()  # what is in a buffer was written by a plugin
        os.dup2(kept, 1)
        os.close(kept)
        # plugins that were imported inside the block may have registered functions that print: this one,
        # registered after theirs, is called before them
        atexit.unregister(_end_output)
        atexit.register(_end_output)


def _end_output() -> None:
    _flush()
    with suppress(OSError):
        os.dup2(2, 1)
    sys.stdout = sys.stderr


def _flush() -> None:
    """Write out the buffers of Python's and of C's standard output."""
    for stream in {sys.stdout, sys.__stdout__}:
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()  # type: ignore[union-attr]
    with suppress(OSError, AttributeError, TypeError):  # TypeError on Windows
        ctypes.CDLL(None).fflush(None)
