"""The harness's own errors, and messages that suggest what was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HarnessError(Exception):
    """A problem the user can act on. Its text is one line that says where, what and what to do."""

    def _render_traceback_(self) -> list[str]:
        """Return what a notebook shows: the user's own lines and the message, without the harness's frames.

        The whole traceback is shown if another exception caused the error, as a broken plugin's does.
        """
        import traceback

        if self.__cause__ is not None:
            return "".join(traceback.format_exception(self)).splitlines()
        frames = zip(
            traceback.extract_tb(self.__traceback__), traceback.walk_tb(self.__traceback__), strict=True
        )
        own = [
            summary
            for summary, (frame, _) in frames
            if str(frame.f_globals.get("__name__")).partition(".")[0] not in ("harness", "IPython")
        ]
        where = "".join(traceback.format_list(own)).splitlines()
        return [*where, f"{type(self).__name__}: {self}"]


class SuiteError(HarnessError):
    """An invalid suite file, or an invalid command-line value or argument in its place."""


class OptionError(HarnessError):
    """An option that does not fit its plugin."""


class PluginNotFound(HarnessError):
    """A plugin name that nothing installed has, or that several distributions claim."""


class PluginBroken(HarnessError):
    """An installed plugin that can't be imported, or is not what its group expects."""


class DataError(HarnessError):
    """A sample or a data set on disk that is not what it should be; the text names the file."""


class StoreError(HarnessError):
    """A store of records that can't be read or written, or that holds contradicting records."""


class NewerRecord(StoreError):
    """A valid record written by a newer harness, which must not be overwritten."""


class StoreUnwritable(StoreError):
    """A store on a full or read-only disk, where no further cell could be kept."""


class BucketError(HarnessError):
    """A bucket or web server that is missing, refuses access or can't be reached; the text names it."""


class Detached(HarnessError):
    """The end of a command whose cells go on without it; the text says how to attach to them and how to end them.

    `interrupted` tells whether the user stopped the command, rather than asked it not to wait.
    """

    def __init__(self, text: str, interrupted: bool = False) -> None:
        super().__init__(text)
        self.interrupted = interrupted


class Unavailable(HarnessError):
    """Something optional that is missing here (a data set, weights, a package); the text says how to get it."""


class Diverged(HarnessError):
    """A training that left the finite numbers; the record gets the status `diverged`."""


def reason_of(error: BaseException) -> str:
    """Return an error in one line: the text of the harness's own errors, type and text of any other.

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
    """Return whether an exception is a request to stop, which nothing may swallow.

    Anything else may come from a plugin, including other kinds of BaseException: sys.exit, panics of Rust
    libraries, pytest's outcomes.
    """
    return isinstance(error, KeyboardInterrupt | GeneratorExit)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name closest to `name`, or None if nothing is near."""
    known = list(known)
    lowered = {k.lower(): k for k in known}
    if name.lower() in lowered:
        return lowered[name.lower()]
    close = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.5)
    return lowered[close[0]] if close else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the tail of a message: the nearest known name, or the first known names.

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
    """Return the message for a suite without records in a store.

    >>> no_records("results/store", "gan", [])
    "results/store: no records of suite 'gan': run it first, with `harness run gan`"
    """
    known = list(known)
    hint = did_you_mean(suite, known) if known else f": run it first, with `harness run {suite}`"
    return f"{place}: no records of suite '{suite}'{hint}"
