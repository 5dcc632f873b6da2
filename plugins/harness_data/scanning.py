"""Lists the images below class folders in a fixed order, and makes splits of them."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from harness import DataError, EncodedImage, Sample
from harness.errors import did_you_mean
from harness_data.file_names import escape_file_name
from harness_data.image_files import IMAGE_SUFFIXES, is_folder, is_image, is_junk_folder, suffix_of
from harness_data.leftovers import Leftovers
from harness_data.walking import walk_files


@dataclass
class ImageListing:
    """The images below a folder: POSIX paths relative to it, sizes in bytes, and labels."""

    paths: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    left: Leftovers = field(default_factory=Leftovers)
    """The files among them that are not used."""

    @property
    def remarks(self) -> list[str]:
        """Remarks on files that are not used."""
        return self.left.remarks(len(self))

    def __len__(self) -> int:
        return len(self.paths)


def list_subfolders(folder: Path) -> list[str]:
    """Return the names of the folders directly in `folder`, sorted by code point, without hidden and system ones."""
    with _list_entries(folder) as entries:
        return sorted(e.name for e in entries if not is_junk_folder(e.name) and is_folder(e))


def has_images(folder: Path) -> bool:
    """Return whether an image file lies directly in `folder`."""
    with _list_entries(folder) as entries:
        return any(is_image(e) for e in entries)


def scan_class_folders(folder: Path, labels: Mapping[str, int]) -> ImageListing:
    """List the images at any depth below the class folders named in `labels`.

    Class folders are sorted by name, the files of each by relative path. Missing class folders are skipped.
    """
    listing = ImageListing()
    # a link from within a class to a folder above it would add the images of all other classes
    above = _list_ancestors(folder)
    for name in sorted(labels):
        if not (folder / name).is_dir():
            continue
        for path, size in sorted(_find_images(folder / name, f"{name}/", above, listing.left)):
            listing.paths.append(path)
            listing.sizes.append(size)
            listing.labels.append(labels[name])
    return listing


def scan_folder(folder: Path) -> ImageListing:
    """List the images at any depth below a folder without classes, sorted by path; their label is -1."""
    listing = ImageListing()
    above = _list_ancestors(folder.resolve().parent)
    for path, size in sorted(_find_images(folder, "", above, listing.left)):
        listing.paths.append(path)
        listing.sizes.append(size)
        listing.labels.append(-1)
    return listing


def check_split(split: str, known: Sequence[str], where: str) -> None:
    """Raise DataError if `split` is not one of `known`; `where` names the data set."""
    if split not in known:
        raise DataError(f"{where}: no split '{split}'{did_you_mean(split, known)}")


def read_sample_file(path: Path) -> bytes:
    """Return the bytes of a sample's file. Raises DataError naming the file if it can't be read."""
    try:
        if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():  # a pipe or a device may never end
            raise OSError(errno.EINVAL, "a pipe or a device, not a plain file")
        return path.read_bytes()
    except OSError as error:
        where = escape_file_name(str(path))
        raise DataError(
            f"{where}: can't be read ({error.strerror}); remove it, replace it, or leave out what can't be read with "
            "--skip-unreadable"
        ) from None


class FolderSplit:
    """A `Split` of listed images, whose encoded bytes are read on access."""

    def __init__(
        self,
        folder: Path,
        listing: ImageListing,
        class_names: Sequence[str],
        templates: Sequence[str] | None = None,
        label_indices: Sequence[Sequence[int]] | None = None,
        remarks: Sequence[str] = (),
    ) -> None:
        """Take the paths of the listing as relative to `folder`; `remarks` are shown when the split is opened.

        Raises DataError if the listing is empty.
        """
        if not len(listing):
            found = listing.remarks or ["looked for .jpg, .png and other formats that Pillow decodes"]
            raise DataError(f"{folder}: no images in its class folders ({found[0]})")
        self.folder = folder
        self._paths = listing.paths
        self.ids: Sequence[str] = [escape_file_name(path) for path in listing.paths]
        self.targets = np.asarray(listing.labels, dtype=np.int64)
        self.class_names = list(class_names)
        self.templates = list(templates) if templates else None
        self.label_indices = label_indices
        self.remarks = list(remarks)

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> Sample:
        path = self.folder / self._paths[index]
        image = EncodedImage(read_sample_file(path), escape_file_name(str(path)))
        return Sample(self.ids[index], image, int(self.targets[index]))


def _list_entries(folder: Path) -> AbstractContextManager[Iterator[os.DirEntry[str]]]:
    try:
        return os.scandir(folder)
    except OSError as error:
        raise DataError(f"{folder}: can't be listed ({error.strerror})") from None


def _list_ancestors(folder: Path) -> frozenset[str]:
    here = folder.resolve()
    return frozenset(map(str, (here, *here.parents)))


def _find_images(
    folder: Path, prefix: str, above: frozenset[str], left: Leftovers
) -> Iterator[tuple[str, int]]:
    """Yield the path and size (-1 if unknown) of each image; count everything else in `left`."""

    def enters(entry: os.DirEntry[str], path: str) -> bool:
        if junk := is_junk_folder(entry.name):
            left.add_junk_folder(entry.path, entry.name, path)
        return not junk

    for path, entry in walk_files(folder, enters, prefix, above):
        if not is_image(entry):
            left.add_file(entry.name, path)
            continue
        if suffix_of(entry.name) not in IMAGE_SUFFIXES:
            left.add_sniffed(path)
        try:
            size = entry.stat().st_size
        except OSError:
            size = -1
        yield path, size
