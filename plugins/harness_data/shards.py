"""Indexes tar files of samples by the place of each member, which is read by offset."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from pathlib import Path

from harness import DataError
from harness_data.file_names import escape_file_name
from harness_data.image_files import is_junk_folder, is_picture
from harness_data.leftovers import Leftovers

BLOCK = tarfile.BLOCKSIZE

COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
"""The first bytes of gzip, bzip2, xz and zstd files."""


@dataclass(frozen=True, slots=True)
class ShardMember:
    """A file within a tar file: `size` bytes from `offset`."""

    shard: Path
    name: str
    offset: int
    size: int

    @property
    def place(self) -> str:
        """The name of the member in messages."""
        return f"{self.shard}:{escape_file_name(self.name)}"

    def read(self) -> bytes:
        """Return its bytes. Raises DataError naming shard and member if they can't be read."""
        try:
            with self.shard.open("rb") as file:
                file.seek(self.offset)
                data = file.read(self.size)
        except OSError as error:
            raise DataError(f"{self.place}: can't be read ({error.strerror})") from None
        if len(data) != self.size:
            raise DataError(f"{self.place}: the shard ends within it; fetch the shard again")
        return data


def index_shard(shard: Path, left: Leftovers | None = None) -> dict[str, dict[str, ShardMember]]:
    """Return the samples of an uncompressed tar file in its order: key to extension to member.

    As in the webdataset format, the key is the path up to the first dot of the file's name, and the extension
    (lower case) the rest. Skip hidden and system files, and files without an extension; count skipped ones in
    `left`.

    Raises DataError naming the shard if it is not a tar file, is cut short or damaged, or has one member twice.
    """
    samples: dict[str, dict[str, ShardMember]] = {}
    end = 0
    try:
        with tarfile.open(shard, "r:") as tar:
            for info in tar:
                end = info.offset_data + -(-info.size // BLOCK) * BLOCK
                if not info.isfile():
                    continue
                folder, _, base = info.name.removeprefix("./").rpartition("/")
                stem, dot, extension = base.partition(".")
                junk = next((part for part in folder.split("/") if part and is_junk_folder(part)), None)
                if junk is not None:
                    if left is not None and is_picture(base) and not base.startswith("._"):
                        left.add(f"in {junk}", f"{shard.name}:{info.name}")
                    continue
                if not stem or not dot:
                    if left is not None:
                        left.add_file(base, f"{shard.name}:{info.name}")
                    continue
                key = f"{folder}/{stem}" if folder else stem
                sample = samples.setdefault(key, {})
                if extension.lower() in sample:
                    raise DataError(f"{shard}: '{info.name}' is in it twice")
                sample[extension.lower()] = ShardMember(shard, info.name, info.offset_data, info.size)
        with shard.open("rb") as file:
            file.seek(end)
            mark = file.read(BLOCK)
    except (tarfile.TarError, OSError, EOFError) as error:
        if _begins_with(shard, COMPRESSED):
            raise DataError(
                f"{shard}: is compressed, so its members can't be read in place: decompress it"
            ) from None
        raise DataError(f"{shard}: broken tar file ({error}); fetch the shard again") from None
    # tarfile takes a damaged header or a cut between members for the end; a complete file ends with zeros
    if len(mark) < BLOCK or any(mark):
        raise DataError(
            f"{shard}: broken tar file (cut short or damaged at byte {end}); fetch the shard again"
        )
    return samples


def _begins_with(file: Path, marks: tuple[bytes, ...]) -> bool:
    try:
        with file.open("rb") as opened:
            return opened.read(8).startswith(marks)
    except OSError:
        return False
