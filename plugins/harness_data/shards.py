"""Indexes tar files of samples by the place of each member, which is read by offset."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness import DataError
from harness_data.file_names import escape_file_name
from harness_data.image_files import is_junk_folder, is_picture
from harness_data.leftovers import Leftovers
from harness_data.tar_index import TarMember, list_tar

if TYPE_CHECKING:
    from harness_data.remote_shards import RemoteShard


@dataclass(frozen=True, slots=True)
class ShardMember:
    """A file within a tar file: `size` bytes from `offset`."""

    shard: Path | RemoteShard
    name: str
    offset: int
    size: int

    @property
    def place(self) -> str:
        """The name of the member in messages."""
        return f"{self.shard}:{escape_file_name(self.name)}"

    def read(self) -> bytes:
        """Return its bytes. Raises DataError naming shard and member if they can't be read."""
        if not isinstance(self.shard, Path):
            return self.shard.read(self.offset, self.size, self.place)
        try:
            with self.shard.open("rb") as file:
                file.seek(self.offset)
                data = file.read(self.size)
        except OSError as error:
            raise DataError(f"{self.place}: can't be read ({error.strerror})") from None
        if len(data) != self.size:
            raise DataError(f"{self.place}: the shard ends within it; fetch the shard again")
        return data


def index_shard(
    shard: Path | RemoteShard, left: Leftovers | None = None
) -> dict[str, dict[str, ShardMember]]:
    """Return the samples of an uncompressed tar file in its order: key to extension to member.

    As in the webdataset format, the key is the path up to the first dot of the file's name, and the extension
    (lower case) the rest. Skip hidden and system files, and files without an extension; count skipped ones in
    `left`.

    Raises DataError naming the shard if it is not a tar file, is cut short or damaged, or has one member twice.
    """
    if not isinstance(shard, Path):
        return _group_members(shard, shard.list_members(), left)
    try:
        with shard.open("rb") as file:
            return _group_members(shard, list_tar(file, str(shard)), left)
    except OSError as error:
        raise DataError(f"{shard}: broken tar file ({error}); fetch the shard again") from None


def _group_members(
    shard: Path | RemoteShard, members: Iterable[TarMember], left: Leftovers | None
) -> dict[str, dict[str, ShardMember]]:
    """Return the members by key and extension; see `index_shard`."""
    samples: dict[str, dict[str, ShardMember]] = {}
    for member in members:
        folder, _, base = member.name.removeprefix("./").rpartition("/")
        stem, dot, extension = base.partition(".")
        junk = next((part for part in folder.split("/") if part and is_junk_folder(part)), None)
        if junk is not None:
            if left is not None and is_picture(base) and not base.startswith("._"):
                left.add(f"in {junk}", f"{shard.name}:{member.name}")
            continue
        if not stem or not dot:
            if left is not None:
                left.add_file(base, f"{shard.name}:{member.name}")
            continue
        key = f"{folder}/{stem}" if folder else stem
        sample = samples.setdefault(key, {})
        if extension.lower() in sample:
            raise DataError(f"{shard}: '{member.name}' is in it twice")
        sample[extension.lower()] = ShardMember(shard, member.name, member.offset, member.size)
    return samples
