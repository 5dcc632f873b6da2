"""Addresses of shards, as users give them in place of a folder: `https://host/shard-{000000..000009}.tar`, `s3://…`."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

from harness import OptionError

ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.*)", re.DOTALL)
PIPE = re.compile(r"pipe:", re.IGNORECASE)
BRACES = re.compile(r"\{([^{}]*)\}")
RANGE = re.compile(r"(\d+)\.\.(\d+)")

MOST = 100_000
"""The most shards that braces may stand for; more is a mistake."""


def find_address(path: Path, where: str) -> str | None:
    """Return the address that an option of a path holds, or None for a path; a path keeps one of two slashes.

    Raises OptionError, starting with `where`, for an address that could hold a key, or that runs a command.
    """
    from harness.mirroring.addresses import READABLE, check_address

    text = str(path).replace("\\", "/")
    if PIPE.match(text):
        raise OptionError(
            f"{where}: 'pipe:' runs a command of the shell, which no data set may: give the address of the shards"
        )
    found = ADDRESS.fullmatch(text)
    if found is None:
        return None
    return check_address(f"{found[1]}://{found[2]}", where, READABLE)


def expand_address(address: str) -> list[str]:
    """Return the addresses that braces stand for, in order: numbers from a to b, of the width written, or a list.

    Raises OptionError for braces that are neither, or stand for too many.

    >>> expand_address("s3://b/{08..10}.tar")
    ['s3://b/08.tar', 's3://b/09.tar', 's3://b/10.tar']
    >>> expand_address("s3://b/{train,val}-{0..1}.tar")[2:]
    ['s3://b/val-0.tar', 's3://b/val-1.tar']
    """
    parts = BRACES.split(address)
    choices = [[part] if n % 2 == 0 else _expand_braces(part, address) for n, part in enumerate(parts)]
    count = 1
    for choice in choices:
        count *= len(choice)
    if count > MOST or any(brace in part for part in parts[::2] for brace in "{}"):
        said = f"stands for {count:,} shards" if count > MOST else "has a brace without its partner"
        raise OptionError(f"{address}: {said}; expected braces as in shard-{{000000..000009}}.tar")
    return ["".join(chosen) for chosen in itertools.product(*choices)]


def _expand_braces(inner: str, address: str) -> list[str]:
    if found := RANGE.fullmatch(inner):
        first, last = int(found[1]), int(found[2])
        if last < first or last - first >= MOST:
            raise OptionError(
                f"{address}: {{{inner}}} stands for no shards, or too many; expected {{000000..000009}}"
            )
        width = len(found[1]) if found[1].startswith("0") or len(found[1]) == len(found[2]) else 0
        return [f"{number:0{width}}" for number in range(first, last + 1)]
    if "," in inner and ".." not in inner:
        return inner.split(",")
    raise OptionError(
        f"{address}: {{{inner}}} is neither numbers, as {{000000..000009}}, nor a list, as {{a,b}}"
    )
