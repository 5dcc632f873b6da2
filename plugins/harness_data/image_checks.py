"""Checks once which images of a collection can't be decoded and which are grey, and caches the verdicts."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from harness import DataError, OptionError, content_digests
from harness.discovery.content import trusts_mtime

if TYPE_CHECKING:
    from harness_data.remote_shards import RemoteShard

log = logging.getLogger(__name__)

Verdict = Literal["colour", "greyscale", "unreadable"]
CachedVerdict = Verdict | Literal["unread"]
"""A verdict in the cache; `unread` means that a file could not be opened, which may change."""

VERSION = "image-checks-3"
"""Version of the check; raise it with any change of verdicts."""

GREY_MODES = frozenset(("1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"))


class ByteSource(Protocol):
    """The place of a sample's bytes: a file, or a member of a tar file.

    `stamp` identifies the part of the `file`.
    """

    @property
    def place(self) -> str: ...

    @property
    def file(self) -> Path | RemoteShard: ...

    @property
    def stamp(self) -> str: ...

    def read(self) -> bytes: ...


def check_image(source: ByteSource) -> CachedVerdict:
    """Return whether an image decodes completely, and whether its mode is grey.

    Decode JPEG files at an eighth of their size, which reads all of their data in a third of the time.
    Return `unread` if its bytes can't be read: no permission, or no such file.
    """
    from PIL import Image

    from harness.inference.images import decode

    try:
        data = source.read()
    except DataError:
        return "unread"
    try:
        with Image.open(io.BytesIO(data)) as image:
            mode = image.mode
            image.draft(None, (max(1, image.width // 8), max(1, image.height // 8)))
            decode(image, source.place)
    except (OptionError, MemoryError):
        raise
    except Exception:  # decoders of rare formats raise all sorts of errors
        return "unreadable"
    return "greyscale" if mode in GREY_MODES else "colour"


def check_images(sources: Sequence[ByteSource]) -> list[Verdict]:
    """Run `check_image` on each source in several threads, or take verdicts from the cache if no file changed.

    A file that could not be opened is `unreadable`, but checked again the next time.
    """
    kept = _cache_path(sources)
    known = _read_cache(kept)
    found: dict[str, CachedVerdict] = {} if known is None else known
    again = [i for i in range(len(sources)) if known is None or known.get(str(i)) == "unread"]
    if again:
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
            verdicts = list(threads.map(check_image, (sources[i] for i in again)))
        found = found | dict(zip(map(str, again), verdicts, strict=True))
        if found != known:
            _write_cache(kept, {i: v for i, v in found.items() if v != "colour"})
    judged = (found.get(str(i), "colour") for i in range(len(sources)))
    return ["unreadable" if v == "unread" else v for v in judged]


def _cache_path(sources: Sequence[ByteSource]) -> Path:
    from harness.records.paths import cache_dir

    digest = hashlib.sha256(VERSION.encode())
    files = [source.file for source in sources]
    local = iter(content_digests(file for file in files if isinstance(file, Path)))
    held = [next(local) if isinstance(file, Path) else file.identity for file in files]
    for source, content in zip(sources, held, strict=True):
        place = source.place if trusts_mtime() else ""  # many files may share their size and time
        identity = f"{place}|{content}|{source.stamp}"
        digest.update(identity.encode(errors="surrogateescape") + b"\x1f")
    return cache_dir() / "image-checks" / f"{digest.hexdigest()[:32]}.json"


def _read_cache(path: Path) -> dict[str, CachedVerdict] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = isinstance(found, dict) and all(
        v in ("greyscale", "unreadable", "unread") for v in found.values()
    )
    return found if whole else None


def _write_cache(path: Path, verdicts: dict[str, CachedVerdict]) -> None:
    from harness.records.files import replacing

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(verdicts), encoding="utf-8")
    except OSError as error:
        log.warning("%s can't be written (%s); the images are checked again next time", path, error)
