"""The model `hf-detector`: detectors of transformers, such as DETR, RT-DETR, D-FINE and YOLOS."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness import OptionError
from harness_dense.contracts import Found
from harness_dense.images_by_size import compute_by_size, decode_only
from harness_detectors.detection_targets import to_torchvision
from harness_detectors.torchvision_interface import build_seeded
from harness_transformers.pretrained import PretrainedSource

if TYPE_CHECKING:
    import torch
    from PIL import Image
    from torch import nn

    from harness import Boxes

UNUSED = "N/A"


class HfDetector:
    """A detector of transformers with its own preparation: `facebook/detr-resnet-50`, or a folder.

    Only safetensors are read and no code of a repository is run.

    Args:
        name: a name on the hub, or a folder as `save_pretrained` writes it.
        revision: of a name on the hub: branch, tag or commit.
        score_threshold: least score of what it finds.
    """

    class_names: Sequence[str]
    remarks: Sequence[str] = ()

    def __init__(self, name: str, revision: str | None = None, score_threshold: float = 0.0) -> None:
        self._where = f"hf-detector:{name}"
        if not 0 <= score_threshold <= 1:
            raise OptionError(f"{self._where}: score_threshold must be from 0 to 1, not {score_threshold}")
        self.name, self.revision, self.score_threshold = name, revision, score_threshold
        self._source = PretrainedSource(self._where, name, revision)

    def unavailable(self) -> str | None:
        """Return what is missing here, or None; nothing is downloaded."""
        return self._source.find_problem()

    def fingerprint(self) -> str:
        """Return what identifies the weights, and the version of transformers."""
        return self._source.fingerprint()

    def load(self, device: torch.device) -> None:
        """Load network and preparation, in evaluation mode.

        Raises Unavailable for weights that can't be obtained, OptionError for some that don't fit.
        """
        self._device = device
        self._processor: Any = self._source.load_helper("AutoImageProcessor")
        network: Any = self._source.load_network("AutoModelForObjectDetection", "float32")
        labels: Mapping[int, str] = network.config.id2label
        # output n is label n: those that have no name are not used
        names = [str(labels.get(n, UNUSED)) for n in range(network.config.num_labels)]
        self.class_names = [name for name in names if name != UNUSED]
        places = iter(range(len(names)))
        self._outputs = [-1 if name == UNUSED else next(places) for name in names]
        self._module: Any = network.to(device).eval()

    @property
    def module(self) -> nn.Module:
        """The network (after `load`)."""
        module: nn.Module = self._module
        return module

    def prepare(self, image: Image.Image) -> torch.Tensor:
        """Return an image as 3×H×W in [0, 1], of its own size."""
        return decode_only(image)

    def collate(self, images: list[torch.Tensor]) -> list[torch.Tensor]:
        """Return the list: images differ in size."""
        return images

    def detect(self, images: Sequence[torch.Tensor]) -> list[Found]:
        """Return what is found in images 3×H×W of any sizes."""
        import torch

        with torch.inference_mode():
            return compute_by_size(images, self._detect)

    def _detect(self, images: list[torch.Tensor]) -> list[Found]:
        import torch

        outputs = self._module(**self._prepare_inputs(images))
        sizes = [(image.shape[-2], image.shape[-1]) for image in images]
        found = []
        for one in self._processor.post_process_object_detection(outputs, self.score_threshold, sizes):
            labels = torch.tensor(self._outputs, device=one["labels"].device)[one["labels"]]
            order = torch.argsort(one["scores"], descending=True, stable=True)
            order = order[labels[order] >= 0]
            found.append(Found(one["boxes"][order], one["scores"][order], labels[order]))
        return found

    def begin(self, class_names: Sequence[str], seed: int) -> None:
        """Take new predictors for these classes, drawn from the seed; the rest stays."""
        from harness_dense.new_predictors import copy_shared

        module = build_seeded(lambda: self._build(class_names), self._where, seed)
        copy_shared(self._module, module, lambda count: self._build([f"{n}" for n in range(count)]))
        self.class_names, self._outputs = list(class_names), list(range(len(class_names)))
        self._module = module.to(self._device).eval()

    def _build(self, class_names: Sequence[str]) -> Any:
        config = copy.deepcopy(self._module.config)
        config.id2label = dict(enumerate(class_names))
        config.label2id = {name: n for n, name in enumerate(class_names)}
        if hasattr(config, "use_pretrained_backbone"):
            config.use_pretrained_backbone = False  # its weights are copied, too
        return type(self._module)(config)

    def losses(self, images: Sequence[torch.Tensor], targets: Sequence[Boxes]) -> Mapping[str, torch.Tensor]:
        """Return the network's own weighted loss, the mean over images; those of each size go through together."""
        import torch

        sizes: dict[tuple[int, ...], list[int]] = {}
        for number, image in enumerate(images):
            sizes.setdefault(tuple(image.shape[-2:]), []).append(number)
        parts = []
        for (height, width), rows in sizes.items():
            scale = torch.tensor([width, height, width, height], device=images[0].device)
            labels = []
            for row in rows:
                target = to_torchvision(targets[row], images[0].device, masks=False)
                boxes = target["boxes"] / scale
                middle, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
                labels.append(
                    {"class_labels": target["labels"] - 1, "boxes": torch.cat([middle, sides], dim=1)}
                )
            inputs = self._prepare_inputs([images[row] for row in rows])
            parts.append(self._module(**inputs, labels=labels).loss * len(rows) / len(images))
        return {"loss": torch.stack(parts).sum()}

    def _prepare_inputs(self, images: list[torch.Tensor]) -> dict[str, Any]:
        """Return the network's inputs from images of one size in [0, 1]."""
        inputs = self._processor(images=images, return_tensors="pt", do_rescale=False)
        return {
            name: inputs[name].to(self._device) for name in ("pixel_values", "pixel_mask") if name in inputs
        }
