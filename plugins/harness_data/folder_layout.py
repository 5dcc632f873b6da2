"""The layout of an image folder: which folders are splits, which are classes, and in which order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from unicodedata import normalize as normalise

from harness.inference.classes import normalise_class_name
from harness.inference.splits import role_of
from harness_data.scanning import has_images, list_subfolders

FLAT_SPLIT = "test"
"""The only split of a folder that has no split folders."""

LAYOUTS = "<split>/<class>/*.jpg or <class>/*.jpg"
LAYOUT_CHOICE = 'say layout = "splits" (<split>/<class>/…) or layout = "flat" (<class>/…)'

Layout = Literal["auto", "splits", "flat"]
Order = Literal["natural", "lexicographic"]


@dataclass(frozen=True)
class DetectedLayout:
    """The folders of the splits by name, or why there are none, with remarks on doubtful folders."""

    splits: dict[str, Path] = field(default_factory=dict)
    refusal: str | None = None
    remarks: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    """Folders that are neither splits nor classes, as `remarks` say."""


def detect_layout(path: Path, layout: Layout) -> DetectedLayout:
    """Return the splits of the folder `path`.

    With the layout `auto`, folders that have a split's name and hold class folders are splits. Other folders
    beside them are splits, too, if all their folders are classes of these (with a remark); else they are left
    out. Folders of folders without any split's name may be splits or classes: refuse, do not guess.
    """
    names = list_subfolders(path)
    if layout == "flat":
        return DetectedLayout({FLAT_SPLIT: path})
    if layout == "splits":
        return DetectedLayout({name: path / name for name in names})
    direct = [name for name in names if has_images(path / name)]
    inner = {name: list_subfolders(path / name) for name in names if name not in direct}
    deep = [name for name in names if inner.get(name)]
    named = [name for name in deep if role_of(name)]
    unfit = [name for name in direct if role_of(name)]
    if unfit and (named or len(unfit) == len(names) or len({role_of(name) for name in unfit}) > 1):
        cure = 'say layout = "splits" and name another split' if named else 'say layout = "flat"'
        if inside := list_subfolders(path / unfit[0]):
            return DetectedLayout(
                refusal=f"{path}: '{unfit[0]}' has a split's name, but holds images beside its folders "
                f"{_quote_names(inside)}: move those images into one of the folders, or out of '{unfit[0]}'"
            )
        return DetectedLayout(
            refusal=f"{path}: '{unfit[0]}' has a split's name, but holds images and no class folders: "
            f"move them into class folders (images without labels into a single one), or {cure}"
        )
    if named:
        return _sort_out_splits(path, names, named, inner)
    if deep and direct:
        return DetectedLayout(
            refusal=f"{path}: '{deep[0]}' holds folders and '{direct[0]}' holds images, so they may be "
            f"splits or classes; {LAYOUT_CHOICE}"
        )
    if deep:
        below = [name for name in deep if any(role_of(n) for n in inner[name])]
        hint = f"; did you mean {path / below[0]}?" if below else ""
        shown = ", ".join(f"'{name}'" for name in deep[:3]) + (", …" if len(deep) > 3 else "")
        return DetectedLayout(
            refusal=f"{path}: its folders {shown} hold folders, and none has a split's name, so they may be "
            f"splits or classes: {LAYOUT_CHOICE}{hint}"
        )
    return DetectedLayout({FLAT_SPLIT: path})


def _sort_out_splits(
    path: Path, names: Sequence[str], named: Sequence[str], inner: dict[str, list[str]]
) -> DetectedLayout:
    """Return the layout if some folders have a split's name: the others are splits of the same classes, or left out."""
    classes = {name for split in named for name in inner[split]}
    others = [name for name in names if name not in named]
    alike = [name for name in others if inner.get(name) and classes.issuperset(inner[name])]
    # an empty folder needs no remark
    odd = [name for name in others if name not in alike and inner.get(name) != []]
    remarks = []
    if alike:
        remarks.append(
            f"{_quote_names(alike)} beside {_quote_names(named)} {_is_or_are(alike)} not called like any known split: used "
            "only if named (split = …)"
        )
    if odd:
        remarks.append(
            f"{_quote_names(odd)} beside {_quote_names(named)} {_is_or_are(odd)} left out: not a split's name, "
            "and not the same classes"
        )
    kept = {name: path / name for name in names if name in named or name in alike}
    return DetectedLayout(kept, remarks=tuple(remarks), left_out=tuple(odd))


def _quote_names(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:3]) + (
        f" and {len(names) - 3} more" if len(names) > 3 else ""
    )


def _is_or_are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def sort_classes(names: Iterable[str], order: Order = "natural") -> list[str]:
    """Return class folders in label order: by the value of numbers in names (2 before 10), or by code point."""
    return sorted(names) if order == "lexicographic" else sorted(names, key=_natural_key)


def note_class_order(names: Sequence[str]) -> str:
    """Return a note if torchvision would order these folders differently; else an empty string."""
    natural, plain = sort_classes(names), sort_classes(names, "lexicographic")
    if natural == plain:
        return ""
    first = next(i for i in range(len(names)) if natural[i] != plain[i])
    return (
        f"class folders of the data set are in natural order ('{natural[first]}' is class {first}); torchvision's "
        f"ImageFolder takes '{plain[first]}' there: say order = \"lexicographic\" for weights trained with it"
    )


def find_spellings(folders: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return the respelled class folders, each with the first spelling of its class.

    `folders` are the class folders of each split. Names that differ only in case, separators or Unicode form
    (macOS and Linux write accents differently) are one class, unless some split holds two such names.
    """
    alike: dict[str, list[str]] = {}
    for names in folders.values():
        forms = [normalise_class_name(name) for name in names]
        if len(set(forms)) < len(forms):
            return {}
        for form, name in zip(forms, names, strict=True):
            alike.setdefault(form, []).append(name)
    return {name: same[0] for same in alike.values() for name in same if name != same[0]}


def note_spellings(folders: Mapping[str, Sequence[str]], others: Mapping[str, str]) -> list[str]:
    """Return a remark on class folders that are spelled differently in another split."""
    if not others:
        return []
    name, first = next(iter(others.items()))
    place, there = (next(s for s, names in folders.items() if n in names) for n in (name, first))
    form = "" if normalise("NFC", name) != normalise("NFC", first) else ", with other code points"
    are = "class folder is" if len(others) == 1 else "class folders are"
    return [
        f"{len(others)} {are} spelled differently in another split and taken for the same class: "
        f"'{first}' in '{there}' is '{name}' in '{place}'{form}"
    ]


def note_crossed_names(classes: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return a remark if a given name is that of another class's folder."""
    places = {normalise_class_name(folder): place for place, folder in enumerate(classes)}
    crossed = [
        (folder, name)
        for place, (folder, name) in enumerate(zip(classes, names, strict=True))
        if places.get(normalise_class_name(name), place) != place
        and normalise_class_name(folder) != normalise_class_name(name)
    ]
    if not crossed:
        return []
    folder, name = crossed[0]
    return [
        f"class_names gives {len(crossed)} of {len(classes)} class folders the name of another one (first: '{folder}' is "
        f"called '{name}'): the names are matched to the folders in order"
    ]


def _natural_key(name: str) -> tuple[list[str | int], str]:
    # splitting at numbers alternates text and numbers, so that only like parts are compared
    parts: list[str | int] = [int(p) if i % 2 else p for i, p in enumerate(re.split(r"([0-9]+)", name))]
    return parts, name
