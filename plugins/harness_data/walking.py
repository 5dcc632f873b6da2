"""One walk over the files below a folder, for every data set that lists files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from harness import DataError
from harness_data.file_names import escape_file_name
from harness_data.image_files import is_folder


def walk_files(
    folder: Path,
    enters: Callable[[os.DirEntry[str], str], bool],
    prefix: str = "",
    above: frozenset[str] = frozenset(),
) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield every file at any depth below a folder with its POSIX path behind `prefix`, in no fixed order.

    `enters` decides from a subfolder's entry and path whether to enter it. A link to a folder that is being
    walked, or to one of the resolved paths in `above`, is never entered.
    Raises DataError if a folder can't be listed.
    """
    here = str(folder.resolve())
    if here in above:
        return
    try:
        entries = list(os.scandir(folder))
    except OSError as error:
        raise DataError(f"{escape_file_name(str(folder))}: can't be listed ({error.strerror})") from None
    for entry in entries:
        path = prefix + entry.name
        if not is_folder(entry):
            yield path, entry
        elif enters(entry, path):
            yield from walk_files(Path(entry.path), enters, f"{path}/", above | {here})
