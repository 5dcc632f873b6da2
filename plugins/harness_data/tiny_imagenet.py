"""The data set `tiny-imagenet`: 200 classes of 64×64 images in the layout in which its archive unpacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness import DataError, Unavailable
from harness_data.roots import find_data

if TYPE_CHECKING:
    from harness_data.scanning import FolderSplit, ImageListing

PLACES = tuple(f"{folder}wnids.txt" for folder in ("tiny-imagenet-200/", "tiny-imagenet/", ""))
HOW_TO_GET = "get tiny-imagenet-200.zip (cs231n.stanford.edu) and unpack it to tiny-imagenet-200/wnids.txt, train/, val/"
ANNOTATIONS = "val_annotations.txt"


def find_annotated_images(folder: Path) -> Path | None:
    """Return the folder of validation images that a list beside it gives labels, in a folder or its `val`, or None."""
    places = [place for place in (folder, folder / "val") if (place / ANNOTATIONS).is_file()]
    return next((place / "images" for place in places if (place / "images").is_dir()), None)


class TinyImageNet:
    """Tiny ImageNet (CS231n, Stanford): 100,000 training images and 10,000 for validation, 64×64, of 200 classes.

    Labels number the WordNet ids in sorted order, as torchvision's ImageFolder and Keras number the folders
    of `train`; `wnids.txt` lists the same ids in another order, which is an option. `val` has the labels of
    `val_annotations.txt`. The labels of the archive's `test` are not public, so there is no such split. Ids are
    paths relative to the split's folder; grey images are kept, and read as RGB like all others.

    Args:
        root: the folder that holds `tiny-imagenet-200`, or that folder itself; by default $HARNESS_DATA_ROOT.
        order: of the classes: `sorted` WordNet ids, or as `listed` in wnids.txt.
    """

    splits: Sequence[str] = ("train", "val")

    def __init__(self, root: Path | None = None, *, order: Literal["sorted", "listed"] = "sorted") -> None:
        self.root, self.order = root, order

    @classmethod
    def recognise(cls, path: Path) -> dict[str, Path] | None:
        """Return the options for the folder that the archive unpacks to, or None."""
        own = (path / "wnids.txt").is_file() and find_annotated_images(path) is not None
        return {"root": path} if own else None

    def unavailable(self) -> str | None:
        """Return why it can't be used here and how to get it, or None."""
        try:
            folder = self._folder
        except Unavailable as missing:
            return str(missing)
        for name in ("train", "val", "words.txt"):
            if not (folder / name).exists():
                return f"{folder / name}: is missing; {HOW_TO_GET}"
        return _refuse_validation_split(folder / "val")

    @property
    def class_keys(self) -> list[str] | None:
        """The WordNet ids in label order; None where the data set is missing."""
        return None if self.unavailable() else self._read_wnids()

    @property
    def class_names(self) -> list[str] | None:
        """The first synonym of each class in words.txt, in label order; None where the data set is missing."""
        return (
            None
            if self.unavailable()
            else _read_first_synonyms(self._folder / "words.txt", self._read_wnids())
        )

    @property
    def class_order(self) -> str:
        """What numbers the classes, where wnids.txt has another order."""
        if self.unavailable():
            return ""
        listed = _read_wnids(self._folder / "wnids.txt")
        if listed == sorted(listed):
            return ""
        other = "wnids.txt" if self.order == "sorted" else "a folder that is read with sorted classes"
        return f"class 0 of the data set is '{self._read_wnids()[0]}' (order = \"{self.order}\"); {other} has another order"

    @property
    def remarks(self) -> list[str]:
        """A remark on classes that share a name."""
        names = Counter(self.class_names or ())
        if not (shared := [name for name, count in names.items() if count > 1]):
            return []
        keys = [
            key
            for key, name in zip(self._read_wnids(), self.class_names or (), strict=True)
            if name == shared[0]
        ]
        are = "name is that of" if len(shared) == 1 else "names are each that of"
        return [f"{len(shared)} {are} several classes (first: '{shared[0]}' is {' and '.join(keys)})"]

    def fingerprint(self) -> str:
        """Return a digest of the lists, and of the images' paths and content."""
        from harness_data.digests import files_digest, text_digest

        if self.unavailable():
            return "absent"
        folder = self._folder
        lists = files_digest(folder, ("wnids.txt", "words.txt", f"val/{ANNOTATIONS}"))
        images = [files_digest(folder / split, self._list(split)[0].paths) for split in self.splits]
        return text_digest([lists, *images])

    def load(self, split: str) -> FolderSplit:
        """List one split.

        Raises Unavailable if the data set is missing, DataError for an unknown split or an incomplete copy: a
        class without images, an image that is listed but missing, a line that can't be understood.
        """
        from harness_data.scanning import FolderSplit, check_split

        if split.casefold() in ("test", "testing"):
            raise DataError(
                "tiny-imagenet: the labels of its test images are not public, so there is no split to score on them: "
                "test on 'val', and hold samples of 'train' out to choose settings"
            )
        check_split(split, self.splits, "tiny-imagenet")
        if problem := self.unavailable():
            raise Unavailable(problem)
        listing, remarks = self._list(split)
        names = _read_first_synonyms(self._folder / "words.txt", self._read_wnids())
        return FolderSplit(self._folder / split, listing, names, remarks=remarks)

    @property
    def _folder(self) -> Path:
        return find_data(self.root, PLACES, HOW_TO_GET).parent

    def _read_wnids(self) -> list[str]:
        """Return the WordNet ids in label order."""
        listed = _read_wnids(self._folder / "wnids.txt")
        return sorted(listed) if self.order == "sorted" else listed

    def _list(self, split: str) -> tuple[ImageListing, list[str]]:
        """Return the images of a split, and remarks on files that are not used."""
        labels = {wnid: label for label, wnid in enumerate(self._read_wnids())}
        return (_list_train if split == "train" else _list_val)(self._folder / split, labels)


