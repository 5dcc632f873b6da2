"""Which files are images, which only look so, and what operating systems and storage boxes leave behind."""

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
"""Suffixes, in lower case, of the kinds that Pillow decodes (a list, since asking Pillow loads all its modules)."""

UNDECODED_SUFFIXES = frozenset(
    """
    .heic .heif .hif .jxl .dng .nef .cr2 .cr3 .arw .raf .orf .rw2 .pef .srw .exr .hdr .svg .eps .ps .wmf .emf
    """.split()  # noqa: SIM905 (a list literal would take a line for each)
)
"""Suffixes of pictures that are not decoded here: photographs of phones and cameras, high range, drawings."""

NON_IMAGE_SUFFIXES = frozenset(
    """
    .txt .md .rst .csv .tsv .json .jsonl .xml .yaml .yml .toml .html .htm .log .pdf .doc .docx .xls .xlsx .py .ipynb
    .npy .npz .pt .pth .pkl .pickle .mat .h5 .hdf .hdf5 .grib .bufr .parquet .arrow .feather .lmdb .db .sqlite
    .zip .tar .gz .tgz .bz2 .xz .zst .7z .rar .mp4 .avi .mov .mkv .webm .mpg .mpeg .mp3 .wav .url .lnk .ini
    .bak .old .orig .tmp .temp .part .crdownload .download .swp .lock .md5 .sha1 .sha256
    """.split()  # noqa: SIM905 (a list literal would take a line for each)
)
"""Suffixes of files whose first bytes need not be looked at; copies and halves of images among them."""

JUNK_FOLDERS = frozenset(
    """
    @eadir @tmp @recycle @recently-snapshot #recycle #snapshot __macosx __pycache__ lost+found $recycle.bin recycler
    """.split()  # noqa: SIM905 (a list literal would take a line for each)
) | {"system volume information"}
"""Folders of Synology, QNAP, macOS, Windows and Linux, in lower case; hidden ones are such by their dot."""

JUNK_FILES = frozenset(("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini", "icon\r"))
"""Files of Windows and macOS, in lower case; hidden ones are such by their dot."""

MAGIC = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|II[*+]\0|MM\0[*+]|RIFF....WEBP|BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0"
    rb"|\0\0\0\x0cjP  |\xff\x4f\xff\x51|....ftypavi[fs]|8BPS|qoif|DDS |P[456]\s[\d#]",
    re.DOTALL,
)
"""How files of the usual kinds begin."""


def suffix_of(name: str) -> str:
    """A file name's suffix in lower case, with its dot; empty where there is none."""
    return os.path.splitext(name)[1].lower()  # noqa: PTH122 (a Path per entry costs 3 times as much)


def is_junk_folder(name: str) -> bool:
    """Whether a folder of that name is a system's own and never a class or a split."""
    return name.startswith(".") or name.lower() in JUNK_FOLDERS


def is_junk_file(name: str) -> bool:
    """Whether a file of that name is a system's own: hidden and no image, or macOS's companion of a file."""
    hidden = name.startswith(".") and (name.startswith("._") or suffix_of(name) not in IMAGE_SUFFIXES)
    return hidden or name.startswith("~$") or name.lower() in JUNK_FILES


def is_picture(name: str) -> bool:
    """Whether a name is that of an image, decoded here or not."""
    return suffix_of(name) in IMAGE_SUFFIXES or suffix_of(name) in UNDECODED_SUFFIXES


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or links to one. False for a link that ends nowhere, or in itself."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def is_file(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a plain file or links to one. False for pipes, devices, and links that lead nowhere."""
    try:
        return entry.is_file()
    except OSError:
        return False


def has_image_magic(path: Path | str) -> bool:
    """Whether a file's first bytes are those of an image. False for what can't be opened."""
    try:
        with open(path, "rb") as file:  # noqa: PTH123 (it comes as text from a listing)
            return MAGIC.match(file.read(32)) is not None
    except OSError:
        return False


def is_image(entry: os.DirEntry[str]) -> bool:
    """Whether a file that is not hidden is an image: by its suffix, or, where that says nothing, by its first bytes."""
    suffix = suffix_of(entry.name)
    if entry.name.startswith(".") or is_folder(entry):
        return False
    if suffix in IMAGE_SUFFIXES:
        # a link to nothing counts, so that it is refused by name instead of quietly left out; a pipe or a device
        # would never end, whether it lies here or is linked to
        return is_file(entry) or not os.path.exists(entry.path)  # noqa: PTH110
    return is_open_suffix(suffix) and is_file(entry) and has_image_magic(entry.path)


def is_open_suffix(suffix: str) -> bool:
    """Whether a suffix, or the lack of one, leaves open what a file is."""
    return (
        suffix not in IMAGE_SUFFIXES and suffix not in NON_IMAGE_SUFFIXES and suffix not in UNDECODED_SUFFIXES
    )
