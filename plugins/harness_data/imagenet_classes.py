"""ImageNet-1k's classes and exact subsets, read from the installed timm and open_clip."""

from __future__ import annotations

import importlib.util
import json
import runpy
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from harness import Unavailable

Subset = Literal["imagenet-r", "imagenet-a", "objectnet"]

OBJECTNET = Path(__file__).parent / "imagenet_info" / "objectnet.json"


@dataclass(frozen=True)
class ImageNetClasses:
    """The classes of a data set: each label's folders on disk and ImageNet indices.

    `names` are the names for prompts if they are not those of the ImageNet indices.
    """

    folders: tuple[tuple[str, ...], ...]
    indices: tuple[tuple[int, ...], ...]
    names: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def labels(self) -> dict[str, int]:
        """The label of each folder name."""
        return {folder: label for label, folders in enumerate(self.folders) for folder in folders}


@lru_cache
def wnids() -> tuple[str, ...]:
    """Return the 1000 WordNet ids in the order of a classifier's outputs."""
    return tuple(_read_timm_info("imagenet_synsets.txt").split())


@lru_cache
def load_imagenet_classes(subset: Subset | None = None) -> ImageNetClasses:
    """Return the classes of ImageNet-style folders (`nXXXXXXXX`): all 1000, or those of a shift.

    For "objectnet" the labels are ObjectNet's 113 classes, which cover 125 ImageNet folders.
    """
    ids = wnids()
    if subset is None:
        return ImageNetClasses(tuple((w,) for w in ids), tuple((i,) for i in range(len(ids))))
    if subset == "objectnet":
        there = load_objectnet_classes()
        folders = tuple(tuple(ids[i] for i in several) for several in there.indices)
        return ImageNetClasses(folders, there.indices, there.names)
    file = {"imagenet-r": "imagenet_r_indices.txt", "imagenet-a": "imagenet_a_indices.txt"}[subset]
    indices = sorted(int(line) for line in _read_timm_info(file).split())
    return ImageNetClasses(tuple((ids[i],) for i in indices), tuple((i,) for i in indices))


@lru_cache
def load_numbered_classes() -> ImageNetClasses:
    """Return the 1000 classes with folders named by index, as in ImageNetV2: `10` is label 10, not 2."""
    return ImageNetClasses(tuple((str(i),) for i in range(1000)), tuple((i,) for i in range(1000)))


@lru_cache
def load_objectnet_classes() -> ImageNetClasses:
    """Return the 113 ObjectNet classes that ImageNet has, too, with ObjectNet's folders and lower-cased names.

    Nine of them match two or three ImageNet classes (Barbu et al., NeurIPS 2019).
    """
    stored = json.loads(OBJECTNET.read_text(encoding="utf-8"))["classes"]
    place = {wnid: i for i, wnid in enumerate(wnids())}
    return ImageNetClasses(
        tuple((folder,) for folder in stored),
        tuple(tuple(place[w] for w in entry["imagenet"]) for entry in stored.values()),
        tuple(entry["name"].lower() for entry in stored.values()),
    )


def list_prompt_names(of: ImageNetClasses) -> list[str]:
    """Return the class names for zero-shot prompts: OpenAI's for ImageNet classes.

    Raises Unavailable if open_clip, which holds them, is missing.
    """
    if of.names is not None:
        return list(of.names)
    names = _load_open_clip_metadata()["IMAGENET_CLASSNAMES"]
    return [names[indices[0]] for indices in of.indices]


def list_prompt_templates() -> list[str]:
    """Return the 80 templates of the CLIP paper (Radford et al., 2021), with `{}`.

    Raises Unavailable if open_clip, which holds them, is missing.
    """
    return [template("{}") for template in _load_open_clip_metadata()["OPENAI_IMAGENET_TEMPLATES"]]


@lru_cache
def _load_open_clip_metadata() -> dict[str, Any]:
    # run only the file that holds them: importing open_clip takes seconds, and a supervised model needs none of it
    return runpy.run_path(str(_find_package("open_clip", "its class names") / "zero_shot_metadata.py"))


def _read_timm_info(name: str) -> str:
    # read as package data: importing timm would import torch
    return (_find_package("timm", "its class list") / "data" / "_info" / name).read_text(encoding="utf-8")


def _find_package(name: str, what: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise Unavailable(
            f"ImageNet needs the package {name} for {what}; install vision-harness with its dependencies"
        )
    return Path(spec.submodule_search_locations[0])
