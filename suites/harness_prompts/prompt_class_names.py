"""Class names for prompts: the data set's, OpenAI's, CoOp's, or those of a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal

from harness import DataError, OptionError
from harness.errors import did_you_mean

Whose = Literal["openai", "coop"]

DATASETS = (
    "imagenet", "caltech101", "oxford_pets", "stanford_cars", "oxford_flowers", "food101", "fgvc_aircraft",
    "sun397", "dtd", "eurosat", "ucf101",
)  # fmt: skip
"""The data sets with known class names, as CoOp calls them."""

CLASS_NAME_SETS = (
    "data",
    "openai",
    "coop",
    *(f"openai-{d}" for d in DATASETS),
    *(f"coop-{d}" for d in DATASETS[1:]),
)
"""There is no `coop-imagenet`: CoOp publishes these names only with its split files, which can be given as a file."""

_TABLES = Path(__file__).with_name("class_names.json")


@cache
def read_class_table(dataset: str) -> list[dict[str, str]]:
    """Return the classes of a data set, each with its names as `own`, `openai` and `coop` (absent: not in that set).

    Sources: `data/prompts.md` of openai/CLIP, and the naming rules in `datasets/` of KaiyangZhou/CoOp
    (Caltech101 without two classes, years first, SUN397's paths reversed, UCF101's words separated).
    """
    rows = json.loads(_TABLES.read_text(encoding="utf-8"))[dataset]
    found = []
    for row in rows:
        names = [row] * 3 if isinstance(row, str) else row
        found.append({k: n for k, n in zip(("own", "openai", "coop"), names, strict=True) if n is not None})
    return found


def choose_class_names(own: Sequence[str], chosen: str) -> list[str]:
    """Return the class names for prompts, one per class of `own`, from the set `chosen`.

    `data` keeps the data set's own. `openai-NAME` and `coop-NAME` are OpenAI's and CoOp's for that data set,
    looked up by the own names, ignoring case and punctuation; `openai` and `coop` recognise the data set.
    ImageNet's are in ImageNet's order. A `.json` file holds an object from own name to name, or a list in
    label order; a `.txt` file holds one name per line. Raises OptionError or DataError.
    """
    if chosen == "data":
        return list(own)
    if (file := find_names_file(chosen)) is not None:
        return _read_class_names(own, file)
    whose, _, dataset = chosen.partition("-")
    dataset = dataset or recognise_dataset(own)
    if dataset == "imagenet":
        if whose == "coop":
            raise OptionError(
                "class names: CoOp's names for ImageNet are not built in: give its classnames.txt as a file"
            )
        return _openai_imagenet_names(own)
    return rename_classes(own, dataset, "openai" if whose == "openai" else "coop")


def find_names_file(chosen: str) -> Path | None:
    """Return the file that `chosen` names, or None for a set. Raises OptionError for neither."""
    path = Path(chosen).expanduser()
    if path.suffix not in (".json", ".txt"):
        if chosen not in CLASS_NAME_SETS:
            raise OptionError(f"class names: no set '{chosen}'{did_you_mean(chosen, CLASS_NAME_SETS)}")
        return None
    if not path.is_file():
        raise OptionError(f"class names: {path}: no such file")
    return path


def digest_class_names(chosen: str) -> str:
    """Return a digest of the file that the names are read from; empty for the data set's own names."""
    import hashlib

    file = find_names_file(chosen)
    if chosen == "data":
        return ""
    return hashlib.sha256((file or _TABLES).read_bytes()).hexdigest()[:16]


def recognise_dataset(own: Sequence[str]) -> str:
    """Return the data set with these classes. Raises OptionError if none or several fit."""
    if len(own) == 1000:
        return "imagenet"
    bare = {_strip_spelling(name) for name in own}
    fitting = [d for d in DATASETS[1:] if bare <= set(_index_names(d))]
    whole = [
        d
        for d in fitting
        if len(own) in (len(read_class_table(d)), sum("coop" in row for row in read_class_table(d)))
    ]
    if len(whole or fitting) != 1:
        found = f"fit {' and '.join(fitting)}" if fitting else "are those of no data set with known names"
        raise OptionError(f"class names: '{own[0]}' and the others {found}: name the set, or give a file")
    return (whole or fitting)[0]


def rename_classes(own: Sequence[str], dataset: str, whose: Whose) -> list[str]:
    """Return `whose` names for the classes `own` of a data set. Raises OptionError for a class that has none."""
    rows, places = read_class_table(dataset), _index_names(dataset)
    found = []
    for name in own:
        place = places.get(_strip_spelling(name))
        if place is None or whose not in rows[place]:
            known = [row["own"] for row in rows if whose in row]
            raise OptionError(f"class names {whose}-{dataset}: no class '{name}'{did_you_mean(name, known)}")
        found.append(rows[place][whose])
    return found


def _openai_imagenet_names(own: Sequence[str]) -> list[str]:
    import open_clip

    names = list(open_clip.IMAGENET_CLASSNAMES)
    if len(own) != len(names):
        raise OptionError(
            f"class names openai-imagenet are {len(names)}, the data set has {len(own)} classes"
        )
    return names


@cache
def _index_names(dataset: str) -> dict[str, int]:
    """Return the row of each class by any of its names, in lower case without punctuation."""
    return {
        _strip_spelling(name): i for i, row in enumerate(read_class_table(dataset)) for name in row.values()
    }


def _strip_spelling(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def _read_class_names(own: Sequence[str], path: Path) -> list[str]:
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
                f"{path}: '{unknown[0]}' is not a class of the data set{did_you_mean(unknown[0], own)}"
            )
        return [str(found.get(name, name)) for name in own]
    if not isinstance(found, list) or len(found) != len(own):
        raise DataError(f"{path}: expected {len(own)} class names, one per class")
    return [str(name) for name in found]
