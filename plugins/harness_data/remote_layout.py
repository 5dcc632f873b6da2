"""What is at an address of shards: its splits, their shards, and the texts beside them."""

from __future__ import annotations

from functools import cached_property, lru_cache
from urllib.parse import unquote, urlsplit

from harness import DataError
from harness_data.remote_shards import RemoteShard, index_all
from harness_data.shard_addresses import MOST, expand_address

SPLITS = ("train", "val", "valid", "validation", "test")
"""The names of splits that are looked for at an address, which can't be listed."""

COUNT = "nshards.txt"

WEB_PAGE = ("<!doctype html", "<html")
"""How a web page begins, with which some servers answer for what is not there."""


class RemoteLayout:
    """The shards at an address.

    An address of tar files, perhaps with braces, is one split, called as their folder if that is a split's name,
    else `test`; texts are looked for beside the shards and one folder up. An address of a folder is in the layout
    of `webdataset`, with one of the usual names of splits.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._is_list = address.endswith(".tar")
        self._shards: dict[str, list[RemoteShard]] = {}
        self._texts: dict[str, str | None] = {}
        self._refused: dict[str, str] = {}
        """Texts that the server refuses, which count as absent, with what it says."""

    @cached_property
    def splits(self) -> tuple[str, ...]:
        """The splits there. Raises DataError if it can't be reached."""
        if self._is_list:
            folder = self._folders[0].rpartition("/")[2]
            return (folder if folder in SPLITS else "test",)
        return tuple(split for split in SPLITS if self._count(split) is not None)

    def explain_missing(self) -> str | None:
        """Return why there is nothing to load, or None."""
        try:
            if not self.splits and self._refused:
                return next(iter(self._refused.values()))
            if not self.splits:
                return (
                    f"{self.address}: no <split>/{COUNT} there (split: {', '.join(SPLITS)}); or give the shards "
                    "themselves, as in …/shard-{000000..000009}.tar"
                )
            for split in self.splits:
                _ = [shard.facts for shard in self.list_shards(split)[:1]]
        except DataError as error:
            return str(error)
        return None

    def list_shards(self, split: str) -> list[RemoteShard]:
        """Return the shards of a split, in order. Raises DataError for a count that is none."""
        if split not in self._shards:
            self._shards[split] = self._find_shards(split)
        return self._shards[split]

    def _find_shards(self, split: str) -> list[RemoteShard]:
        if self._is_list:
            return [_open_shard(address) for address in expand_address(self.address)]
        text = " ".join((self._count(split) or "").split())
        if not text.isdecimal() or len(text) > len(str(MOST)) or int(text) > MOST:
            raise DataError(
                f"{self.address}/{split}/{COUNT}: expected the number of shards, at most {MOST:,}, found '{text[:40]}'"
            )
        return [_open_shard(f"{self.address}/{split}/{n}.tar") for n in range(int(text))]

    def list_indexed(self, split: str) -> list[RemoteShard]:
        """Return the shards of a split, with their indices made. Raises DataError for a broken or missing one."""
        shards = self.list_shards(split)
        index_all(shards)
        return shards

    def read_text(self, name: str) -> str | None:
        """Return a text beside the shards, else one folder up; None if there is none. Raises DataError."""
        if name not in self._texts:
            found = (self._try_text(folder, name) for folder in self._folders)
            self._texts[name] = next((text for text in found if text is not None), None)
        return self._texts[name]

    def _try_text(self, folder: str, name: str) -> str | None:
        from harness.mirroring.bucket import AccessRefused

        try:
            return _read_text(folder, name)
        except AccessRefused as error:  # without the right to list a bucket, for what is not there, too
            self._refused[name] = str(error)
            return None

    def read_lines(self, name: str) -> list[str] | None:
        """Return the non-blank lines of such a text."""
        text = self.read_text(name)
        return None if text is None else [line.strip() for line in text.splitlines() if line.strip()]

    @property
    def remarks(self) -> list[str]:
        """A remark on what the shards are known by: nobody reads all of them to know whether they have changed."""
        shards = [shard for split in self.splits for shard in self.list_shards(split)]
        untagged = sum(shard.facts.tag.startswith("1970-01-01T00:00:00") for shard in shards)
        by = (
            "what their server calls their version (etag or time), size, and names and sizes of their members"
        )
        said = f"{len(shards)} shards at {self.address} are known by {by}, not by their content"
        remarks = [said + (f"; of {untagged} the server tells no version" if untagged else "")]
        absent = [name for name in self._refused if self._texts.get(name) is None]
        if absent:
            remarks.append(
                f"the server refuses {', '.join(absent)}, as some do for what is not there: it counts as absent"
            )
        return remarks

    @cached_property
    def _folders(self) -> list[str]:
        """The folders with texts: of the shards and the one above, or the address itself."""
        if not self._is_list:
            return [self.address]
        beside = expand_address(self.address)[0].rpartition("/")[0]
        above = beside.rpartition("/")[0]
        return [beside] if above.endswith("/") or "://" not in above else [beside, above]

    def _count(self, split: str) -> str | None:
        """Return the text with the number of a split's shards, or None if there is no such split."""
        return self.read_text(f"{split}/{COUNT}")


@lru_cache(maxsize=4096)
def _split_address(address: str) -> tuple[str, str]:
    """Return an address of a file as that of its bucket or host, which is opened once, and the name in it."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc}", unquote(parts.path.lstrip("/"))


def _open_shard(address: str) -> RemoteShard:
    from harness.mirroring.bucket import BucketError, open_bucket

    place, name = _split_address(address)
    try:
        return RemoteShard(open_bucket(place), name)
    except BucketError as error:
        raise DataError(str(error)) from None


def _read_text(folder: str, name: str) -> str | None:
    """Return a text, or None. Raises AccessRefused, or DataError for anything else."""
    from harness.mirroring.bucket import AccessRefused, BucketError

    shard = _open_shard(f"{folder}/{name}")
    try:
        found = shard.bucket.get(shard.key)
    except AccessRefused:
        raise
    except BucketError as error:
        raise DataError(str(error)) from None
    try:
        text = None if found is None else found[0].decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{folder}/{name}: is not UTF-8 text") from None
    return None if text is None or text.lstrip().lower().startswith(WEB_PAGE) else text
