"""Class names for prompts: the data set's own, OpenAI's, CoOp's, or a file's."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness.errors import DataError, OptionError, did_you_mean

_EUROSAT = (
    "AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial",
    "Pasture", "PermanentCrop", "Residential", "River", "SeaLake",
)  # fmt: skip

RENAMED: dict[str, dict[str, str]] = {
    "coop-eurosat": dict(zip(_EUROSAT, (
        "Annual Crop Land", "Forest", "Herbaceous Vegetation Land", "Highway or Road", "Industrial Buildings",
        "Pasture Land", "Permanent Crop Land", "Residential Buildings", "River", "Sea or Lake",
    ), strict=True)),
    "openai-eurosat": dict(zip(_EUROSAT, (
        "annual crop land", "forest", "brushland or shrubland", "highway or road",
        "industrial buildings or commercial buildings", "pasture land", "permanent crop land",
        "residential buildings or homes or apartments", "river", "lake or sea",
    ), strict=True)),
    "coop-caltech101": {
        "airplanes": "airplane", "Faces": "face", "Leopards": "leopard", "Motorbikes": "motorbike",
    },
}  # fmt: skip
"""Names that a set changes, by the data set's own; the others stay (CoOp's code; OpenAI's `data/prompts.md`)."""

SETS = ("data", "openai-imagenet", *RENAMED)


def class_names(own: Sequence[str], chosen: str) -> list[str]:
    """The names to put into prompts, one per class of `own`, by the set `chosen`.

    `openai-imagenet` are OpenAI's curated names of the 1000 classes in ImageNet's order. A name with
    the suffix `.json` is a file: an object from own name to name, or a list in label order; `.txt`
    has one name per line. Raises OptionError or DataError.
    """
    if chosen == "data":
        return list(own)
    if chosen == "openai-imagenet":
        import open_clip

        names = list(open_clip.IMAGENET_CLASSNAMES)
        if len(own) != len(names):
            raise OptionError(
                f"class names openai-imagenet are {len(names)}, the data set has {len(own)} classes"
            )
        return names
    if chosen in RENAMED:
        return renamed(own, RENAMED[chosen])
    path = Path(chosen).expanduser()
    if path.suffix not in (".json", ".txt"):
        raise OptionError(f"class names: no set '{chosen}'{did_you_mean(chosen, SETS)}")
    return _from_file(own, path)


def renamed(own: Sequence[str], changes: Mapping[str, str]) -> list[str]:
    """The names with `changes` applied, looked up as written, or without spaces and underscores."""
    bare = {_bare(k): v for k, v in changes.items()}
    return [changes.get(name, bare.get(_bare(name), name)) for name in own]


def _bare(name: str) -> str:
    return name.replace("_", "").replace(" ", "").lower()


def _from_file(own: Sequence[str], path: Path) -> list[str]:
    try:
        text = path.read_text(encoding="utf-8")
        found = (
            json.loads(text)
            if path.suffix == ".json"
            else [s.strip() for s in text.splitlines() if s.strip()]
        )
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: class names can't be read: {error}") from None
    if isinstance(found, dict):
        if unknown := [k for k in found if k not in own]:
            raise DataError(
                f"{path}: '{unknown[0]}' is no class of the data set{did_you_mean(unknown[0], own)}"
            )
        return [str(found.get(name, name)) for name in own]
    if not isinstance(found, list) or len(found) != len(own):
        raise DataError(f"{path}: expected {len(own)} class names, one per class")
    return [str(name) for name in found]
