"""What a data set provides: samples, splits, and the data set itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from harness.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image


@dataclass(frozen=True)
class EncodedImage:
    """An image still in its file's bytes; the core decodes it, and names `name` in errors."""

    data: bytes
    name: str


class _Alone(tuple[Any, ...]):
    """A sample's only image or text as a sequence; a copy that replaces `image` or `text` rebuilds it."""


@dataclass(frozen=True)
class Sample:
    """One sample. An image is a PIL image, encoded bytes, or a uint8 array H×W×3 (or H×W).

    With several images or texts, `image` and `text` are the first; with one, `images` and `texts` contain
    only it. `target` is the sample's entry in the split's `targets` if that is no label
    (`harness.contract.targets`). Raises DataError if a given `image` or `text` differs from the first of several.
    """

    id: str
    image: Image.Image | EncodedImage | NDArray[np.uint8] | None = None
    label: int = -1
    text: str | None = None
    images: Sequence[Image.Image | EncodedImage | NDArray[np.uint8]] = ()
    texts: Sequence[str] = ()
    target: Any = None

    def __post_init__(self) -> None:
        for one, several in (("image", "images"), ("text", "texts")):
            first, given = getattr(self, one), getattr(self, several)
            if isinstance(given, _Alone) or not len(given):
                object.__setattr__(self, several, _Alone(() if first is None else (first,)))
            elif first is None:
                object.__setattr__(self, one, given[0])
            elif first is not given[0]:
                raise DataError(f"sample '{self.id}': `{one}` is not the first of `{several}`: replace both")


@runtime_checkable
class Split(Protocol):
    """A loaded part of a data set: a sequence of samples in a fixed order.

    `targets` holds what is to be predicted for each sample: N labels, or what `harness.contract.targets` says
    for other kinds of target. Optional: `class_names`, `class_keys`, `templates`, `label_indices`,
    `per_sample`, `remarks` (`harness.contract.declared`).
    """

    ids: Sequence[str]
    targets: Any

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...


@runtime_checkable
class Dataset(Protocol):
    """A data set: light to construct; `load` opens one of its `splits`.

    Names of splits say their role, see `harness.inference.splits`. `target_kind` defaults to one label per
    sample. Also optional: `label_space`, the name of the output space in which a supervised classifier must
    answer (`"imagenet-1k"`, `"cifar-10"`, …): a model of the same label space has its outputs in the order of
    the labels; and, known without loading, `class_names`, `class_keys`, `num_classes`, `class_order`
    (`harness.contract.declared`).
    """

    splits: Sequence[str]

    def load(self, split: str) -> Split: ...
