"""The usable torchvision data sets: their splits, their location, and how to get them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Arguments = Mapping[str, Any]


@dataclass(frozen=True)
class CatalogueDataset:
    """A data set of torchvision, with the constructor arguments that select each split.

    `places` are paths relative to the root, one of which must exist; `label_space` names the space
    of its labels; `downloadable` says whether torchvision can still fetch it; `needs` names an
    optional package; `class_names` are used if torchvision's class has none.
    """

    splits: Mapping[str, Arguments]
    places: tuple[str, ...]
    label_space: str
    downloadable: bool = True
    needs: str | None = None
    class_names: tuple[str, ...] = ()
    arguments: Arguments = field(default_factory=dict)


def _select_by_split(*splits: str, **renamed: str) -> dict[str, Arguments]:
    """Return arguments for splits chosen by a `split` argument; `renamed` maps our names to torchvision's."""
    return {ours: {"split": own} for ours, own in {**{s: s for s in splits}, **renamed}.items()}


_BY_FLAG: Mapping[str, Arguments] = {"train": {"train": True}, "test": {"train": False}}
_WHOLE: Mapping[str, Arguments] = {"all": {}}
_DIGITS = tuple("0123456789")

CATALOGUE: Mapping[str, CatalogueDataset] = {
    "CIFAR10": CatalogueDataset(_BY_FLAG, ("cifar-10-batches-py",), "cifar-10"),
    "CIFAR100": CatalogueDataset(_BY_FLAG, ("cifar-100-python",), "cifar-100"),
    "Caltech101": CatalogueDataset(_WHOLE, ("caltech101",), "caltech-101"),
    "Caltech256": CatalogueDataset(_WHOLE, ("caltech256",), "caltech-256"),
    "Country211": CatalogueDataset(
        _select_by_split("train", "test", val="valid"), ("country211",), "country-211"
    ),
    "DTD": CatalogueDataset(_select_by_split("train", "val", "test"), ("dtd",), "dtd"),
    "EuroSAT": CatalogueDataset(_WHOLE, ("eurosat",), "eurosat"),
    "FGVCAircraft": CatalogueDataset(
        _select_by_split("train", "val", "trainval", "test"), ("fgvc-aircraft-2013b",), "fgvc-aircraft"
    ),
    "FakeData": CatalogueDataset(
        {"train": {"random_offset": 0}, "test": {"random_offset": 1000}},
        (),
        "fake",
        arguments={"size": 64, "image_size": (3, 32, 32), "num_classes": 10},
    ),
    "FashionMNIST": CatalogueDataset(_BY_FLAG, ("FashionMNIST",), "fashion-mnist"),
    "Flowers102": CatalogueDataset(_select_by_split("train", "val", "test"), ("flowers-102",), "flowers-102"),
    "Food101": CatalogueDataset(_select_by_split("train", "test"), ("food-101",), "food-101"),
    "GTSRB": CatalogueDataset(_select_by_split("train", "test"), ("gtsrb",), "gtsrb"),
    "Imagenette": CatalogueDataset(_select_by_split("train", "val"), ("imagenette2",), "imagenette"),
    "KMNIST": CatalogueDataset(_BY_FLAG, ("KMNIST",), "kmnist"),
    "MNIST": CatalogueDataset(_BY_FLAG, ("MNIST",), "mnist", class_names=_DIGITS),
    "OxfordIIITPet": CatalogueDataset(
        _select_by_split("test", train="trainval"), ("oxford-iiit-pet",), "oxford-iiit-pet"
    ),
    "PCAM": CatalogueDataset(_select_by_split("train", "val", "test"), ("pcam",), "pcam", needs="h5py"),
    "RenderedSST2": CatalogueDataset(
        _select_by_split("train", "val", "test"), ("rendered-sst2",), "rendered-sst2"
    ),
    "STL10": CatalogueDataset(_select_by_split("train", "test"), ("stl10_binary",), "stl-10"),
    "SUN397": CatalogueDataset(_WHOLE, ("SUN397",), "sun-397"),
    "SVHN": CatalogueDataset(
        _select_by_split("train", "test", "extra"),
        ("train_32x32.mat", "test_32x32.mat", "extra_32x32.mat"),
        "svhn",
        class_names=_DIGITS,
    ),
    "StanfordCars": CatalogueDataset(
        _select_by_split("train", "test"), ("stanford_cars",), "stanford-cars", downloadable=False
    ),
    "USPS": CatalogueDataset(_BY_FLAG, ("usps.bz2", "usps.t.bz2"), "usps", class_names=_DIGITS),
}
"""Data sets by the name of torchvision's class."""
