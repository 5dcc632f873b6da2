"""Tells image files from other files, and from what operating systems and storage devices leave behind."""

from __future__ import annotations

import os
import re
from pathlib import Path

IMAGE_SUFFIXES = frozenset(
    """
    .jpg .jpeg .jpe .jfif .mpo .png .apng .webp .gif .bmp .dib .tif .tiff .avif .avifs
    .jp2 .j2k .jpc .jpf .jpx .j2c .ppm .pgm .pbm .pnm .pfm .tga .icb .vda .vst .pcx .dcx .psd .qoi .dds .blp
    .ico .icns .cur .sgi .bw .rgb .rgba .ras .xbm .xpm .im .iim .msp .pcd .pxr .gbr .fit .fits .ftc .ftu .fli .flc
    """.split()  # noqa: SIM905 (a list literal would take a line for each)
)
"""Lower-case suffixes of formats that Pillow decodes (a list, since asking Pillow loads all its modules)."""

UNDECODED_SUFFIXES = frozenset(
    """
    .heic .heif .hif .jxl .dng .nef .cr2 .cr3 .arw .raf .orf .rw2 .pef .srw .exr .hdr .svg .eps .ps .wmf .emf
    """.split()  # noqa: SIM905 (a list literal would take a line for each)
)
"""Suffixes of pictures that are not decoded here: phone and camera photographs, high range, drawings."""

NON_IMAGE_SUFFIXES = frozenset(
    """
    .txt .md .rst .csv .tsv .json .jsonl .xml .yaml .yml .toml .html .htm .log .pdf .doc .docx .xls .xlsx .py .ipynb
    .npy .npz .pt .pth .pkl .pickle .mat .h5 .hdf .hdf5 .grib .bufr .parquet .arrow .feather .lmdb .db .sqlite
    .zip .tar .gz .tgz .bz2 .xz .zst .7z .rar .mp4 .avi .mov .mkv .webm .mpg .mpeg .mp3 .wav .url .lnk .ini
    .bak .old .orig .tmp .temp .part .crdownload .download .swp .lock .md5 .sha1 .sha256
    """.split()  # noqa: SIM905 (a list literal would take a line for each)
)
"""Suffixes of files whose first bytes need no check, including backups and partial downloads of images."""

JUNK_FOLDERS = frozenset(
    """
    @eadir @tmp @recycle @recently-snapshot #recycle #snapshot __macosx __pycache__ lost+found $recycle.bin recycler
    """.split()  # noqa: SIM905 (a list literal would take a line for each)
) | {"system volume information"}
"""System folders of Synology, QNAP, macOS, Windows and Linux, in lower case, apart from hidden ones."""

JUNK_FILES = frozenset(("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r"))
"""System files of Windows and macOS, in lower case, apart from hidden ones."""

MAGIC = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|II[*+]\0|MM\0[*+]|RIFF....WEBP|BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0"
    rb"|\0\0\0\x0cjP  |\xff\x4f\xff\x51|....ftypavi[fs]|8BPS|qoif|DDS |P[456]\s[\d#]",
    re.DOTALL,
)
"""The first bytes of files in the usual formats."""


def suffix_of(name: str) -> str:
    """Return a file name's suffix in lower case, with its dot; empty if it has none."""
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 (a Path per entry costs 3 times as much)


def is_junk_folder(name: str) -> bool:
    """Return whether a folder name is hidden or a system's, and so never a class or a split."""
    return name.startswith(".") or name.lower() in JUNK_FOLDERS


def is_junk_file(name: str) -> bool:
    """Return whether a file name is a system's: hidden and not an image, or a companion file of macOS."""
    hidden = name.startswith(".") and (name.startswith("._") or suffix_of(name) not in IMAGE_SUFFIXES)
    return hidden or name.startswith("~$") or name.lower() in JUNK_FILES


def is_picture(name: str) -> bool:
    """Return whether a name is an image's, decoded here or not."""
    return suffix_of(name) in IMAGE_SUFFIXES or suffix_of(name) in UNDECODED_SUFFIXES


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder or links to one. False for a dangling or circular link."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def is_file(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a plain file or links to one. False for pipes, devices and dangling links."""
    try:
        return entry.is_file()
    except OSError:
        return False


def has_image_magic(path: Path | str) -> bool:
    """Return whether a file's first bytes are an image's. False if it can't be opened."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 (a listing yields plain strings)
            return MAGIC.match(file.read(32)) is not None
    except OSError:
        return False


def is_image(entry: os.DirEntry[str]) -> bool:
    """Return whether a visible file is an image by its suffix or, if that is inconclusive, by its first bytes."""
    suffix = suffix_of(entry.name)
    if entry.name.startswith(".") or is_folder(entry):
        return False
    if suffix in IMAGE_SUFFIXES:
        # a dangling link counts, so that it raises an error by name instead of being dropped silently; reading
        # a pipe or a device, linked or not, would never end
        return is_file(entry) or not os.path.exists(entry.path)  # noqa: PTH110
    return is_open_suffix(suffix) and is_file(entry) and has_image_magic(entry.path)


def is_open_suffix(suffix: str) -> bool:
    """Return whether a suffix, or its lack, leaves open if a file is an image."""
    return (
        suffix not in IMAGE_SUFFIXES and suffix not in NON_IMAGE_SUFFIXES and suffix not in UNDECODED_SUFFIXES
    )
