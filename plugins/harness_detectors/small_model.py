"""What the small detectors share: they are drawn from a seed, and know their classes once they are trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness import OptionError
from harness.inference.weights import digest, explain_missing_file, load_weights, read_weights
from harness_detectors.torchvision_interface import CalledLikeTorchvision, build_seeded, count_outputs

if TYPE_CHECKING:
    import torch
    from torch import nn


class SmallDetector(CalledLikeTorchvision):
    """A detector without pretrained weights: random ones until it is trained, or those of a checkpoint."""

    remarks: Sequence[str] = ()

    def __init__(
        self,
        where: str,
        class_names: list[str] | None,
        checkpoint: Path | None,
        positive: Mapping[str, float],
        score_threshold: float,
        nms: float,
    ) -> None:
        self._where = where
        for name, value in positive.items():
            if value < 1:
                raise OptionError(f"{where}: {name} must be at least 1, not {value}")
        for name, share in (("score_threshold", score_threshold), ("nms", nms)):
            if not 0 <= share <= 1:
                raise OptionError(f"{where}: {name} must be from 0 to 1, not {share}")
        if checkpoint is not None and not class_names:
            raise OptionError(f"{where}: class_names must name the classes of the checkpoint, in its order")
        self.class_names: Sequence[str] = list(class_names or ())
        self.checkpoint, self.score_threshold, self.nms = checkpoint, score_threshold, nms

    @property
    def needs_training(self) -> bool:
        """Whether it has learned nothing so far."""
        return self.checkpoint is None

    def build_network(self, outputs: int) -> nn.Module:
        """Return the network with new weights, for that many classes and the background."""
        raise NotImplementedError

    def unavailable(self) -> str | None:
        """Return why the checkpoint can't be used, or None."""
        return explain_missing_file(self._where, self.checkpoint)

    def fingerprint(self) -> str:
        """Return the checkpoint's digest, if there is one."""
        return "" if self.checkpoint is None else f"sha256:{digest(self.checkpoint)}"

    def load(self, device: torch.device) -> None:
        """Build the network, in evaluation mode, with the checkpoint's weights or random ones."""
        self._device = device
        module = build_seeded(lambda: self.build_network(count_outputs(self.class_names)), self._where)
        if self.checkpoint is None:
            self.remarks = ()
        else:
            state = read_weights(self._where, self.checkpoint, module)
            load_weights(self._where, self.checkpoint, module, state)
            self.remarks = tuple(state.remarks)
        self._module = module.to(device).eval()

    def begin(self, class_names: Sequence[str], seed: int) -> None:
        """Draw weights from the seed for these classes; those of a checkpoint stay where classes don't decide them."""
        from harness_dense.new_predictors import copy_shared

        module = build_seeded(lambda: self.build_network(count_outputs(class_names)), self._where, seed)
        if self.checkpoint is not None:
            copy_shared(self._module, module, lambda count: self.build_network(count + 1))
        self.class_names = list(class_names)
        self._module = module.to(self._device).eval()
        self.remarks = ()
