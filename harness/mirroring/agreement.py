"""What a store and its bucket last agreed on, so that neither side's unchanged records are read again.

<store>/mirrors/<digest of the address>.json: for each object its tag there, and time and size of the file here. It
only saves requests: without it everything that is on both sides is compared again.
"""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import orjson

from harness.records.files import write_bytes
from harness.records.store import warn_once

FOLDER = "mirrors"


class Agreement:
    """Tags and stamps by object name. Threads may share it."""

    def __init__(self, store: Path, url: str) -> None:
        self._store = store
        self._path = store / FOLDER / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}.json"
        self._lock = threading.Lock()
        self._known: dict[str, list[str]] = {}
        try:
            found = orjson.loads(self._path.read_bytes())["objects"]
            self._known = {str(name): [str(tag), str(stamp)] for name, (tag, stamp) in found.items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            pass  # absent or damaged: everything is compared again

    def tag(self, name: str) -> str | None:
        """Return the tag of the object that was last the same as the file here, or contained in it."""
        known = self._known.get(name)
        return known[0] if known else None

    def holds(self, name: str, tag: str) -> bool:
        """Return whether neither the object nor the file has changed since they agreed."""
        return self._known.get(name) == [tag, self._stamp(name) or None]

    def recognises(self, name: str, tag: str) -> bool:
        """Return whether object and file agree, as far as can be told without reading the object, and note it.

        Of small objects S3's tag is the MD5 digest of the content; a tag of another kind says nothing.
        """
        if self.holds(name, tag):
            return True
        try:
            digest = hashlib.md5(self._store.joinpath(name).read_bytes(), usedforsecurity=False).hexdigest()
        except OSError:
            return False
        if digest == tag:
            self.note(name, tag)
        return digest == tag

    def note(self, name: str, tag: str, whole: bool = True) -> None:
        """Remember that the object of that tag and the file, as it is now, agree, or that the file has more."""
        stamp = self._stamp(name) if whole else ""
        with self._lock:
            self._known[name] = [tag, stamp]

    def keep(self) -> None:
        """Write what is known; a disk that refuses costs requests, and nothing else."""
        with self._lock:
            content = orjson.dumps({"objects": self._known})
        try:
            write_bytes(self._path, content)
        except OSError as error:
            warn_once(
                f"{self._path}: can't be written: {error.strerror or error}; the next run compares again"
            )

    def _stamp(self, name: str) -> str:
        try:
            found = self._store.joinpath(name).stat()
        except OSError:
            return ""
        return f"{found.st_mtime_ns} {found.st_size}"
