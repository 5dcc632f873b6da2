"""How an image folder is laid out: which of its folders are splits, and which are classes, in which order."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from unicodedata import normalize as normalise

from harness.inference.classes import normalise_name
from harness.inference.splits import role_of
from harness_data.scanning import has_images, subfolders

FLAT_SPLIT = "test"
"""The only split of a folder that has no split folders."""

LAYOUTS = "<split>/<class>/*.jpg or <class>/*.jpg"
SAY = 'say layout = "splits" (<split>/<class>/…) or layout = "flat" (<class>/…)'

Layout = Literal["auto", "splits", "flat"]
Order = Literal["natural", "lexicographic"]


@dataclass(frozen=True)
class Arrangement:
    """The folders of the splits by name, why there are none, and what was left out or not sure."""

    splits: dict[str, Path] = field(default_factory=dict)
    refusal: str | None = None
    remarks: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    """Folders that are neither, which `remarks` tell."""


def arrange(path: Path, layout: Layout) -> Arrangement:
    """Return where the splits of the folder `path` lie.

    With the layout `auto`, folders that are called like splits and hold class folders are splits. Others
    beside them are splits too where all their folders are classes of these, which is remarked, and are
    left out where not. Folders that hold folders and none of which is called like a split may be splits
    or classes: that is refused, not guessed.
    """
    names = subfolders(path)
    if layout == "flat":
        return Arrangement({FLAT_SPLIT: path})
    if layout == "splits":
        return Arrangement({name: path / name for name in names})
    direct = [name for name in names if has_images(path / name)]
    inner = {name: subfolders(path / name) for name in names if name not in direct}
    deep = [name for name in names if inner.get(name)]
    named = [name for name in deep if role_of(name)]
    unfit = [name for name in direct if role_of(name)]
    if unfit and (named or len(unfit) == len(names) or len({role_of(name) for name in unfit}) > 1):
        cure = 'say layout = "splits" and name another split' if named else 'say layout = "flat"'
        if inside := subfolders(path / unfit[0]):
            return Arrangement(
                refusal=f"{path}: '{unfit[0]}' is called like a split, and holds images beside its folders "
                f"{_listed(inside)}: move those images into one of the folders, or out of '{unfit[0]}'"
            )
        return Arrangement(
            refusal=f"{path}: '{unfit[0]}' is called like a split, but holds images and no class folders: "
            f"move those into one (images without labels into a single one), or {cure}"
        )
    if named:
        return _with_named(path, names, named, inner)
    if deep and direct:
        return Arrangement(
            refusal=f"{path}: '{deep[0]}' holds folders and '{direct[0]}' holds images, so they may be "
            f"splits or classes; {SAY}"
        )
    if deep:
        below = [name for name in deep if any(role_of(n) for n in inner[name])]
        hint = f"; did you mean {path / below[0]}?" if below else ""
        shown = ", ".join(f"'{name}'" for name in deep[:3]) + (", …" if len(deep) > 3 else "")
        return Arrangement(
            refusal=f"{path}: its folders {shown} hold folders, and none is called like a split, so they may be "
            f"splits or classes: {SAY}{hint}"
        )
    return Arrangement({FLAT_SPLIT: path})


def _with_named(
    path: Path, names: Sequence[str], named: Sequence[str], inner: dict[str, list[str]]
) -> Arrangement:
    """Some folders are called like splits; the others are splits of the same classes, or left out."""
    classes = {name for split in named for name in inner[split]}
    others = [name for name in names if name not in named]
    alike = [name for name in others if inner.get(name) and classes.issuperset(inner[name])]
    # an empty folder holds nothing that could be missed
    odd = [name for name in others if name not in alike and inner.get(name) != []]
    remarks = []
    if alike:
        remarks.append(
            f"{_listed(alike)} beside {_listed(named)} {_is(alike)} called like no known split: used only where "
            "named (split = …)"
        )
    if odd:
        remarks.append(
            f"{_listed(odd)} beside {_listed(named)} {_is(odd)} left out: no split's name, and not the same classes"
        )
    kept = {name: path / name for name in names if name in named or name in alike}
    return Arrangement(kept, remarks=tuple(remarks), left_out=tuple(odd))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:3]) + (
        f" and {len(names) - 3} more" if len(names) > 3 else ""
    )


def _is(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def in_order(names: Iterable[str], order: Order = "natural") -> list[str]:
    """Return class folders in label order: numbers in names by value (2 before 10), or all by code point."""
    return sorted(names) if order == "lexicographic" else sorted(names, key=_natural)


def order_note(names: Sequence[str]) -> str:
    """Return what to know of the natural order where torchvision would take another one; empty where not."""
    natural, plain = in_order(names), in_order(names, "lexicographic")
    if natural == plain:
        return ""
    first = next(i for i in range(len(names)) if natural[i] != plain[i])
    return (
        f"class folders of the data set are in natural order ('{natural[first]}' is class {first}); torchvision's "
        f"ImageFolder takes '{plain[first]}' there: say order = \"lexicographic\" for weights trained with it"
    )


def spellings(folders: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Return other spellings of class folders, each with the one that stands for its class.

    `folders` are the class folders of each split. Names that differ only in case, separators or the form of
    their letters (as macOS and Linux write accents) are one class where no split tells such names apart.
    """
    alike: dict[str, list[str]] = {}
    for names in folders.values():
        forms = [normalise_name(name) for name in names]
        if len(set(forms)) < len(forms):
            return {}
        for form, name in zip(forms, names, strict=True):
            alike.setdefault(form, []).append(name)
    return {name: same[0] for same in alike.values() for name in same if name != same[0]}


def spelling_note(folders: Mapping[str, Sequence[str]], others: Mapping[str, str]) -> list[str]:
    """Return what is to be said of class folders that are spelled otherwise in another split."""
    if not others:
        return []
    name, first = next(iter(others.items()))
    place, there = (next(s for s, names in folders.items() if n in names) for n in (name, first))
    form = "" if normalise("NFC", name) != normalise("NFC", first) else ", with other code points"
    are = "class folder is" if len(others) == 1 else "class folders are"
    return [
        f"{len(others)} {are} spelled otherwise in another split and taken for the same class: "
        f"'{first}' in '{there}' is '{name}' in '{place}'{form}"
    ]


def crossed_note(classes: Sequence[str], names: Sequence[str]) -> list[str]:
    """Return what is to be said where names were given, and one is that of another class's folder."""
    places = {normalise_name(folder): place for place, folder in enumerate(classes)}
    crossed = [
        (folder, name)
        for place, (folder, name) in enumerate(zip(classes, names, strict=True))
        if places.get(normalise_name(name), place) != place and normalise_name(folder) != normalise_name(name)
    ]
    if not crossed:
        return []
    folder, name = crossed[0]
    return [
        f"class_names gives {len(crossed)} of {len(classes)} class folders the name of another one (first: '{folder}' is "
        f"called '{name}'): its names were taken in the order of the folders"
    ]


def _natural(name: str) -> tuple[list[str | int], str]:
    # split at digits, texts and numbers take turns, so that like is compared with like
    parts: list[str | int] = [int(p) if i % 2 else p for i, p in enumerate(re.split(r"([0-9]+)", name))]
    return parts, name
