"""Where the members of a tar file are, from its headers alone."""

from __future__ import annotations

import tarfile
from dataclasses import dataclass, replace
from typing import IO

from harness import DataError
from harness_data.file_names import escape_file_name

BLOCK = tarfile.BLOCKSIZE

COMPRESSED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")
"""The first bytes of gzip, bzip2, xz and zstd files."""


@dataclass(frozen=True, slots=True)
class TarMember:
    """A file in a tar file: its name, and the bytes from `offset`."""

    name: str
    offset: int
    size: int


def list_tar(file: IO[bytes], where: str) -> list[TarMember]:
    """Return the plain files of an uncompressed tar file, in its order; only headers are read.

    A hard link is the file that it stands for, as after unpacking.

    Raises DataError, starting with `where`, if it is not a tar file, is cut short or damaged, or holds a file in
    pieces; OSError.
    """
    members, end = list[TarMember](), 0
    files: dict[str, TarMember] = {}
    try:
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for info in tar:
                end = info.offset_data + -(-info.size // BLOCK) * BLOCK
                if info.issparse():  # its size is that of the whole, of which only pieces are there
                    raise DataError(
                        f"{where}: '{escape_file_name(info.name)}' is stored in pieces: pack it without --sparse (-S)"
                    )
                if info.isfile():
                    files[info.name] = TarMember(info.name, info.offset_data, info.size)
                    members.append(files[info.name])
                elif info.islnk() and (whole := files.get(info.linkname)) is not None:
                    members.append(replace(whole, name=info.name))
        file.seek(end)
        mark = file.read(BLOCK)
    except (tarfile.TarError, EOFError) as error:
        file.seek(0)
        if file.read(8).startswith(COMPRESSED):
            raise DataError(
                f"{where}: is compressed, so its members can't be read in place: decompress it"
            ) from None
        raise DataError(f"{where}: broken tar file ({error}); fetch the shard again") from None
    # tarfile takes a damaged header or a cut between members for the end; a complete file ends with zeros
    if len(mark) < BLOCK or any(mark):
        raise DataError(
            f"{where}: broken tar file (cut short or damaged at byte {end}); fetch the shard again"
        )
    return members
