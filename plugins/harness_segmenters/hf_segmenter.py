"""The model `hf-segmenter`: semantic segmenters of transformers, such as SegFormer, UperNet and BEiT."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from harness import OptionError
from harness_segmenters.segmenter_base import Segmenter, build_from_seed
from harness_transformers.pretrained import PretrainedSource

if TYPE_CHECKING:
    import torch


class HfSegmenter(Segmenter):
    """A semantic segmenter of transformers with its own preparation: `nvidia/segformer-b0-finetuned-ade-512-512`.

    Only safetensors are read and no code of a repository is run.

    Args:
        name: a name on the hub, or a folder as `save_pretrained` writes it.
        revision: of a name on the hub: branch, tag or commit.
        auxiliary: weight of the coarse output's loss, of networks that have one (UperNet, BEiT).
    """

    def __init__(self, name: str, revision: str | None = None, auxiliary: float = 0.5) -> None:
        self._where = f"hf-segmenter:{name}"
        if auxiliary < 0:
            raise OptionError(f"{self._where}: auxiliary must be at least 0, not {auxiliary}")
        self.name, self.revision, self.auxiliary = name, revision, auxiliary
        self._source = PretrainedSource(self._where, name, revision)

    def unavailable(self) -> str | None:
        """Return what is missing here, or None; nothing is downloaded."""
        return self._source.find_problem()

    def fingerprint(self) -> str:
        """Return what identifies the weights, and the version of transformers."""
        return self._source.fingerprint()

    def load(self, device: torch.device) -> None:
        """Load network and preparation, in evaluation mode.

        Raises Unavailable for weights that can't be obtained, OptionError for some that don't fit, for labels with
        gaps, and for a preparation that cuts or fills up images: their pixels would no longer be where the image's are.
        """
        self._device = device
        self._processor: Any = self._source.load_helper("AutoImageProcessor")
        for step in ("do_center_crop", "do_pad"):
            if getattr(self._processor, step, None):
                raise OptionError(
                    f"{self._where}: its preparation has {step}, after which pixels are elsewhere than in the image: "
                    "save a copy with that switched off in preprocessor_config.json"
                )
        network: Any = self._source.load_network("AutoModelForSemanticSegmentation", "float32")
        labels: Mapping[int, str] = network.config.id2label
        if sorted(labels) != list(range(len(labels))):  # as many outputs, of which none is known
            raise OptionError(
                f"{self._where}: its config.json numbers {len(labels)} labels {min(labels)} to {max(labels)}, its "
                f"outputs are 0 to {len(labels) - 1}: number them so"
            )
        self.class_names = [str(labels[n]) for n in range(len(labels))]
        self._module = network.to(device).eval()

    def begin(self, class_names: Sequence[str], seed: int) -> None:
        """Take new predictors for these classes, drawn from the seed; the rest stays."""
        from harness_dense.new_predictors import copy_shared

        module = build_from_seed(lambda: self._build(class_names), self._where, seed)
        copy_shared(self._module, module, lambda count: self._build([f"{n}" for n in range(count)]))
        self.class_names = list(class_names)
        self._module = module.to(self._device).eval()

    def _build(self, class_names: Sequence[str]) -> Any:
        config = copy.deepcopy(self._module.config)
        config.id2label = dict(enumerate(class_names))
        config.label2id = {name: n for n, name in enumerate(class_names)}
        if hasattr(config, "use_pretrained_backbone"):
            config.use_pretrained_backbone = False  # its weights are copied, too
        return type(self._module)(config)

    def _compute(self, images: torch.Tensor, training: bool) -> Mapping[str, torch.Tensor]:
        processor = self._processor
        # in training images are resized already; all else, such as the channels' order, stays
        whole: dict[str, Any] = {"do_resize": False} if training else {}
        prepared = processor(images=list(images), return_tensors="pt", do_rescale=False, **whole)
        inputs = prepared["pixel_values"].to(images.device)
        found = self._module(pixel_values=inputs)
        coarse = getattr(found, "auxiliary_logits", None)
        more = {"coarse": coarse} if training and self.auxiliary and coarse is not None else {}
        return {"out": found.logits, **more}