def _list_train(folder: Path, labels: dict[str, int]) -> tuple[ImageListing, list[str]]:
    from harness_data.leftovers import Leftovers
    from harness_data.scanning import ImageListing, list_subfolders, scan_folder

    if foreign := [name for name in list_subfolders(folder) if name not in labels]:
        raise DataError(f"{folder / foreign[0]}: is not a class of wnids.txt")
    listing, left = ImageListing(), Leftovers()
    for wnid in sorted(labels):
        images = folder / wnid / "images"
        found = scan_folder(images) if images.is_dir() else ImageListing()
        if not len(found):
            raise DataError(
                f"{images}: no images of class '{wnid}', which wnids.txt lists; unpack the archive again"
            )
        listing.paths += [f"{wnid}/images/{path}" for path in found.paths]
        listing.sizes += found.sizes
        listing.labels += [labels[wnid]] * len(found)
        left.update(found.left, f"{wnid}/images/")
    return listing, left.remarks(len(listing))


def _list_val(folder: Path, labels: dict[str, int]) -> tuple[ImageListing, list[str]]:
    from harness_data.scanning import ImageListing, scan_folder

    images, file = scan_folder(folder / "images"), folder / ANNOTATIONS
    sizes, listing = dict(zip(images.paths, images.sizes, strict=True)), ImageListing()
    lines: dict[str, int] = {}
    for number, words in _number_lines(file, "\t"):
        if len(words) < 2 or not words[0].strip():
            raise DataError(
                f"{file}:{number}: expected image, WordNet id and box with tabs between, found '{words[0]}'"
            )
        name, wnid = words[0].strip(), words[1].strip()
        if wnid not in labels:
            raise DataError(f"{file}:{number}: class '{wnid}' of '{name}' is not in wnids.txt")
        if name in lines:
            raise DataError(f"{file}:{number}: image '{name}' has a line already, {lines[name]}")
        if name not in sizes:
            raise DataError(
                f"{file}:{number}: there is no image '{name}' in {folder / 'images'}; unpack the archive again"
            )
        lines[name] = number
        listing.paths.append(f"images/{name}")
        listing.sizes.append(sizes[name])
        listing.labels.append(labels[wnid])
    remarks = images.left.remarks(len(images))
    if unlisted := [name for name in images.paths if name not in lines]:
        are = "image of val is" if len(unlisted) == 1 else "images of val are"
        remarks.append(
            f"{len(unlisted)} {are} left out, having no line in {ANNOTATIONS} (first: {unlisted[0]})"
        )
    return listing, remarks


def _refuse_validation_split(folder: Path) -> str | None:
    from harness_data.scanning import list_subfolders

    if find_annotated_images(folder):
        return None
    if classes := [name for name in list_subfolders(folder) if name != "images"]:
        return (
            f"{folder}: holds folders such as '{classes[0]}', not the archive's images/ and {ANNOTATIONS}: "
            "unpack it again, or read class folders with imagefolder"
        )
    missing = "images" if (folder / ANNOTATIONS).is_file() else ANNOTATIONS
    return f"{folder / missing}: is missing; {HOW_TO_GET}"


def _read_wnids(file: Path) -> list[str]:
    """Return the WordNet ids of wnids.txt, one a line. Raises DataError for repeated ones, or none."""
    lines: dict[str, int] = {}
    for number, words in _number_lines(file):
        if len(words) != 1:
            raise DataError(f"{file}:{number}: expected one WordNet id, found '{' '.join(words)}'")
        if "/" in words[0] or words[0] in ("..", "."):
            raise DataError(f"{file}:{number}: '{words[0]}' can't be the name of a class folder")
        if words[0] in lines:
            raise DataError(f"{file}:{number}: '{words[0]}' is listed already in line {lines[words[0]]}")
        lines[words[0]] = number
    if not lines:
        raise DataError(f"{file}: lists no class")
    return list(lines)


def _read_first_synonyms(file: Path, wnids: Sequence[str]) -> list[str]:
    """Return the first synonym of each class in words.txt. Raises DataError naming a class without one."""
    wanted, names = {*wnids}, dict[str, str]()
    for _, words in _number_lines(file, "\t"):
        if words[0].strip() in wanted and len(words) > 1 and (first := words[1].split(",")[0].strip()):
            names.setdefault(words[0].strip(), first)
    if missing := [wnid for wnid in wnids if wnid not in names]:
        raise DataError(f"{file}: has no name for class '{missing[0]}' of wnids.txt")
    return [names[wnid] for wnid in wnids]


def _number_lines(file: Path, separator: str | None = None) -> list[tuple[int, list[str]]]:
    """Return the number and the words of each line that is not blank. Raises DataError if the file can't be read."""
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: can't be read: {error}") from None
    # only \n ends a line: names may hold other separators, at which `splitlines` would cut them
    lines = enumerate(text.split("\n"), start=1)
    return [(number, line.split(separator)) for number, line in lines if line.strip()]
