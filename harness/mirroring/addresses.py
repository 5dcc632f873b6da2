"""Addresses of buckets, as users give them: `s3://bucket/folder`, `gs://…`, `az://…`, `file:///folder`.

`memory://name` is for tests; shards of data are read at `https://…`, too. Keys come from the environment: an address
that could hold one is refused, since addresses are shown.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from urllib.parse import SplitResult, urlsplit

from harness.errors import OptionError, did_you_mean

WRITABLE = ("s3", "gs", "az", "file", "memory")
READABLE = ("https", "http", "s3", "gs", "az", "memory")

VARIABLE = "HARNESS_REMOTE"
"""The environment variable with the address of the bucket."""

KEYS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
"""The environment variables with the keys, by scheme."""


def find_remote(given: str | None, where: str = "--remote") -> str | None:
    """Return the checked address of the bucket: `given`, else $HARNESS_REMOTE; None if neither is set.

    Raises OptionError for an address that is none, or holds a login.
    """
    if given is not None:
        return check_address(given, where)
    named = os.environ.get(VARIABLE, "").strip()
    return check_address(named, f"{VARIABLE}:") if named else None


def check_address(url: str, where: str, schemes: Sequence[str] = WRITABLE) -> str:
    """Return an address without its last slash.

    Raises OptionError, starting with `where`, for one that holds a login or a query (which may hold a key), that
    has no bucket, or whose kind is not in `schemes`.
    """
    parts = urlsplit(url)
    split_login = _has_strange_port(parts)
    shown = f"{parts.scheme}://{'…' if split_login else parts.netloc.rpartition('@')[2] + parts.path}"
    examples = ", ".join(
        f"{scheme}:///folder" if scheme == "file" else f"{scheme}://…/folder" for scheme in schemes[:4]
    )
    if parts.scheme not in schemes or "://" not in url:
        hint = did_you_mean(parts.scheme, schemes) if parts.scheme and "://" in url else ""
        raise OptionError(f"{where} {shown if '://' in url else url}: expected {examples}{hint}")
    if "@" in parts.netloc or split_login:
        keys = KEYS.get(parts.scheme, "")
        cure = f": set {keys} in the environment" if keys else ""
        raise OptionError(f"{where} {shown}: holds a login, which records and logs would show{cure}")
    if parts.query or parts.fragment:
        raise OptionError(
            f"{where} {shown}: what follows '?' or '#' may hold a key, which records and logs would show: give the "
            "address without it, and keys in the environment"
        )
    if not parts.netloc and parts.scheme not in ("file", "memory"):
        raise OptionError(f"{where} {shown}: names no bucket; expected {examples}")
    if parts.scheme == "file" and (parts.netloc or len(parts.path) < 2):
        raise OptionError(f"{where} {shown}: expected file:/// and the whole path of a folder")
    return url.rstrip("/")


def _has_strange_port(parts: SplitResult) -> bool:
    """Return whether there is a colon without a port, as in a login whose secret has a slash, which Amazon's may."""
    if ":" not in parts.netloc or "@" in parts.netloc:
        return False
    try:
        return parts.scheme not in ("http", "https") or (parts.port is None and "[" not in parts.netloc)
    except ValueError:
        return True
