"""PASCAL VOC's folders (`Annotations`, `ImageSets`, `JPEGImages`, `SegmentationClass`), as the development kit has them."""

from __future__ import annotations

from pathlib import Path

from harness import DataError
from harness_data.image_files import IMAGE_SUFFIXES

USUAL = ("train", "val", "trainval", "test")


def find_voc_folders(path: Path, year: str | None) -> list[Path]:
    """Return the folders with `ImageSets` at a path: itself, or `VOC<year>` in it or in its `VOCdevkit`."""
    if (path / "ImageSets").is_dir():
        return [path]
    wanted = f"VOC{year or '*'}"
    inner = (path, path / "VOCdevkit", path / "TrainVal" / "VOCdevkit")  # 2011's archive has another root
    return [
        found for folder in inner for found in sorted(folder.glob(wanted)) if (found / "ImageSets").is_dir()
    ]


def explain_voc_folders(path: Path, year: str | None, lists: str) -> str | None:
    """Return why there is no single folder at a path with lists in `ImageSets/<lists>`, or None."""
    found = find_voc_folders(path, year)
    if len(found) > 1:
        return f"{path}: has {' and '.join(folder.name for folder in found)}: set year"
    if found and list_voc_splits(found[0] / "ImageSets" / lists):
        return None
    return (
        f"{path}: no ImageSets/{lists} with a list such as val.txt, nor VOCdevkit/VOC{year or '2012'}; unpack PASCAL VOC "
        "there (torchvision.datasets.VOCDetection fetches it with download=True)"
    )


def list_voc_splits(folder: Path) -> tuple[str, ...]:
    """Return the names of the lists of images in a folder, without those of single classes: `cat_train.txt`."""
    names = [file.stem for file in sorted(folder.glob("*.txt")) if not _lists_class(file)]
    return (*(name for name in USUAL if name in names), *(name for name in names if name not in USUAL))


def find_overlapping(splits: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Return the pairs of the development kit's splits that share images by design."""
    whole = [("train", "trainval"), ("val", "trainval")]
    return tuple(pair for pair in whole if set(pair) <= set(splits))


def read_voc_list(file: Path) -> list[str]:
    """Return the images of a list, in order. Raises DataError, naming file and line, for a line of several words or an
    image that is listed twice.
    """
    found: dict[str, int] = {}
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: can't be read ({error})") from None
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words:
            continue
        if len(words) > 1 or "/" in words[0] or "\\" in words[0] or words[0] in (".", ".."):
            raise DataError(f"{file}:{number}: expected the name of one image, found '{line.strip()[:40]}'")
        if words[0] in found:
            raise DataError(f"{file}:{number}: image '{words[0]}' is at line {found[words[0]]} already")
        found[words[0]] = number
    return list(found)


def find_voc_image(folder: Path, name: str) -> Path:
    """Return the file of an image in `JPEGImages`: `.jpg`, else of another suffix that is there, else the missing `.jpg`."""
    usual = folder / "JPEGImages" / f"{name}.jpg"
    if usual.exists():
        return usual
    others = (usual.with_name(name + suffix) for suffix in sorted(IMAGE_SUFFIXES))
    return next((other for other in others if other.exists()), usual)


def _lists_class(file: Path) -> bool:
    """Return whether a list gives each image a mark, 1, 0 or −1, as those of classes do."""
    try:
        with file.open(encoding="utf-8-sig", errors="replace") as lines:
            words = next((line.split() for line in lines if line.strip()), [])
    except OSError:
        return False
    return len(words) == 2 and words[1] in ("1", "0", "-1")
