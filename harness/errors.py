"""The harness's own errors, and how they name what was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HarnessError(Exception):
    """A problem the user can act on. Its text is one line that says where, what and what to do."""


class SuiteError(HarnessError):
    """A suite file, or something given on the command line in its place, is not valid."""


class OptionError(HarnessError):
    """An option does not fit the plugin it is meant for."""


class PluginNotFound(HarnessError):
    """No installed plugin has that name, or several distributions claim it."""


class PluginBroken(HarnessError):
    """A plugin is installed, but it can't be imported or is not what its group expects."""


class DataError(HarnessError):
    """A sample or a data set on disk is not what it should be; the text names the file."""


class StoreError(HarnessError):
    """A store of records can't be read or written, or holds contradicting records."""


class NewerRecord(StoreError):
    """A record was written by a newer harness: it is sound, and must not be overwritten."""


class StoreUnwritable(StoreError):
    """Nothing can be written to a store: its disk is full or read-only. No further cell could be kept."""


class Unavailable(HarnessError):
    """Something optional is missing here (a data set, weights, a package); says how to get it."""


class Diverged(HarnessError):
    """A training left the finite numbers; the record keeps the status `diverged`."""


def reason_of(error: BaseException) -> str:
    """Return an error in one line: its text where it is the harness's own, with its type otherwise.

    >>> reason_of(ValueError("not a\\nnumber"))
    'ValueError: not a number'
    >>> reason_of(AssertionError())
    'AssertionError'
    """
    text = " ".join(str(error).split())
    if isinstance(error, HarnessError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def interrupts(error: BaseException) -> bool:
    """Return whether an exception is a wish to stop, which nothing may hold up.

    Everything else may come out of a plugin, other kinds of BaseException too: sys.exit, panics of
    libraries in Rust, pytest's outcomes.
    """
    return isinstance(error, KeyboardInterrupt | GeneratorExit)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to `name`, or None when nothing is near."""
    known = list(known)
    lowered = {k.lower(): k for k in known}
    if name.lower() in lowered:
        return lowered[name.lower()]
    close = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.5)
    return lowered[close[0]] if close else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A tail for a message: the nearest known name, or the list when it is short.

    >>> did_you_mean("top-1", ["top1", "ece"])
    "; did you mean 'top1'?"
    """
    known = sorted({name for name in known if name})
    near = nearest(name, known)
    if near is not None:
        return f"; did you mean '{near}'?"
    if not known:
        return "; there are none"
    shown = ", ".join(known[:12]) + (", …" if len(known) > 12 else "")
    return f"; known: {shown}"


def no_records(place: object, suite: str, known: Iterable[str]) -> str:
    """The message for a suite of which a store has no records.

    >>> no_records("results/store", "gan", [])
    "results/store: no records of suite 'gan': run it first, with `harness run gan`"
    """
    known = list(known)
    hint = did_you_mean(suite, known) if known else f": run it first, with `harness run {suite}`"
    return f"{place}: no records of suite '{suite}'{hint}"
