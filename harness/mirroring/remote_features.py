"""Files of the feature cache in a bucket: whoever has computed one puts it there, and no other machine computes it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.errors import BucketError
from harness.mirroring.breaker import Breaker
from harness.mirroring.bucket import open_bucket
from harness.records.files import cache_lock
from harness.records.store import warn_once

FOLDER = "features"
SUFFIXES = (".npy", ".npz")


class RemoteFeatures:
    """The files of a cache, by their path without suffix. A bucket that fails counts as empty, with a warning."""

    def __init__(self, url: str) -> None:
        self._bucket = open_bucket(url)
        self._breaker = Breaker(failures=1)
        # pending puts are finished at the interpreter's end, and are lost by a kill: then others compute again
        self._pool = ThreadPoolExecutor(1, "harness-features")

    def fetch(self, path: Path) -> bool:
        """Download what the bucket has of that path, and return whether it is here now."""
        if self._breaker.is_open:
            return False
        try:
            with cache_lock(path):
                return any(
                    path.with_suffix(suffix).is_file()
                    or self._bucket.download(_name(path, suffix), path.with_suffix(suffix)) is not None
                    for suffix in SUFFIXES
                )
        except BucketError as error:
            self._fail(error)
        except OSError as error:
            warn_once(f"cache {path.parent}: can't be written ({error.strerror or error})")
        return False

    def put(self, path: Path) -> None:
        """Upload, in the background, what was computed for that path."""
        self._pool.submit(self._put, path)

    def flush(self) -> None:
        """Wait until all is uploaded."""
        self._pool.submit(int).result()

    def _put(self, path: Path) -> None:
        if self._breaker.is_open:
            return
        try:
            for suffix in SUFFIXES:
                if path.with_suffix(suffix).is_file():
                    self._bucket.put(_name(path, suffix), path.with_suffix(suffix))
        except BucketError as error:
            self._fail(error)
        except OSError as error:  # cleared meanwhile
            warn_once(f"{path}: is not shared: {error.strerror or error}")

    def _fail(self, error: BucketError) -> None:
        self._breaker.fail()
        warn_once(f"{error}; what is computed is not shared there for now")


def _name(path: Path, suffix: str) -> str:
    return f"{FOLDER}/{path.parent.name}/{path.name}{suffix}"
