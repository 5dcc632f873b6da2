"""Objects in a bucket, on a web server or in a folder, by name: whole, in ranges, and only if nobody else was first.

Addresses are those of `addresses.py`. A failure is one line.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from harness.errors import BucketError as BucketError
from harness.errors import Unavailable
from harness.mirroring.addresses import KEYS
from harness.records.files import replacing

RETRIES, RETRY_FOR = 3, timedelta(seconds=30)
"""How often, and for how long, a request is sent again after a fault of the network or the server."""

CONNECT_TIMEOUT, TIMEOUT = "10s", "120s"
"""Of a request, or of one part of a large object."""

ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AZURE_STORAGE_ENDPOINT")


@dataclass(frozen=True)
class Found:
    """An object's name, size in bytes, and what changes whenever it is replaced (its etag, else its time)."""

    name: str
    size: int
    tag: str


class AccessRefused(BucketError):
    """A refusal: of the keys, or, without the right to list a bucket, of what is not there."""


class Bucket:
    """The objects below an address. Threads may share it; every method raises BucketError if the bucket fails."""

    def __init__(self, url: str, store: Any) -> None:
        self.url = url
        self._store = store
        _find_home_process()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the address: another process opens the bucket again, with the keys of its environment."""
        return open_bucket, (self.url,)

    def get(self, name: str) -> tuple[bytes, str] | None:
        """Return an object's bytes and tag, or None if there is none."""
        import obstore

        with self._naming(name) as absent:
            result = obstore.get(self._store, name)
            return bytes(result.bytes()), _tag_of(result.meta)
        return absent

    def download(self, name: str, path: Path) -> str | None:
        """Write an object to a file, whole or not at all, and return its tag; None if there is none.

        Raises OSError if the disk refuses it.
        """
        import obstore

        result = None
        with self._naming(name):
            result = obstore.get(self._store, name)
        if result is None:
            return None
        size, chunks = 0, iter(result.stream())
        with replacing(path) as temporary:
            with temporary.open("wb") as file:
                while (chunk := self._next(name, chunks)) is not None:
                    size += file.write(chunk)
            if size != result.meta["size"]:
                raise BucketError(f"{self.url}/{name}: ended after {size} of {result.meta['size']} bytes")
        return _tag_of(result.meta)

    def _next(self, name: str, chunks: Iterator[Any]) -> Any:
        """Return the next part of an object, or None; a fault of the network is not one of the disk."""
        with self._naming(name):
            return next(chunks, None)
        return None

    def get_range(self, name: str, start: int, length: int) -> tuple[bytes, str] | None:
        """Return up to `length` bytes from an offset, and the object's tag; None if there is no such object."""
        import obstore

        with self._naming(name) as absent:
            result = obstore.get(self._store, name, options={"range": (start, start + length)})
            return bytes(result.bytes()), _tag_of(result.meta)
        return absent

    def head(self, name: str) -> Found | None:
        """Return an object's size and tag, or None if there is none."""
        import obstore

        with self._naming(name) as absent:
            return _found(obstore.head(self._store, name))
        return absent

    def list(self, prefix: str = "") -> Iterator[Found]:
        """Yield all objects below a prefix, in no order."""
        import obstore

        with self._naming(prefix):
            for chunk in obstore.list(self._store, prefix or None, chunk_size=1000):
                yield from map(_found, chunk)

    def put(self, name: str, content: bytes | Path) -> str:
        """Write an object, whole or not at all, and return its tag. Raises OSError for a file that can't be read."""
        import obstore

        with _opened(content) as data, self._naming(name, writing=True):
            return _strip(obstore.put(self._store, name, data)["e_tag"])
        raise BucketError(f"{self.url}: there is no such bucket or folder")

    def put_new(self, name: str, content: bytes | Path) -> str | None:
        """Write an object that is not there yet, and return its tag; None if there is one. Raises OSError as `put`."""
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        with _opened(content) as data, self._naming(name, writing=True):
            try:
                made = obstore.put(self._store, name, data, mode="create", use_multipart=False)
            except (AlreadyExistsError, PreconditionError):
                return None
            return _strip(made["e_tag"])
        raise BucketError(f"{self.url}: there is no such bucket or folder")

    def put_over(self, name: str, content: bytes, tag: str) -> str | None:
        """Replace the object that has that tag, and return the new one; None if it has another, or is gone.

        Where `replaces_in_order` is false, another may replace it between a look and the put.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError, NotFoundError, PreconditionError

        if not self.replaces_in_order:
            found = self.head(name)
            return self.put(name, content) if found is not None and found.tag == tag else None
        with self._naming(name, writing=True):
            try:
                over: Any = {"e_tag": f'"{tag}"'}
                made = obstore.put(self._store, name, content, mode=over, use_multipart=False)
            except (AlreadyExistsError, PreconditionError, NotFoundError, FileNotFoundError) as error:
                if _is_missing_bucket(str(error)):
                    raise
                return None
            return _strip(made["e_tag"])
        return None

    @property
    def replaces_in_order(self) -> bool:
        """Whether `put_over` compares and replaces in one step: folders can't, and Google's has no tags for it."""
        return not self.url.startswith(("file:", "gs:"))

    def delete(self, name: str) -> None:
        """Remove an object, if it is there."""
        import obstore

        with self._naming(name, writing=True):
            obstore.delete(self._store, name)

    @contextmanager
    def _naming(self, name: str, writing: bool = False) -> Iterator[None]:
        """Turn what obstore raises into a BucketError; leave the block if the object, but not the bucket, is absent."""
        from obstore.exceptions import BaseError, NotFoundError

        if (
            _find_home_process() != os.getpid()
        ):  # obstore's threads are not in a fork, where a call would end it
            raise BucketError(
                f"{self.url}: this process was forked from one that uses it: start processes with 'spawn' instead"
            )
        try:
            yield
        except (NotFoundError, FileNotFoundError) as error:
            if _is_missing_bucket(str(error)):
                raise BucketError(explain(self.url, error)) from None
        except (BaseError, OSError) as error:
            where = f"{self.url}: writing" if writing and self.url.startswith("file:") else self.url
            raise (AccessRefused if _is_refusal(error) else BucketError)(explain(where, error)) from None


@lru_cache(maxsize=64)
def open_bucket(url: str) -> Bucket:
    """Return the bucket of a checked address, without asking it anything yet.

    Raises Unavailable without the package obstore, BucketError for an address that it can't use.
    """
    try:
        from obstore.exceptions import BaseError
        from obstore.store import HTTPStore, LocalStore, MemoryStore, from_url
    except ImportError:
        raise Unavailable(f"{url}: needs the package obstore: pip install 'vision-harness[remote]'") from None
    scheme = urlsplit(url).scheme
    try:
        if scheme == "memory":
            return Bucket(url, MemoryStore())
        if scheme == "file":
            folder = Path(unquote(urlsplit(url).path))
            if not folder.parent.is_dir():
                raise BucketError(f"{url}: no folder {folder.parent}")
            return Bucket(url, LocalStore(folder, mkdir=True))
        plain = any(os.environ.get(name, "").startswith("http://") for name in ENDPOINTS) or scheme == "http"
        # `from_url` takes the web addresses of Amazon's and others' buckets for those of buckets, and asks for keys
        web = scheme in ("http", "https")
        store: Any = (HTTPStore.from_url if web else from_url)(
            url,
            client_options={"allow_http": plain, "connect_timeout": CONNECT_TIMEOUT, "timeout": TIMEOUT},
            retry_config={"max_retries": RETRIES, "retry_timeout": RETRY_FOR},
        )
    except (BaseError, OSError, ValueError) as error:
        raise BucketError(explain(url, error)) from None
    return Bucket(url, store)


def explain(url: str, error: Exception) -> str:
    """Return in one line what a bucket's failure means; the library's own texts are pages long."""
    text = _first_part(error)
    whole = str(error)
    keys = KEYS.get(url.partition(":")[0])
    cure = f": check {keys} in the environment" if keys else ""
    code = re.search(r"<Code>(\w+)</Code>", text)
    status = re.search(r"status code: (\d{3} [A-Za-z ]+)", text)
    if "169.254.169.254" in whole or "metadata.google" in whole or "MissingAccount" in whole:
        profiles = "; profiles of ~/.aws are not read" if url.startswith("s3:") else ""
        return f"{url}: no keys for it: set {keys} in the environment{profiles}"
    if "Range request not supported" in text or ("Range" in text and "not supported" in text):
        return f"{url}: answers no range requests, so that its files can't be read in place: download them"
    if _is_missing_bucket(text):
        return f"{url}: there is no such bucket: make it first, or check the name"
    if _is_refusal(error):
        what = code[1] if code else status[1].strip() if status else ""
        return f"{url}: access is refused{f' ({what})' if what else ''}{cure}"
    if status or code:
        return f"{url}: answers {status[1].strip() if status else code[1] if code else ''}"
    if "HTTP error" in text or "error sending request" in whole or "timed out" in whole:
        tries = re.search(r"after (\d+) retries", text)
        tried = f" after {int(tries[1]) + 1} tries" if tries else ""
        return f"{url}: can't be reached{tried}: check the network and the address"
    return f"{url}: {' '.join(text.split())[:200]}"


def _is_refusal(error: Exception) -> bool:
    kinds = ("PermissionDeniedError", "UnauthenticatedError")
    found = re.search(r"status code: 40[13]|PermissionDenied|Unauthenticated", _first_part(error))
    return found is not None or type(error).__name__ in kinds


def _first_part(error: Exception) -> str:
    return str(error).partition("\n\nDebug source")[0]


@lru_cache(maxsize=1)
def _find_home_process() -> int:
    """Return the process that opened its first bucket; a fork of it inherits the answer."""
    return os.getpid()


@contextmanager
def _opened(content: bytes | Path) -> Iterator[Any]:
    """Yield bytes, or a file opened for reading: that it can't be is no fault of the bucket."""
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        yield file


def _is_missing_bucket(text: str) -> bool:
    return any(
        code in text for code in ("NoSuchBucket", "ContainerNotFound", "The specified bucket does not")
    )


def _found(meta: Any) -> Found:
    return Found(meta["path"], meta["size"], _tag_of(meta))


def _tag_of(meta: Any) -> str:
    return _strip(meta["e_tag"]) or f"{meta['last_modified'].isoformat()} {meta['size']}"


def _strip(tag: str | None) -> str:
    """Return a tag without quotes: listings and answers of one server may differ in them."""
    return (tag or "").removeprefix("W/").strip('"')
