"""What suites ask of models that find objects or regions: to find them, and to learn to.

`prepare` of such a model only decodes: PIL image to float tensor 3×H×W in [0, 1], RGB, of the stored image's size.
Resizing, normalising and suppressing doubles happen in `detect` and `segment`, on the device, so that latency holds
them. Images differ in size, so that `collate` returns the list of a batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from harness import register_capability

if TYPE_CHECKING:
    from torch import Tensor, nn

    from harness import Boxes


@dataclass(frozen=True, eq=False)
class Found:
    """M objects that a model found in one image, those with the highest scores first.

    `boxes` M×4 float: left, top, right, bottom in pixels of that image, from 0 at its outer edges. `scores` M in
    [0, 1]. `labels` M integers: indices into the model's `class_names`. `masks` M×H×W bool, None from a model that
    finds boxes only.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    masks: Tensor | None = None

    def __len__(self) -> int:
        return len(self.scores)


@register_capability("detects objects", choose="torchvision-detector, small-faster-rcnn or grid-detector")
@runtime_checkable
class DetectsObjects(Protocol):
    """A model that finds objects of known classes.

    `class_names` are known after `load` at the latest. `detect` returns one `Found` per image, in the order of the
    images; what it says of an image does not depend on those beside it.
    """

    class_names: Sequence[str]

    def detect(self, images: Sequence[Tensor]) -> list[Found]: ...


@register_capability("segments images", choose="torchvision-segmenter, small-segmenter or clip-segmenter")
@runtime_checkable
class SegmentsImages(Protocol):
    """A model that gives each pixel a class.

    `class_names` are known after `load` at the latest. `segment` returns the logits C×H×W of each image at its own
    size (bilinear, without aligned corners), which do not depend on the images beside it.
    """

    class_names: Sequence[str]

    def segment(self, images: Sequence[Tensor]) -> list[Tensor]: ...


@register_capability("learns to detect", choose="small-faster-rcnn, grid-detector or torchvision-detector")
@runtime_checkable
class LearnsToDetect(DetectsObjects, Protocol):
    """A model that can be trained to find objects.

    `begin` makes it ready for the classes of a data set: new predictors for them, drawn from `seed`; `class_names`
    are these from then on. `losses` are scalars by name, whose sum is minimised: of images as `prepare` makes them,
    and of the objects in each, with labels that index `class_names`. It runs in train mode, on the images' device.
    """

    module: nn.Module

    def begin(self, class_names: Sequence[str], seed: int) -> None: ...

    def losses(self, images: Sequence[Tensor], targets: Sequence[Boxes]) -> Mapping[str, Tensor]: ...


@register_capability("learns to segment", choose="small-segmenter, torchvision-segmenter or smp-segmenter")
@runtime_checkable
class LearnsToSegment(SegmentsImages, Protocol):
    """A model that can be trained to give pixels their classes.

    `begin` makes it ready for the classes of a data set: new predictors for them, drawn from `seed`; `class_names`
    are these from then on. `losses` are scalars by name, whose sum is minimised: of images as `prepare` makes them,
    and of the classes H×W of their pixels, 255 for those not counted. `weights` H×W say how much each pixel counts,
    by default all alike. It runs in train mode, on the images' device.
    """

    module: nn.Module

    def begin(self, class_names: Sequence[str], seed: int) -> None: ...

    def losses(
        self, images: Sequence[Tensor], targets: Sequence[Tensor], weights: Sequence[Tensor] | None = None
    ) -> Mapping[str, Tensor]: ...


@register_capability("is told classes by name", choose="clip-segmenter")
@runtime_checkable
class TakesClassNames(Protocol):
    """A segmenter without classes of its own: any are described to it.

    `name_classes` says which, before `segment`; `class_names` are these from then on. `templates` are the data set's,
    each with `{}` for the class name; a model's own option may replace them. What it says of the classes is added to
    its `remarks`.
    """

    def name_classes(self, class_names: Sequence[str], templates: Sequence[str]) -> None: ...
