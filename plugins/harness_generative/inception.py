"""The model `fid-inception`: the Inception network that the FID is defined by, from its weights on disk."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import Unavailable
from harness.inference.weights import digest, explain_missing_file, make_unusable_error, read_weights

if TYPE_CHECKING:
    import torch
    from PIL import Image

FILE = "pt_inception-2015-12-05-6726825d.pth"
"""The weights that pytorch-fid and torch-fidelity convert from the original TensorFlow graph."""

DIGEST = "6726825d"
"""What the SHA-256 of that file begins with; its publishers put it into the name."""

FEATURES = "2048"


class FIDInception:
    """Pooled features, B×2048, of the Inception of 2015 (Heusel et al. 2017; network by torch-fidelity).

    A distance by it is called FID when the file is the original one, known by its digest; other
    weights of the same network are named by theirs.

    Args:
        checkpoint: the weights file, pt_inception-2015-12-05-6726825d.pth.
    """

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = checkpoint
        self.remarks: tuple[str, ...] = ()
        self._module: Any = None

    def unavailable(self) -> str | None:
        """What is missing: the file, or the library."""
        if find_spec("torch_fidelity") is None:
            return 'fid-inception needs torch-fidelity: pip install "vision-harness[fid]"'
        return explain_missing_file("fid-inception", self.checkpoint)

    def fingerprint(self) -> str:
        """The file's digest."""
        return f"sha256:{digest(self.checkpoint)}"

    @property
    def is_fid(self) -> bool:
        """Whether the weights are the ones that the FID is defined by."""
        return digest(self.checkpoint).startswith(DIGEST)

    @property
    def shown(self) -> str:
        """The extractor's name in tables."""
        return "inception-2015-12-05" + ("" if self.is_fid else f" sha256:{digest(self.checkpoint)[:8]}")

    def load(self, device: torch.device) -> None:
        """Builds the network; Unavailable without file or library, OptionError for weights that don't fit."""
        import io

        import torch

        if problem := self.unavailable():
            raise Unavailable(problem)
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        # torch-fidelity would unpickle the file as it is; it gets the tensors that were read safely
        tensors = io.BytesIO()
        state = read_weights("fid-inception", self.checkpoint)
        torch.save(dict(state), tensors)
        tensors.seek(0)
        try:
            with torch.random.fork_rng(devices=[]):  # it draws weights before it reads the file's
                module = FeatureExtractorInceptionV3("fid-inception", [FEATURES], tensors)
        except RuntimeError as error:
            raise make_unusable_error("fid-inception", self.checkpoint, error) from error
        self._module = module.to(device)
        self.remarks = state.remarks

    @property
    def module(self) -> torch.nn.Module:
        """The network; after `load`."""
        found: torch.nn.Module = self._module
        return found

    def prepare(self, image: Image.Image) -> torch.Tensor:
        """RGB levels from 0 to 255, 3×H×W; the network itself resizes to 299 pixels, as the original did."""
        import numpy as np
        import torch

        pixels = np.asarray(image.convert("RGB"), np.float32)
        return torch.from_numpy(pixels).permute(2, 0, 1)

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        """B×2048."""
        import torch

        features: torch.Tensor = self._module(images.round().to(torch.uint8))[0]
        return features
