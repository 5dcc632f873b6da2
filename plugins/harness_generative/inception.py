"""The model `fid-inception`: the Inception network that defines the FID, with weights from disk."""

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
"""Start of that file's SHA-256; its publishers put it into the name."""

FEATURES = "2048"


class FIDInception:
    """Pooled features, B×2048, of the Inception of 2015 (Heusel et al. 2017; network by torch-fidelity).

    Its distance is called FID only if the file is the original one, recognised by its digest; other
    weights of the same network are named by their digest.

    Args:
        checkpoint: the weights file, pt_inception-2015-12-05-6726825d.pth.
    """

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = checkpoint
        self.remarks: tuple[str, ...] = ()
        self._module: Any = None

    def unavailable(self) -> str | None:
        """Return what is missing, the file or the library, or None."""
        if find_spec("torch_fidelity") is None:
            return 'fid-inception needs torch-fidelity: pip install "vision-harness[fid]"'
        return explain_missing_file("fid-inception", self.checkpoint)

    def fingerprint(self) -> str:
        """Return the file's digest."""
        return f"sha256:{digest(self.checkpoint)}"

    @property
    def is_fid(self) -> bool:
        """Whether the weights are the ones that define the FID."""
        return digest(self.checkpoint).startswith(DIGEST)

    @property
    def shown(self) -> str:
        """The extractor's name in tables."""
        return "inception-2015-12-05" + ("" if self.is_fid else f" sha256:{digest(self.checkpoint)[:8]}")

    def load(self, device: torch.device) -> None:
        """Build the network; raise Unavailable without file or library, OptionError for weights that don't fit."""
        import io

        import torch

        if problem := self.unavailable():
            raise Unavailable(problem)
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        # torch-fidelity would unpickle the file unsafely, so it gets a copy of the safely read tensors
        tensors = io.BytesIO()
        state = read_weights("fid-inception", self.checkpoint)
        torch.save(dict(state), tensors)
        tensors.seek(0)
        try:
            with torch.random.fork_rng(devices=[]):  # it draws random weights first
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
        """Return RGB levels from 0 to 255, 3×H×W; the network resizes to 299 pixels, as the original did."""
        import numpy as np
        import torch

        pixels = np.asarray(image.convert("RGB"), np.float32)
        return torch.from_numpy(pixels).permute(2, 0, 1)

    def encode_image(self, images: torch.Tensor) -> torch.Tensor:
        """Return pooled features, B×2048."""
        import torch

        features: torch.Tensor = self._module(images.round().to(torch.uint8))[0]
        return features
